/* Sockets: a helper's, and the connection of a lock on a server. */
#include "darwin.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int darwin_socketpair(int family, int kind, int protocol, int *ends) {
    if (family != AF_UNIX || kind != SOCK_STREAM) die("socketpair", "another kind");
    return result(socketpair(family, kind, protocol, ends));
}

/* Flags of bsd/sys/socket.h. */
enum {
    DARWIN_PEEK = 0x2,
    DARWIN_TRUNC = 0x10,
    DARWIN_CTRUNC = 0x20,
    DARWIN_WAITALL = 0x40,
    DARWIN_DONTWAIT = 0x80,
};

static int to_linux_message_flags(int flags) {
    if (flags & ~(DARWIN_PEEK | DARWIN_WAITALL | DARWIN_DONTWAIT)) die("recv", "unknown flags");
    return (flags & DARWIN_PEEK ? MSG_PEEK : 0) | (flags & DARWIN_DONTWAIT ? MSG_DONTWAIT : 0) |
           (flags & DARWIN_WAITALL ? MSG_WAITALL : 0);
}

static long darwin_recv(int number, void *place, size_t size, int flags) {
    return result(recv(number, place, size, to_linux_message_flags(flags)));
}

/* XNU: an address begins with its length, then its family, each of one byte; AF_INET6 is 30
 * (bsd/sys/socket.h). */
static int darwin_getpeername(int number, void *place, uint32_t *size) {
    unsigned char address[128] = {0};
    socklen_t length = sizeof address;
    if (getpeername(number, (void *)address, &length) < 0) return result(-1);
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    address[0] = length;
    address[1] = family == AF_INET6 ? 30 : family;
    memcpy(place, address, *size < length ? *size : length);
    *size = length;
    return 0;
}

/* struct msghdr and struct cmsghdr of bsd/sys/socket.h. */
struct darwin_msghdr {
    void *name;
    uint32_t name_length;
    struct iovec *pieces;
    int piece_count;
    void *control;
    uint32_t control_length;
    int flags;
};
_Static_assert(sizeof(struct darwin_msghdr) == 48, "struct msghdr");
struct darwin_cmsghdr {
    uint32_t length;
    int level, type;
};
enum { DARWIN_SOL_SOCKET = 0xffff };

/* XNU: what does not fit is cut off, its length stays as it was, and the descriptors stay open
 * (bsd/kern/uipc_syscalls.c, recvit). Parts begin at multiples of four (bsd/sys/socket.h, __DARWIN_ALIGN32). */
static long darwin_recvmsg(int number, struct darwin_msghdr *message, int flags) {
    unsigned char control[256] __attribute__((aligned(8)));
    struct msghdr heard = {
        .msg_iov = message->pieces,
        .msg_iovlen = message->piece_count,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    long length = recvmsg(number, &heard, to_linux_message_flags(flags));
    if (length < 0) return result(-1);
    message->flags = heard.msg_flags & MSG_TRUNC ? DARWIN_TRUNC : 0;
    if (heard.msg_flags & MSG_CTRUNC) message->flags |= DARWIN_CTRUNC;
    uint32_t used = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&heard); part; part = CMSG_NXTHDR(&heard, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) die("recvmsg", "unknown control data");
        uint32_t data = part->cmsg_len - CMSG_LEN(0), room = message->control_length - used;
        struct darwin_cmsghdr header = {sizeof header + data, DARWIN_SOL_SOCKET, SCM_RIGHTS};
        uint32_t whole = (header.length + 3) & ~3u, taken = whole < room ? whole : room;
        unsigned char copy[256] = {0};
        memcpy(copy, &header, sizeof header);
        memcpy(copy + sizeof header, CMSG_DATA(part), data);
        memcpy((char *)message->control + used, copy, taken);
        if (taken < whole) message->flags |= DARWIN_CTRUNC;
        used += taken;
    }
    message->control_length = used;
    return length;
}

const struct symbol socket_symbols[] = {CALL(socketpair), CALL(recv), CALL(getpeername), CALL(recvmsg), {0}};
