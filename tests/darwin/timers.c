/* Clocks, and the interval timer with what execve(2) does to it. */
#include "darwin.h"

#include <sys/time.h>
#include <unistd.h>

/* struct timeval and struct itimerval of bsd/sys/time.h. */
struct darwin_timeval {
    int64_t seconds;
    int32_t microseconds, padding;
};
struct darwin_itimerval {
    struct darwin_timeval interval, value;
};
_Static_assert(sizeof(struct darwin_itimerval) == 32, "struct itimerval");

/* What ITIMER_REAL was set to last, whatever is left of it. */
static struct itimerval set_last;

/* XNU: the program that is executed begins with the time that its caller's timer was set to. */
void timers_begin(void) {
    getitimer(ITIMER_REAL, &set_last);
}

/* execve(2). XNU: since macOS 13 (xnu-8792) the process that is made for the new program takes over what
 * ITIMER_REAL was set to, and begins it anew, in full, also if it has rung (bsd/kern/kern_time.c,
 * proc_inherit_itimers). If it fails, nothing was begun. */
int execute(const char *path, char *const *words, char *const *variables) {
    struct itimerval left;
    int is_inherited = timerisset(&set_last.it_value);
    if (is_inherited) setitimer(ITIMER_REAL, &set_last, &left);
    execve(path, words, variables);
    int error = errno;
    if (is_inherited) setitimer(ITIMER_REAL, &left, 0);
    return failed(to_darwin_errno(error));
}

static struct timeval to_linux_time(struct darwin_timeval time) {
    return (struct timeval){.tv_sec = time.seconds, .tv_usec = time.microseconds};
}

static struct darwin_timeval to_darwin_time(struct timeval time) {
    return (struct darwin_timeval){.seconds = time.tv_sec, .microseconds = time.tv_usec};
}

/* XNU: a hundred million seconds at the most (bsd/kern/kern_time.c, itimerfix). */
static int is_valid(struct darwin_timeval time) {
    return time.seconds >= 0 && time.seconds <= 100000000 && time.microseconds >= 0 && time.microseconds < 1000000;
}

/* The numbers of the timers are Linux's (bsd/sys/time.h). */
static int darwin_setitimer(int which, const struct darwin_itimerval *new, struct darwin_itimerval *old) {
    struct itimerval before, after = {0};
    if (which != ITIMER_REAL) die("setitimer", "another timer than ITIMER_REAL");
    if (new) {
        if (!is_valid(new->interval) || !is_valid(new->value)) return failed(DARWIN_EINVAL);
        after.it_interval = to_linux_time(new->interval);
        after.it_value = to_linux_time(new->value);
        setitimer(which, &after, &before);
        set_last = after;
    } else {
        getitimer(which, &before);
    }
    if (old) {
        old->interval = to_darwin_time(before.it_interval);
        old->value = to_darwin_time(before.it_value);
    }
    return 0;
}

/* The clocks' numbers (Libc's time.h). CLOCK_MONOTONIC and CLOCK_MONOTONIC_RAW count while the machine sleeps, and
 * CLOCK_UPTIME_RAW, std's Instant, does not (clock_gettime(3)). */
static int darwin_clock_gettime(int clock, struct timespec *place) {
    switch (clock) {
    case 0: return result(clock_gettime(CLOCK_REALTIME, place));
    case 4:
    case 6: return result(clock_gettime(CLOCK_BOOTTIME, place));
    case 8: return result(clock_gettime(CLOCK_MONOTONIC, place));
    }
    die("clock_gettime", "unknown clock");
}

static int darwin_nanosleep(const struct timespec *time, struct timespec *left) {
    return result(nanosleep(time, left));
}

const struct symbol timer_symbols[] = {
    CALL(setitimer),
    CALL(clock_gettime),
    CALL(nanosleep),
    {"_localtime_r", localtime_r},
    {0},
};
