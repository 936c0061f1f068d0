/* Signals. XNU: there are 31, with numbers of their own, and a mask has 32 bits (bsd/sys/signal.h). */
#include "darwin.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Linux's numbers by Darwin's. SIGEMT (7) and SIGINFO (29) are Darwin's only. */
static const unsigned char linux_signals[32] = {
    0,       SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,   0,       SIGFPE,   SIGKILL, SIGBUS,
    SIGSEGV, SIGSYS,  SIGPIPE, SIGALRM, SIGTERM, SIGURG,  SIGSTOP,   SIGTSTP, SIGCONT,  SIGCHLD, SIGTTIN,
    SIGTTOU, SIGIO,   SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, 0,      SIGUSR1,  SIGUSR2,
};

int to_linux_signal(int number) {
    return number > 0 && number < 32 ? linux_signals[number] : 0;
}

int to_darwin_signal(int number) {
    for (int i = 1; i < 32; i++)
        if (linux_signals[i] == number) return i;
    return 0;
}

uint64_t to_linux_mask(uint32_t mask) {
    uint64_t bits = 0;
    for (int i = 1; i < 32; i++)
        if (mask >> (i - 1) & 1 && linux_signals[i]) bits |= 1ull << (linux_signals[i] - 1);
    return bits;
}

static uint32_t to_darwin_mask(uint64_t bits) {
    uint32_t mask = 0;
    for (int i = 1; i < 32; i++)
        if (linux_signals[i] && bits >> (linux_signals[i] - 1) & 1) mask |= 1u << (i - 1);
    return mask;
}

/* The status of wait(2) and of NOTE_EXITSTATUS, which has the number of a signal in it. */
int to_darwin_status(int status) {
    if (WIFSIGNALED(status)) return (status & 0x80) | to_darwin_signal(WTERMSIG(status));
    if (WIFSTOPPED(status)) return to_darwin_signal(WSTOPSIG(status)) << 8 | 0x7f;
    return status;
}

/* Signals that only Linux has are in a mask of all, and else stay as the program found them. */
static uint64_t of_linux_only;
static int is_of_linux_only_known;

/* XNU: SIG_BLOCK is 1, SIG_UNBLOCK 2, SIG_SETMASK 3 (bsd/sys/signal.h). */
static int darwin_sigprocmask(int how, const uint32_t *set, uint32_t *old) {
    uint64_t before;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, &before, sizeof before);
    if (!is_of_linux_only_known) {
        of_linux_only = before & ~to_linux_mask(~0u);
        is_of_linux_only_known = 1;
    }
    if (set) {
        uint64_t after;
        switch (how) {
        case 1: after = before | to_linux_mask(*set); break;
        case 2: after = before & ~to_linux_mask(*set); break;
        case 3: after = *set == ~0u ? ~0ull : to_linux_mask(*set) | of_linux_only; break;
        default: return failed(DARWIN_EINVAL);
        }
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &after, 0, sizeof after);
    }
    if (old) *old = to_darwin_mask(before);
    return 0;
}

static int darwin_sigemptyset(uint32_t *set) {
    *set = 0;
    return 0;
}

static int darwin_sigfillset(uint32_t *set) {
    *set = ~0u;
    return 0;
}

static int darwin_sigaddset(uint32_t *set, int number) {
    if (number < 1 || number > 32) return failed(DARWIN_EINVAL);
    *set |= 1u << (number - 1);
    return 0;
}

static int darwin_sigismember(const uint32_t *set, int number) {
    if (number < 1 || number > 32) return failed(DARWIN_EINVAL);
    return *set >> (number - 1) & 1;
}

static int darwin_sigpending(uint32_t *set) {
    uint64_t bits;
    if (syscall(SYS_rt_sigpending, &bits, sizeof bits) < 0) return result(-1);
    *set = to_darwin_mask(bits);
    return 0;
}

/* It gives its error, and does not set errno (sigwait(2)). */
static int darwin_sigwait(const uint32_t *set, int *taken) {
    uint64_t bits = to_linux_mask(*set);
    long number;
    do number = syscall(SYS_rt_sigtimedwait, &bits, 0, 0, sizeof bits);
    while (number < 0 && errno == EINTR);
    if (number < 0) return to_darwin_errno(errno);
    *taken = to_darwin_signal(number);
    return 0;
}

/* struct __sigaction of bsd/sys/signal.h, as libc has it. */
struct darwin_sigaction {
    uint64_t handler;
    uint32_t mask;
    int32_t flags;
};
_Static_assert(sizeof(struct darwin_sigaction) == 16, "struct sigaction");
enum { DARWIN_ONSTACK = 1, DARWIN_RESTART = 2, DARWIN_RESETHAND = 4, DARWIN_NODEFER = 16 };

/* The program's handlers. */
static struct darwin_sigaction handlers[32];
/* What the program found, as Linux has it: it is put back to the last flag. */
static struct sigaction found[32];

/* Calls the program's handler, with errno as it was. */
static void on_signal(int number, siginfo_t *info, void *context) {
    int ours = to_darwin_signal(number), error = *darwin___error(), linux_error = errno;
    /* siginfo_t of bsd/sys/signal.h: si_signo at 0, si_pid at 12. */
    unsigned char darwin_info[104] = {0};
    memcpy(darwin_info, &ours, sizeof ours);
    memcpy(darwin_info + 12, &info->si_pid, sizeof info->si_pid);
    ((void (*)(int, void *, void *))handlers[ours].handler)(ours, darwin_info, context);
    failed(error);
    errno = linux_error;
}

/* XNU: SIGKILL and SIGSTOP can be asked for and not set (bsd/kern/kern_sig.c, sigaction). */
static int darwin_sigaction(int number, const struct darwin_sigaction *new, struct darwin_sigaction *old) {
    int is_fixed = number == 9 || number == 17;
    if (number < 1 || number > 31 || (new && is_fixed)) return failed(DARWIN_EINVAL);
    int linux_number = linux_signals[number];
    struct sigaction before, after = {0};
    if (old) memset(old, 0, sizeof *old);
    if (!linux_number) return 0;
    if (sigaction(linux_number, 0, &before) < 0) return result(-1);
    if (before.sa_sigaction != on_signal) found[number] = before;
    if (old && before.sa_sigaction == on_signal)
        *old = handlers[number];
    else if (old)
        old->handler = (uint64_t)before.sa_handler;
    if (!new) return 0;
    if (new->handler <= 1) { /* SIG_DFL and SIG_IGN are 0 and 1 on both. */
        if ((uint64_t)found[number].sa_handler == new->handler) after = found[number];
        after.sa_handler = (void (*)(int))new->handler;
    } else {
        handlers[number] = *new;
        after.sa_sigaction = on_signal;
        after.sa_flags = SA_SIGINFO | (new->flags & DARWIN_ONSTACK ? SA_ONSTACK : 0) |
                         (new->flags & DARWIN_RESTART ? SA_RESTART : 0) |
                         (new->flags & DARWIN_RESETHAND ? SA_RESETHAND : 0) |
                         (new->flags & DARWIN_NODEFER ? SA_NODEFER : 0);
        uint64_t bits = to_linux_mask(new->mask);
        memcpy(&after.sa_mask, &bits, sizeof bits);
    }
    return result(sigaction(linux_number, &after, 0));
}

static void *darwin_signal(int number, void *handler) {
    struct darwin_sigaction new = {(uint64_t)handler, 0, DARWIN_RESTART}, old;
    return darwin_sigaction(number, &new, &old) < 0 ? (void *)-1 : (void *)old.handler;
}

static int darwin_kill(int pid, int number) {
    int linux_number = to_linux_signal(number);
    if (number && !linux_number) return failed(DARWIN_EINVAL);
    return result(kill(pid, linux_number));
}

static int darwin_raise(int number) {
    return result(raise(to_linux_signal(number)));
}

const struct symbol signal_symbols[] = {
    CALL(sigprocmask), CALL(sigemptyset), CALL(sigfillset), CALL(sigaddset), CALL(sigismember), CALL(sigpending),
    CALL(sigwait),     CALL(sigaction),   CALL(signal),     CALL(kill),      CALL(raise),       {0},
};
