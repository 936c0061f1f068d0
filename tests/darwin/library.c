/* What is the same in every C library, and what a program of one thread that does not unwind asks for in vain. */
#include "darwin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of compiler-rt, which libSystem has in it. Linux's compiler has them, too. */
extern void __divti3(void), __udivti3(void), __ashlti3(void), __lshrti3(void);

/* There is one thread: what locks a mutex has it, and nothing is left to be done at a thread's end. */
static int nothing(void) {
    return 0;
}

static void *nobody(void) {
    return 0;
}

/* _URC_END_OF_STACK: a backtrace has no frames. */
static int no_frames(void) {
    return 5;
}

static int darwin_pthread_threadid_np(void *thread, uint64_t *place) {
    (void)thread;
    *place = syscall(SYS_gettid);
    return 0;
}

static void darwin_bzero(void *place, size_t size) {
    memset(place, 0, size);
}

const struct symbol library_symbols[] = {
    CALL(pthread_threadid_np),
    CALL(bzero),
    {"___bzero", darwin_bzero},
    {"___ashlti3", __ashlti3},
    {"___divti3", __divti3},
    {"___lshrti3", __lshrti3},
    {"___udivti3", __udivti3},
    {"__exit", _exit},
    {"_exit", exit},
    {"_abort", abort},
    {"_calloc", calloc},
    {"_free", free},
    {"_getenv", getenv},
    {"_malloc", malloc},
    {"_memcmp", memcmp},
    {"_memcpy", memcpy},
    {"_memmove", memmove},
    {"_memset", memset},
    {"_posix_memalign", posix_memalign},
    {"_realloc", realloc},
    {"_strlen", strlen},
    {"_strtod", strtod},
    {"_pthread_mutex_destroy", nothing},
    {"_pthread_mutex_init", nothing},
    {"_pthread_mutex_lock", nothing},
    {"_pthread_mutex_trylock", nothing},
    {"_pthread_mutex_unlock", nothing},
    {"_pthread_mutexattr_destroy", nothing},
    {"_pthread_mutexattr_init", nothing},
    {"_pthread_mutexattr_settype", nothing},
    {"__tlv_atexit", nothing},
    {"_dlsym", nobody},
    {"__dyld_image_count", nothing},
    {"__dyld_get_image_header", nobody},
    {"__dyld_get_image_name", nobody},
    {"__dyld_get_image_vmaddr_slide", nothing},
    {"__Unwind_Backtrace", no_frames},
    {0},
};
