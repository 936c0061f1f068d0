/* libproc and sysctl(3), over /proc. */
#include "darwin.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What /proc tells of a process: 1, or 0 if there is none. */
int find_process(int pid, struct process *process) {
    char path[64], line[1024];
    struct stat is;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t size = fread(line, 1, sizeof line - 1, file);
    int has_owner = fstat(fileno(file), &is) == 0;
    fclose(file);
    line[size] = 0;
    char *behind_name = strrchr(line, ')');
    if (!has_owner || !behind_name) return 0;
    process->user = is.st_uid;
    return sscanf(behind_name + 2, "%c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                  &process->state, &process->parent, &process->flags, &process->start) == 4;
}

/* XNU: one's own processes may be looked into, and by root all (bsd/kern/proc_info.c, proc_security_policy). */
static int may_see(const struct process *process) {
    return geteuid() == 0 || geteuid() == process->user;
}

static int has_ended(const struct process *process) {
    return process->state == 'Z' || process->state == 'X';
}

/* struct proc_bsdinfo of bsd/sys/proc_info.h. */
struct darwin_bsdinfo {
    uint32_t flags, status, exit_status, pid, parent, user, group, real_user, real_group, saved_user, saved_group;
    uint32_t reserved;
    char command[16], name[32];
    uint32_t descriptor_count, process_group, job_count, terminal, terminal_group;
    int32_t nice;
    uint64_t start_seconds, start_microseconds;
};
_Static_assert(sizeof(struct darwin_bsdinfo) == 136, "struct proc_bsdinfo");
/* PROC_FLAG_INEXIT of bsd/sys/proc_info.h; SRUN, SSTOP and SZOMB of bsd/sys/proc.h. */
enum { DARWIN_INEXIT = 4, DARWIN_RUN = 2, DARWIN_STOP = 4, DARWIN_ZOMBIE = 5 };
enum { PF_EXITING = 4 }; /* linux/sched.h */

static int bsdinfo_of(int pid, const struct process *process, void *place, int size) {
    if (size < (int)sizeof(struct darwin_bsdinfo)) return failed(DARWIN_ENOMEM), 0;
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    int64_t boot = (now.tv_sec - up.tv_sec) * 1000000 + (now.tv_nsec - up.tv_nsec) / 1000;
    int64_t start = boot + process->start * (1000000 / sysconf(_SC_CLK_TCK));
    int is_stopped = process->state == 'T' || process->state == 't';
    struct darwin_bsdinfo info = {
        .flags = process->flags & PF_EXITING ? DARWIN_INEXIT : 0,
        .status = has_ended(process) ? DARWIN_ZOMBIE : is_stopped ? DARWIN_STOP : DARWIN_RUN,
        .pid = pid,
        .parent = process->parent,
        .user = process->user,
        .real_user = process->user,
        .start_seconds = start / 1000000,
        .start_microseconds = start % 1000000,
    };
    memcpy(place, &info, sizeof info);
    return sizeof info;
}

/* struct proc_fdinfo of bsd/sys/proc_info.h. */
struct darwin_fdinfo {
    int32_t number;
    uint32_t type;
};
enum { TYPE_VNODE = 1, TYPE_SOCKET = 2, TYPE_KQUEUE = 5, TYPE_PIPE = 6 };

/* What kind of descriptor this is, and 0 where it is closed or the loader's own. */
static int type_of(const char *link) {
    struct stat is;
    char name[256];
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0 || stat(link, &is) < 0) return 0;
    name[length] = 0;
    if (!strcmp(name, "anon_inode:[pidfd]")) return 0;
    if (!strcmp(name, "anon_inode:[eventpoll]")) return TYPE_KQUEUE;
    return S_ISSOCK(is.st_mode) ? TYPE_SOCKET : !strncmp(name, "pipe:", 5) ? TYPE_PIPE : TYPE_VNODE;
}

/* PROC_PIDLISTFDS. XNU: without room it tells of how much to have, with twenty more than there are
 * (bsd/kern/proc_info.c, proc_pidfdlist). */
static int descriptors_of(int pid, void *place, int size) {
    char folder_path[64], link[400];
    snprintf(folder_path, sizeof folder_path, "/proc/%d/fd", pid);
    DIR *folder = opendir(folder_path);
    if (!folder) return result(-1), 0;
    struct darwin_fdinfo *list = place;
    int count = 0, room = place ? size / (int)sizeof *list : INT_MAX;
    for (struct dirent *entry; count < room && (entry = readdir(folder));) {
        int number = atoi(entry->d_name);
        int is_ours = pid == getpid() && number == dirfd(folder);
        if (entry->d_name[0] == '.' || is_ours) continue;
        snprintf(link, sizeof link, "%s/%s", folder_path, entry->d_name);
        int type = type_of(link);
        if (!type) continue;
        if (place) list[count] = (struct darwin_fdinfo){number, type};
        count++;
    }
    closedir(folder);
    return (place ? count : count + 20) * (int)sizeof *list;
}

/* Flavors of bsd/sys/proc_info.h. XNU: a zombie is told of only to who asks for it by the argument
 * (bsd/kern/proc_info.c, proc_pidinfo). */
enum { PROC_PIDLISTFDS = 1, PROC_PIDTBSDINFO = 3 };

static int darwin_proc_pidinfo(int pid, int flavor, uint64_t argument, void *place, int size) {
    struct process process;
    int wants_zombies = flavor == PROC_PIDTBSDINFO && argument == 1;
    if (!find_process(pid, &process) || (has_ended(&process) && !wants_zombies)) return failed(DARWIN_ESRCH), 0;
    if (!may_see(&process)) return failed(DARWIN_EPERM), 0;
    switch (flavor) {
    case PROC_PIDTBSDINFO: return bsdinfo_of(pid, &process, place, size);
    case PROC_PIDLISTFDS: return descriptors_of(pid, place, size);
    }
    die("proc_pidinfo", "unknown flavor");
}

/* struct vnode_fdinfo of bsd/sys/proc_info.h, as far as it is used. */
struct darwin_vnode_fdinfo {
    uint32_t open_flags, file_status;
    int64_t offset;
    int32_t file_type;
    uint32_t guard_flags;
    uint32_t device;
    uint16_t mode, links;
    uint64_t inode;
    unsigned char more[136];
};
_Static_assert(sizeof(struct darwin_vnode_fdinfo) == 176, "struct vnode_fdinfo");
/* XNU: FWASLOCKED of bsd/sys/fcntl.h, which sys_flock sets (bsd/kern/kern_descrip.c) and proc_pidfdinfo shows as it
 * is (bsd/kern/proc_info.c, fill_fileinfo). It stays when the lock is given back; here it goes. */
enum { DARWIN_FWASLOCKED = 0x4000 };

static int vnode_of(int pid, int number, void *place, int size) {
    char path[64], line[256];
    struct stat is;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
    if (type_of(path) != TYPE_VNODE || stat(path, &is) < 0) return failed(DARWIN_EBADF), 0;
    struct darwin_vnode_fdinfo info = {
        .device = to_darwin_device(is.st_dev),
        .mode = is.st_mode,
        .links = is.st_nlink,
        .inode = is.st_ino,
    };
    if (size < (int)sizeof info) return failed(DARWIN_ENOMEM), 0;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", pid, number);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "lock:", 5) && strstr(line, "FLOCK")) info.open_flags = DARWIN_FWASLOCKED;
    if (file) fclose(file);
    memcpy(place, &info, sizeof info);
    return sizeof info;
}

enum { PROC_PIDFDVNODEINFO = 1, PROC_PIDFDKQUEUE_EXTINFO = 9 };

static int darwin_proc_pidfdinfo(int pid, int number, int flavor, void *place, int size) {
    struct process process;
    if (!find_process(pid, &process) || has_ended(&process)) return failed(DARWIN_ESRCH), 0;
    if (!may_see(&process)) return failed(DARWIN_EPERM), 0;
    switch (flavor) {
    case PROC_PIDFDVNODEINFO: return vnode_of(pid, number, place, size);
    case PROC_PIDFDKQUEUE_EXTINFO: return knotes_of(pid, number, place, size);
    }
    die("proc_pidfdinfo", "unknown flavor");
}

/* Without room it gives how many there are, and some more (libsyscall/wrappers/libproc/libproc.c). */
static int darwin_proc_listallpids(int *list, int size) {
    DIR *folder = opendir("/proc");
    int count = 0, room = list ? size / (int)sizeof *list : INT_MAX;
    if (!folder) return result(-1);
    for (struct dirent *entry; count < room && (entry = readdir(folder));) {
        int pid = atoi(entry->d_name);
        if (pid <= 0) continue;
        if (list) list[count] = pid;
        count++;
    }
    closedir(folder);
    return list ? count : count + 20;
}

/* KERN_PROCARGS2: the number of words, the program's path, NULs up to a multiple of eight, the words and the
 * environment. XNU: where they may not be seen, or there is no such process, EINVAL (bsd/kern/kern_sysctl.c,
 * sysctl_procargsx). */
static int arguments_of(int pid, char *place, size_t *size) {
    struct process process;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    if (*size < PATH_MAX || !find_process(pid, &process) || has_ended(&process) || !may_see(&process))
        return failed(DARWIN_EINVAL);
    memset(place, 0, PATH_MAX);
    ssize_t length = readlink(path, place + 4, 1024);
    if (length < 0) return failed(DARWIN_EINVAL);
    size_t at = (4 + length + 8) & ~7ul;
    int count = 0;
    static const char *const files[] = {"cmdline", "environ"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        size_t begin = at;
        ssize_t more;
        while (file >= 0 && at < *size && (more = read(file, place + at, *size - at)) > 0) at += more;
        if (file >= 0) close(file);
        for (size_t j = begin; i == 0 && j < at; j++) count += place[j] == 0;
    }
    memcpy(place, &count, sizeof count);
    *size = at;
    return 0;
}

/* Names of bsd/sys/sysctl.h. */
enum { CTL_KERN = 1, KERN_ARGMAX = 8, KERN_PROCARGS2 = 49 };

static int darwin_sysctl(const int *name, unsigned count, void *place, size_t *size, const void *new, size_t new_size) {
    if (new || new_size || count < 2 || name[0] != CTL_KERN) die("sysctl", "unknown name");
    if (count == 3 && name[1] == KERN_PROCARGS2) return arguments_of(name[2], place, size);
    if (count != 2 || name[1] != KERN_ARGMAX) die("sysctl", "unknown name");
    /* XNU: NCARGS of bsd/sys/param.h. */
    static const int most = 1 << 20;
    memcpy(place, &most, sizeof most);
    *size = sizeof most;
    return 0;
}

const struct symbol libproc_symbols[] = {
    CALL(proc_pidinfo), CALL(proc_pidfdinfo), CALL(proc_listallpids), CALL(sysctl), {0},
};
