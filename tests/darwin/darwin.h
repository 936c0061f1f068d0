/* The program for macOS, run on Linux: what the files of the loader share. README.md tells what this is.
 *
 * A function darwin_NAME stands for NAME of libSystem: it takes and gives Darwin's numbers and structures, and
 * calls Linux's. A structure darwin_NAME is Darwin's, of 64 bits. "XNU:" begins what its kernel does otherwise
 * than Linux, with the file of its source (github.com/apple-oss-distributions/xnu) that says so. */
#ifndef DARWIN_H
#define DARWIN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* On arm64 of Apple what stands for "..." is always on the stack, behind the eight registers
 * (developer.apple.com, "Writing ARM64 code for Apple platforms"). */
#ifdef __aarch64__
#define UNUSED __attribute__((unused)) long
#define REST UNUSED r2, UNUSED r3, UNUSED r4, UNUSED r5, UNUSED r6, UNUSED r7, long rest
#else
#define REST long rest
#endif

/* A function or variable by which the Mach-O is bound. A list of them ends with an empty one. */
struct symbol {
    const char *name;
    void *address;
};
#define CALL(name) {"_" #name, darwin_##name}
extern const struct symbol errno_symbols[], signal_symbols[], file_symbols[], lock_symbols[], process_symbols[],
    timer_symbols[], spawn_symbols[], socket_symbols[], kqueue_symbols[], libproc_symbols[], library_symbols[];

/* mach_o.c: the values of the Mach-O's thread-local variables (for image.S). */
extern unsigned char *thread_locals;

/* errno.c */
int *darwin___error(void);
_Noreturn void die(const char *what, const char *why);
int to_darwin_errno(int number);
long failed(int darwin_number);
long result(long value);

/* signals.c: those of sys/signal.h of Darwin. */
int to_linux_signal(int number);
int to_darwin_signal(int number);
int to_darwin_status(int status);
uint64_t to_linux_mask(uint32_t mask);

/* files.c */
int to_linux_open_flags(int flags);
int32_t to_darwin_device(dev_t device);

/* timers.c */
void timers_begin(void);
int execute(const char *path, char *const *words, char *const *variables);

/* kqueue.c */
int is_hidden(int number);
int knotes_of(int pid, int number, void *place, int size);

/* libproc.c: what /proc tells of a process. */
struct process {
    char state;
    int parent;
    unsigned flags;
    unsigned long long start;
    uid_t user;
};
int find_process(int pid, struct process *process);

/* Numbers of Darwin's errno (XNU: bsd/sys/errno.h), those that are not what Linux has. */
enum {
    DARWIN_EPERM = 1,
    DARWIN_ESRCH = 3,
    DARWIN_EBADF = 9,
    DARWIN_ENOMEM = 12,
    DARWIN_EINVAL = 22,
    DARWIN_ENOTTY = 25,
    DARWIN_ENOTSUP = 45,
    DARWIN_EOPNOTSUPP = 102,
};

#endif
