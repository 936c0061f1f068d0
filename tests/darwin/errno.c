/* errno: Darwin's numbers and words. */
#include "darwin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Darwin's errno: the program's own, and never Linux's. */
static int number_of_error;

/* Ends the program, which asked for what the loader does not have. */
_Noreturn void die(const char *what, const char *why) {
    dprintf(2, "tests/darwin: %s: %s\n", what, why);
    _exit(99);
}

/* Where Linux's number is another than Darwin's (XNU: bsd/sys/errno.h). */
static const unsigned char of_linux[] = {
    [EAGAIN] = 35,       [EDEADLK] = 11,         [ENAMETOOLONG] = 63,    [ENOLCK] = 77,
    [ENOSYS] = 78,       [ENOTEMPTY] = 66,       [ELOOP] = 62,           [ENOMSG] = 91,
    [EIDRM] = 90,        [ENODATA] = 96,         [EPROTO] = 100,         [EOVERFLOW] = 84,
    [EILSEQ] = 92,       [EUSERS] = 68,          [ENOTSOCK] = 38,        [EDESTADDRREQ] = 39,
    [EMSGSIZE] = 40,     [EPROTOTYPE] = 41,      [ENOPROTOOPT] = 42,     [EPROTONOSUPPORT] = 43,
    [ESOCKTNOSUPPORT] = 44, [EOPNOTSUPP] = 45,   [EPFNOSUPPORT] = 46,    [EAFNOSUPPORT] = 47,
    [EADDRINUSE] = 48,   [EADDRNOTAVAIL] = 49,   [ENETDOWN] = 50,        [ENETUNREACH] = 51,
    [ENETRESET] = 52,    [ECONNABORTED] = 53,    [ECONNRESET] = 54,      [ENOBUFS] = 55,
    [EISCONN] = 56,      [ENOTCONN] = 57,        [ESHUTDOWN] = 58,       [ETOOMANYREFS] = 59,
    [ETIMEDOUT] = 60,    [ECONNREFUSED] = 61,    [EHOSTDOWN] = 64,       [EHOSTUNREACH] = 65,
    [EALREADY] = 37,     [EINPROGRESS] = 36,     [ESTALE] = 70,          [EDQUOT] = 69,
    [ECANCELED] = 89,    [EOWNERDEAD] = 105,     [ENOTRECOVERABLE] = 104,
};

int to_darwin_errno(int number) {
    int is_other = number > 0 && number < (int)COUNT(of_linux) && of_linux[number];
    return is_other ? of_linux[number] : number;
}

/* Sets errno, and gives what a call gives then. */
long failed(int darwin_number) {
    number_of_error = darwin_number;
    return -1;
}

/* The result of a call of Linux's, with its errno if it has failed. */
long result(long value) {
    return value < 0 ? failed(to_darwin_errno(errno)) : value;
}

/* Libc's sys_errlist (apple-oss-distributions/Libc, gen/errlst.c). */
static const char *const words[] = {
    [1] = "Operation not permitted",
    [2] = "No such file or directory",
    [3] = "No such process",
    [4] = "Interrupted system call",
    [5] = "Input/output error",
    [6] = "Device not configured",
    [7] = "Argument list too long",
    [8] = "Exec format error",
    [9] = "Bad file descriptor",
    [10] = "No child processes",
    [11] = "Resource deadlock avoided",
    [12] = "Cannot allocate memory",
    [13] = "Permission denied",
    [14] = "Bad address",
    [15] = "Block device required",
    [16] = "Resource busy",
    [17] = "File exists",
    [18] = "Cross-device link",
    [19] = "Operation not supported by device",
    [20] = "Not a directory",
    [21] = "Is a directory",
    [22] = "Invalid argument",
    [23] = "Too many open files in system",
    [24] = "Too many open files",
    [25] = "Inappropriate ioctl for device",
    [26] = "Text file busy",
    [27] = "File too large",
    [28] = "No space left on device",
    [29] = "Illegal seek",
    [30] = "Read-only file system",
    [31] = "Too many links",
    [32] = "Broken pipe",
    [33] = "Numerical argument out of domain",
    [34] = "Result too large",
    [35] = "Resource temporarily unavailable",
    [36] = "Operation now in progress",
    [38] = "Socket operation on non-socket",
    [40] = "Message too long",
    [45] = "Operation not supported",
    [48] = "Address already in use",
    [53] = "Software caused connection abort",
    [54] = "Connection reset by peer",
    [55] = "No buffer space available",
    [57] = "Socket is not connected",
    [58] = "Can't send after socket shutdown",
    [60] = "Operation timed out",
    [61] = "Connection refused",
    [62] = "Too many levels of symbolic links",
    [63] = "File name too long",
    [64] = "Host is down",
    [65] = "No route to host",
    [66] = "Directory not empty",
    [68] = "Too many users",
    [69] = "Disc quota exceeded",
    [70] = "Stale NFS file handle",
    [77] = "No locks available",
    [78] = "Function not implemented",
    [84] = "Value too large to be stored in data type",
    [85] = "Bad executable (or shared library)",
    [86] = "Bad CPU type in executable",
    [102] = "Operation not supported on socket",
};

/* __error(3): where errno is. */
int *darwin___error(void) {
    return &number_of_error;
}

static int darwin_strerror_r(int number, char *place, size_t size) {
    int is_known = number > 0 && number < (int)COUNT(words) && words[number];
    if (is_known)
        snprintf(place, size, "%s", words[number]);
    else
        snprintf(place, size, "Unknown error: %d", number);
    return is_known ? 0 : DARWIN_EINVAL;
}

const struct symbol errno_symbols[] = {CALL(__error), CALL(strerror_r), {0}};
