/* flock(2) and fcntl(2).
 *
 * XNU keeps flock and both kinds of record locks in one list, where they exclude each other
 * (bsd/kern/kern_lockf.c). Here they do not: Linux has them apart. */
#include "darwin.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* XNU: flock(2) and record locks are for vnodes, which pipes and sockets are none of, and a FIFO's file system
 * has none (bsd/kern/kern_descrip.c, sys_flock; bsd/miscfs/fifofs/fifo_vnops.c, fifo_advlock): ENOTSUP. */
static int can_lock(int number) {
    struct stat is;
    if (fstat(number, &is) < 0) return result(-1) == 0;
    if (S_ISSOCK(is.st_mode) || S_ISFIFO(is.st_mode)) return failed(DARWIN_ENOTSUP) == 0;
    return 1;
}

/* The numbers of LOCK_SH and so on are Linux's (bsd/sys/fcntl.h). */
static int darwin_flock(int number, int how) {
    return can_lock(number) ? result(flock(number, how)) : -1;
}

/* struct flock of bsd/sys/fcntl.h. */
struct darwin_lock {
    int64_t start, length;
    int32_t pid;
    int16_t type, whence;
};
_Static_assert(sizeof(struct darwin_lock) == 24, "struct flock");
enum { DARWIN_RDLCK = 1, DARWIN_UNLCK = 2, DARWIN_WRLCK = 3 };
static const short linux_types[] = {0, F_RDLCK, F_UNLCK, F_WRLCK};

/* Looks in /proc/locks for a lock of this file that excludes the wanted one, and puts it in its place. The length
 * is that of what was read. */
static int find_in_table(const char *file, struct darwin_lock *lock, size_t *length) {
    FILE *table = fopen("/proc/locks", "re");
    char line[256], pieces[8192];
    int is_found = 0;
    *length = 0;
    if (table) setvbuf(table, pieces, _IOFBF, sizeof pieces);
    while (table && !is_found && fgets(line, sizeof line, table)) {
        *length += strlen(line);
        char kind[16], mode[16], of[64];
        int pid;
        int has_all = sscanf(line, "%*d: %15s %*s %15s %d %63s", kind, mode, &pid, of) == 4;
        if (!has_all || strstr(line, "->") || strcmp(file, of)) continue;
        int has_pid = !strcmp(kind, "POSIX");
        if (!has_pid && strcmp(kind, "FLOCK") && strcmp(kind, "OFDLCK")) continue;
        int is_shared = !strcmp(mode, "READ");
        if ((lock->type == DARWIN_RDLCK && is_shared) || (has_pid && pid == getpid())) continue;
        is_found = 1;
        *lock = (struct darwin_lock){.pid = has_pid ? pid : -1, .type = is_shared ? DARWIN_RDLCK : DARWIN_WRLCK};
    }
    if (table) fclose(table);
    return is_found;
}

/* F_GETLK. XNU: it tells of a flock and of a lock of an open file, too, with -1 as PID
 * (bsd/kern/kern_lockf.c, lf_getlock). Linux's F_GETLK does not: /proc/locks does. It comes in pieces of a page
 * (or less, if less is asked for), and a lock is missed if one before it goes between two pieces (Linux:
 * fs/seq_file.c). So what is not found is looked for again, unless the table is one piece. */
static int get_lock(int number, struct darwin_lock *lock) {
    enum { SURELY_ONE_PIECE = 4096 - 256, MOST_LOOKS = 20 };
    struct stat is;
    if (fstat(number, &is) < 0) return result(-1);
    char file[64];
    snprintf(file, sizeof file, "%02x:%02x:%llu", major(is.st_dev), minor(is.st_dev), (unsigned long long)is.st_ino);
    size_t length;
    for (int looks = 0; looks < MOST_LOOKS; looks++) {
        if (find_in_table(file, lock, &length)) return 0;
        if (length < SURELY_ONE_PIECE) break;
    }
    lock->type = DARWIN_UNLCK;
    return 0;
}

/* The file status flags of open(2) that F_GETFL gives. */
static int get_flags(int number) {
    int flags = fcntl(number, F_GETFL);
    if (flags < 0) return result(-1);
    return (flags & O_ACCMODE) | (flags & O_NONBLOCK ? 0x4 : 0) | (flags & O_APPEND ? 0x8 : 0) |
           (flags & O_ASYNC ? 0x40 : 0);
}

/* Commands of bsd/sys/fcntl.h; the first five are Linux's. */
enum {
    DARWIN_GETLK = 7,
    DARWIN_SETLK = 8,
    DARWIN_SETLKW = 9,
    DARWIN_DUPFD_CLOEXEC = 67,
    DARWIN_OFD_SETLK = 90,
    DARWIN_OFD_SETLKW = 91,
};

static int set_lock(int number, int command, const struct darwin_lock *lock) {
    if (!can_lock(number)) return -1;
    if (lock->type < DARWIN_RDLCK || lock->type > DARWIN_WRLCK) return failed(DARWIN_EINVAL);
    struct flock translated = {
        .l_type = linux_types[lock->type],
        .l_whence = lock->whence,
        .l_start = lock->start,
        .l_len = lock->length,
    };
    int linux_command = command == DARWIN_SETLK       ? F_SETLK
                        : command == DARWIN_SETLKW    ? F_SETLKW
                        : command == DARWIN_OFD_SETLK ? F_OFD_SETLK
                                                      : F_OFD_SETLKW;
    return result(fcntl(number, linux_command, &translated));
}

static int darwin_fcntl(int number, int command, REST) {
    switch (command) {
    case F_DUPFD:
    case F_GETFD:
    case F_SETFD: return result(fcntl(number, command, (int)rest));
    case F_GETFL: return get_flags(number);
    case F_SETFL: return result(fcntl(number, F_SETFL, to_linux_open_flags((int)rest & ~O_ACCMODE)));
    case DARWIN_GETLK: return can_lock(number) ? get_lock(number, (void *)rest) : -1;
    case DARWIN_DUPFD_CLOEXEC: return result(fcntl(number, F_DUPFD_CLOEXEC, (int)rest));
    case DARWIN_SETLK:
    case DARWIN_SETLKW:
    case DARWIN_OFD_SETLK:
    case DARWIN_OFD_SETLKW: return set_lock(number, command, (void *)rest);
    }
    die("fcntl", "unknown command");
}

const struct symbol lock_symbols[] = {CALL(flock), CALL(fcntl), {0}};
