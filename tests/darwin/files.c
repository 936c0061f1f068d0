/* Files, folders and descriptors. */
#include "darwin.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* The flags of open(2) (XNU: bsd/sys/fcntl.h); O_RDONLY, O_WRONLY and O_RDWR are Linux's. */
static const struct {
    int darwin, linux_flag;
} open_flags[] = {
    {0x4, O_NONBLOCK},      {0x8, O_APPEND},          {0x40, O_ASYNC},      {0x80, O_SYNC},
    {0x100, O_NOFOLLOW},    {0x200, O_CREAT},         {0x400, O_TRUNC},     {0x800, O_EXCL},
    {0x20000, O_NOCTTY},    {0x100000, O_DIRECTORY},  {0x400000, O_DSYNC},  {0x1000000, O_CLOEXEC},
};

int to_linux_open_flags(int flags) {
    int known = O_ACCMODE, translated = flags & O_ACCMODE;
    for (size_t i = 0; i < COUNT(open_flags); i++) {
        known |= open_flags[i].darwin;
        if (flags & open_flags[i].darwin) translated |= open_flags[i].linux_flag;
    }
    if (flags & ~known) die("open", "unknown flags");
    return translated;
}

/* XNU: a socket is EOPNOTSUPP to open(2), and not ENXIO (bsd/vfs/vfs_vnops.c, vn_open_auth). */
static int darwin_open(const char *path, int flags, REST) {
    int number = open(path, to_linux_open_flags(flags), (mode_t)(rest & 07777));
    int error = errno;
    struct stat is;
    if (number < 0 && error == ENXIO && stat(path, &is) == 0 && S_ISSOCK(is.st_mode))
        return failed(DARWIN_EOPNOTSUPP);
    errno = error;
    return result(number);
}

/* struct stat64 of bsd/sys/stat.h. */
struct darwin_stat {
    int32_t device;
    uint16_t mode, links;
    uint64_t inode;
    uint32_t user, group;
    int32_t device_here, padding;
    struct timespec accessed, modified, changed, born;
    int64_t size, blocks;
    int32_t block_size;
    uint32_t flags, generation;
    int32_t spare;
    int64_t more[2];
};
_Static_assert(sizeof(struct darwin_stat) == 144, "struct stat");

/* XNU: eight bits for the major number and 24 for the minor one (bsd/sys/types.h, makedev). */
int32_t to_darwin_device(dev_t device) {
    return (int32_t)(major(device) << 24 | (minor(device) & 0xffffff));
}

static int fill_stat(struct darwin_stat *place, const struct stat *is) {
    *place = (struct darwin_stat){
        .device = to_darwin_device(is->st_dev),
        .mode = is->st_mode,
        .links = is->st_nlink,
        .inode = is->st_ino,
        .user = is->st_uid,
        .group = is->st_gid,
        .device_here = to_darwin_device(is->st_rdev),
        .accessed = is->st_atim,
        .modified = is->st_mtim,
        .changed = is->st_ctim,
        .born = is->st_ctim,
        .size = is->st_size,
        .blocks = is->st_blocks,
        .block_size = is->st_blksize,
    };
    return 0;
}

static int darwin_stat(const char *path, struct darwin_stat *place) {
    struct stat is;
    return stat(path, &is) < 0 ? result(-1) : fill_stat(place, &is);
}

static int darwin_lstat(const char *path, struct darwin_stat *place) {
    struct stat is;
    return lstat(path, &is) < 0 ? result(-1) : fill_stat(place, &is);
}

static int darwin_fstat(int number, struct darwin_stat *place) {
    struct stat is;
    return fstat(number, &is) < 0 ? result(-1) : fill_stat(place, &is);
}

/* struct dirent of bsd/sys/dirent.h, with inodes of 64 bits. */
struct darwin_dirent {
    uint64_t inode, offset;
    uint16_t record_length, name_length;
    uint8_t type;
    char name[1024];
};
_Static_assert(sizeof(struct darwin_dirent) == 1048, "struct dirent");

static DIR *darwin_opendir(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) result(-1);
    return folder;
}

static int darwin_closedir(DIR *folder) {
    return result(closedir(folder));
}

static int darwin_dirfd(DIR *folder) {
    return result(dirfd(folder));
}

/* The numbers of types (DT_REG and so on) are Linux's (bsd/sys/dirent.h). */
static int darwin_readdir_r(DIR *folder, struct darwin_dirent *place, struct darwin_dirent **next) {
    errno = 0;
    struct dirent *entry = readdir(folder);
    *next = 0;
    if (!entry) return to_darwin_errno(errno);
    memset(place, 0, offsetof(struct darwin_dirent, name));
    place->inode = entry->d_ino;
    place->record_length = sizeof *place;
    place->type = entry->d_type;
    place->name_length = snprintf(place->name, sizeof place->name, "%s", entry->d_name);
    *next = place;
    return 0;
}

/* Requests of bsd/sys/filio.h and bsd/sys/ttycom.h. */
enum { FIOCLEX = 0x20006601, FIONCLEX = 0x20006602 };
static const unsigned long darwin_FIONBIO = 0x8004667e;

static int darwin_ioctl(int number, unsigned long request, REST) {
    if (request == FIOCLEX) return result(fcntl(number, F_SETFD, FD_CLOEXEC));
    if (request == FIONCLEX) return result(fcntl(number, F_SETFD, 0));
    if (request != darwin_FIONBIO) die("ioctl", "unknown request");
    int flags = fcntl(number, F_GETFL), is_on = *(const int *)rest;
    if (flags < 0) return result(-1);
    return result(fcntl(number, F_SETFL, is_on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/* What the loader has open for itself is not there. */
static int darwin_close(int number) {
    if (is_hidden(number)) return failed(DARWIN_EBADF);
    return result(close(number));
}

static int darwin_dup2(int from, int to) {
    if (is_hidden(to)) die("dup2", "to a descriptor of the loader's");
    return result(dup2(from, to));
}

/* Flags of mmap(2): MAP_ANON is 0x1000 (XNU: bsd/sys/mman.h). */
static void *darwin_mmap(void *where, size_t size, int protection, int flags, int number, long at) {
    if (flags & ~0x1013) die("mmap", "unknown flags");
    int translated = (flags & 0x13) | (flags & 0x1000 ? MAP_ANONYMOUS : 0);
    void *mapped = mmap(where, size, protection, translated, number, at);
    if (mapped == MAP_FAILED) result(-1);
    return mapped;
}

/* From here on nothing differs but errno. */

static int darwin_munmap(void *where, size_t size) {
    return result(munmap(where, size));
}

static int darwin_access(const char *path, int mode) {
    return result(access(path, mode));
}

static int darwin_chdir(const char *path) {
    return result(chdir(path));
}

static int darwin_chroot(const char *path) {
    return result(chroot(path));
}

static char *darwin_getcwd(char *place, size_t size) {
    char *path = getcwd(place, size);
    if (!path) result(-1);
    return path;
}

static int darwin_isatty(int number) {
    int is = isatty(number);
    if (!is) result(-1);
    return is;
}

static long darwin_lseek(int number, long offset, int whence) {
    return result(lseek(number, offset, whence));
}

static int darwin_mkdir(const char *path, unsigned short mode) {
    return result(mkdir(path, mode));
}

static int darwin_rmdir(const char *path) {
    return result(rmdir(path));
}

static int darwin_unlink(const char *path) {
    return result(unlink(path));
}

static long darwin_readlink(const char *path, char *place, size_t size) {
    return result(readlink(path, place, size));
}

static char *darwin_realpath(const char *path, char *place) {
    char *found = realpath(path, place);
    if (!found) result(-1);
    return found;
}

static int darwin_pipe(int *ends) {
    return result(pipe(ends));
}

/* The events are Linux's, as far as they are used: POLLIN to POLLNVAL (bsd/sys/poll.h). */
static int darwin_poll(struct pollfd *list, unsigned count, int milliseconds) {
    return result(poll(list, count, milliseconds));
}

static long darwin_read(int number, void *place, size_t size) {
    return result(read(number, place, size));
}

static long darwin_write(int number, const void *place, size_t size) {
    return result(write(number, place, size));
}

static long darwin_pread(int number, void *place, size_t size, long at) {
    return result(pread(number, place, size, at));
}

static long darwin_pwrite(int number, const void *place, size_t size, long at) {
    return result(pwrite(number, place, size, at));
}

static long darwin_writev(int number, const struct iovec *list, int count) {
    return result(writev(number, list, count));
}

const struct symbol file_symbols[] = {
    CALL(open),    CALL(ioctl),  CALL(close),    CALL(dup2),   CALL(mmap),   CALL(munmap), CALL(access),
    CALL(chdir),   CALL(chroot), CALL(getcwd),   CALL(isatty), CALL(lseek),  CALL(mkdir),  CALL(rmdir),
    CALL(unlink),  CALL(pipe),   CALL(poll),     CALL(read),   CALL(write),  CALL(pread),  CALL(pwrite),
    CALL(writev),  CALL(stat),   CALL(lstat),    CALL(fstat),  CALL(opendir), CALL(closedir), CALL(dirfd),
    CALL(readdir_r), CALL(readlink),
    {"_close$NOCANCEL", darwin_close},
    {"_stat$INODE64", darwin_stat},
    {"_lstat$INODE64", darwin_lstat},
    {"_fstat$INODE64", darwin_fstat},
    {"_opendir$INODE64", darwin_opendir},
    {"_readdir_r$INODE64", darwin_readdir_r},
    {"_realpath$DARWIN_EXTSN", darwin_realpath},
    {0},
};
