/* The least that the job takes: open, flock, getpid, pwrite, execve, with no C library to start.
   floor LOCKFILE COMMAND [ARG...]; COMMAND is a path. x86-64 and AArch64 Linux.
   With -DTRIVIAL, a command that ends at once; with -DSTAYING, one that never ends by itself. */
#include <stddef.h>

#if defined(__x86_64__)
enum { OPENAT = 257, FLOCK = 73, GETPID = 39, PWRITE = 18, EXECVE = 59, EXIT = 231, PPOLL = 271 };
static long call(long n, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#elif defined(__aarch64__)
enum { OPENAT = 56, FLOCK = 32, GETPID = 172, PWRITE = 68, EXECVE = 221, EXIT = 94, PPOLL = 73 };
static long call(long n, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                  x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n mov x0, sp\n bl start\n");
#endif

#if defined(TRIVIAL) || defined(STAYING)
__attribute__((noreturn)) void start(long *stack) {
    (void)stack;
#ifdef STAYING
    call(PPOLL, 0, 0, 0, 0);
#endif
    call(EXIT, 0, 0, 0, 0);
    __builtin_unreachable();
}
#else
__attribute__((noreturn)) void start(long *stack) {
    long argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
    char record[11] = "          \n";
    if (argc < 3)
        call(EXIT, 64, 0, 0, 0);
    long lock = call(OPENAT, -100, (long)argv[1], 02 | 0100, 0666);
    if (lock < 0 || call(FLOCK, lock, 2 | 4, 0, 0) != 0)
        call(EXIT, 1, 0, 0, 0);
    long pid = call(GETPID, 0, 0, 0, 0);
    for (int column = 9; pid > 0; pid /= 10)
        record[column--] = '0' + pid % 10;
    call(PWRITE, lock, (long)record, sizeof record, 0);
    call(EXECVE, (long)argv[2], (long)(argv + 2), (long)envp, 0);
    call(EXIT, 127, 0, 0, 0);
    __builtin_unreachable();
}
#endif
