/* kqueue(2), over epoll(7): one descriptor, which can be duplicated, here as there. The data of an event is the
 * knote's filter and number, so that other processes can read from /proc what a queue watches. */
#include "darwin.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct kevent of bsd/sys/event.h. */
struct darwin_kevent {
    uint64_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    int64_t data;
    void *user_data;
};
_Static_assert(sizeof(struct darwin_kevent) == 32, "struct kevent");
enum { EVFILT_READ = -1, EVFILT_PROC = -5 };
enum { EV_ADD = 0x1, EV_ONESHOT = 0x10, EV_CLEAR = 0x20, EV_EOF = 0x8000 };
static const uint32_t NOTE_EXIT = 0x80000000, NOTE_EXITSTATUS = 0x04000000;

/* The process that is watched, by a pidfd of the loader's that the program neither sees nor closes. */
static struct darwin_kevent watched;
static int pidfd = -1;

int is_hidden(int number) {
    return pidfd >= 0 && number == pidfd;
}

static uint64_t data_of(const struct darwin_kevent *knote) {
    return (uint64_t)(uint16_t)knote->filter << 32 | (uint32_t)knote->ident;
}

/* EVFILT_PROC. XNU: a process that has ended is ESRCH, whether it was waited for or not; its status is told to who
 * may send it SIGKILL, and else EACCES (bsd/kern/kern_event.c, filt_procattach). */
static int watch_process(int queue, const struct darwin_kevent *change) {
    int wants_status = (change->fflags & NOTE_EXITSTATUS) != 0;
    if ((change->fflags & ~NOTE_EXITSTATUS) != NOTE_EXIT) die("kevent", "only NOTE_EXIT is known");
    if (pidfd >= 0) die("kevent", "only one process can be watched");
    struct process process;
    int number = syscall(SYS_pidfd_open, (int)change->ident, 0);
    if (number < 0) return result(-1);
    struct pollfd has_ended = {.fd = number, .events = POLLIN};
    if (poll(&has_ended, 1, 0) == 1 || !find_process(change->ident, &process)) {
        close(number);
        return failed(DARWIN_ESRCH);
    }
    if (wants_status && geteuid() != 0 && geteuid() != process.user) {
        close(number);
        return failed(to_darwin_errno(EACCES));
    }
    /* Above what the program puts in other descriptors' places. */
    pidfd = fcntl(number, F_DUPFD_CLOEXEC, 10);
    close(number);
    if (pidfd < 0) return result(-1);
    watched = *change;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data_of(change)};
    return result(epoll_ctl(queue, EPOLL_CTL_ADD, pidfd, &event));
}

/* EVFILT_READ. With EV_CLEAR it tells of a change, and not of a state (kqueue(2)). */
static int watch_descriptor(int queue, const struct darwin_kevent *change) {
    if (!(change->flags & EV_CLEAR)) die("kevent", "EVFILT_READ without EV_CLEAR");
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = data_of(change)};
    return result(epoll_ctl(queue, EPOLL_CTL_ADD, (int)change->ident, &event));
}

/* struct pidfd_info of linux/pidfd.h, as of Linux 6.15. */
struct pidfd_info {
    uint64_t mask, cgroup;
    uint32_t numbers[11];
    int32_t exit_code;
};
enum { PIDFD_INFO_EXIT = 8 };

/* How the watched process has ended, as of wait(2). XNU knows (bsd/kern/kern_exit.c, proc_exit: p_xstat). Linux
 * tells it while the process waits to be reaped, if one may look into it, and since 6.15 afterwards. */
static int status_of_watched(void) {
    for (int i = 0; i < 1000; i++) {
        char path[64], line[1024];
        snprintf(path, sizeof path, "/proc/%d/ns/user", (int)watched.ident);
        int may_look = readlink(path, line, sizeof line) > 0;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)watched.ident);
        FILE *file = fopen(path, "re");
        size_t length = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file) fclose(file);
        line[length] = 0;
        char *state = strrchr(line, ')'), *last = strrchr(line, ' ');
        int status;
        if (may_look && state && state[2] == 'Z' && sscanf(last, "%d", &status) == 1) return status;
        struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};
        if (ioctl(pidfd, _IOWR(0xff, 11, struct pidfd_info), &info) == 0 && info.mask & PIDFD_INFO_EXIT)
            return info.exit_code;
        usleep(1000);
    }
    die("kevent", "Linux does not tell how the process ended");
}

/* NOTE_EXIT comes once: EV_ONESHOT and EV_EOF are set (bsd/kern/kern_event.c, filt_procevent). */
static struct darwin_kevent process_ended(int queue) {
    struct darwin_kevent event = watched;
    event.flags |= EV_ONESHOT | EV_CLEAR | EV_EOF;
    event.data = event.fflags & NOTE_EXITSTATUS ? to_darwin_status(status_of_watched()) : 0;
    epoll_ctl(queue, EPOLL_CTL_DEL, pidfd, 0);
    return event;
}

static int darwin_kqueue(void) {
    return result(epoll_create1(0));
}

static int darwin_kevent(int queue, const struct darwin_kevent *changes, int count, struct darwin_kevent *events,
                         int room, const struct timespec *time) {
    for (int i = 0; i < count; i++) {
        if (!(changes[i].flags & EV_ADD)) die("kevent", "only EV_ADD is known");
        int is_process = changes[i].filter == EVFILT_PROC;
        if (!is_process && changes[i].filter != EVFILT_READ) die("kevent", "unknown filter");
        int added = is_process ? watch_process(queue, &changes[i]) : watch_descriptor(queue, &changes[i]);
        if (added < 0) return -1;
    }
    if (!room) return 0;
    struct pollfd any = {.fd = queue, .events = POLLIN};
    int came = ppoll(&any, 1, time, 0);
    struct epoll_event heard;
    if (came <= 0 || (came = epoll_wait(queue, &heard, 1, 0)) <= 0) return result(came);
    if (heard.data.u64 == data_of(&watched)) {
        events[0] = process_ended(queue);
    } else {
        int is_end = (heard.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        events[0] = (struct darwin_kevent){
            .ident = (uint32_t)heard.data.u64,
            .filter = EVFILT_READ,
            .flags = EV_ADD | EV_CLEAR | (is_end ? EV_EOF : 0),
        };
    }
    return 1;
}

/* struct kevent_extinfo of bsd/sys/proc_info_private.h, with struct kevent_qos_s of bsd/sys/event_private.h. */
struct darwin_knote {
    uint64_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t qos;
    uint64_t user_data;
    uint32_t fflags, xflags;
    int64_t data;
    uint64_t more[4], saved;
    int32_t status, saved_fflags;
    uint64_t reserved[2];
};
_Static_assert(sizeof(struct darwin_knote) == 104, "struct kevent_extinfo");

/* PROC_PIDFDKQUEUE_EXTINFO. XNU: as many as there is room for, those of descriptors first, and gives how many
 * there are (bsd/kern/kern_event.c, pid_kqueue_extinfo). */
int knotes_of(int pid, int number, void *place, int size) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", pid, number);
    FILE *file = fopen(path, "re");
    if (!file) return failed(DARWIN_EBADF), 0;
    struct darwin_knote *knotes = place;
    int room = size / (int)sizeof *knotes, count = 0;
    for (int wants_process = 0; wants_process < 2; wants_process++, rewind(file))
        while (fgets(line, sizeof line, file)) {
            unsigned long long data;
            if (sscanf(line, "tfd: %*d events: %*x data: %llx", &data) != 1) continue;
            struct darwin_knote knote = {.ident = (uint32_t)data, .filter = (int16_t)(data >> 32)};
            if ((knote.filter == EVFILT_PROC) != wants_process) continue;
            if (count < room) knotes[count] = knote;
            count++;
        }
    fclose(file);
    return count;
}

const struct symbol kqueue_symbols[] = {CALL(kqueue), CALL(kevent), {0}};
