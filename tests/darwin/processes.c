/* Processes, their users, groups and limits. */
#include "darwin.h"

#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char ***darwin__NSGetEnviron(void) {
    return &environ;
}

static int darwin_execve(const char *path, char *const *words, char *const *variables) {
    return execute(path, words, variables);
}

/* std's, in the child that it forks where it cannot spawn: it looks itself for the path. */
static int darwin_execvp(const char *name, char *const *words) {
    if (strchr(name, '/')) return execute(name, words, environ);
    return result(execvp(name, words));
}

/* The numbers of WNOHANG and WUNTRACED are Linux's (bsd/sys/wait.h). */
static int darwin_waitpid(int pid, int *status, int options) {
    int found, ended = waitpid(pid, &found, options);
    if (ended > 0 && status) *status = to_darwin_status(found);
    return result(ended);
}

/* XNU: the numbers of the limits (bsd/sys/resource.h); RLIM_INFINITY is the largest signed number. The bit
 * _RLIMIT_POSIX_FLAG, which libc adds, does not matter to getrlimit(2). */
static int darwin_getrlimit(int which, uint64_t *place) {
    static const int linux_limits[] = {
        RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_AS, RLIMIT_MEMLOCK, RLIMIT_NPROC,
        RLIMIT_NOFILE,
    };
    struct rlimit limit;
    which &= 0xfff;
    if (which >= (int)COUNT(linux_limits)) return failed(DARWIN_EINVAL);
    if (getrlimit(linux_limits[which], &limit) < 0) return result(-1);
    place[0] = limit.rlim_cur == RLIM_INFINITY ? INT64_MAX : limit.rlim_cur;
    place[1] = limit.rlim_max == RLIM_INFINITY ? INT64_MAX : limit.rlim_max;
    return 0;
}

/* Numbers of Libc's unistd.h. The path is _PATH_STDPATH of Libc's paths.h; the folder for temporary files is each
 * user's own there, below /var/folders. */
enum { CS_PATH = 1, CS_DARWIN_USER_TEMP_DIR = 65537 };

static size_t darwin_confstr(int name, char *place, size_t size) {
    const char *text = name == CS_PATH ? "/usr/bin:/bin:/usr/sbin:/sbin" : "/tmp/";
    if (name != CS_PATH && name != CS_DARWIN_USER_TEMP_DIR) die("confstr", "unknown name");
    if (size) snprintf(place, size, "%s", text);
    return strlen(text) + 1;
}

/* dyld: the path by which the program was started, made absolute, and no link of it resolved (dyld(3)). */
static int darwin__NSGetExecutablePath(char *place, uint32_t *size) {
    char path[PATH_MAX * 2], folder[PATH_MAX];
    const char *started_by = (const char *)getauxval(AT_EXECFN);
    if (started_by[0] == '/' || !getcwd(folder, sizeof folder))
        snprintf(path, sizeof path, "%s", started_by);
    else
        snprintf(path, sizeof path, "%s/%s", folder, started_by);
    uint32_t needed = strlen(path) + 1;
    if (*size < needed) {
        *size = needed;
        return -1;
    }
    memcpy(place, path, needed);
    return 0;
}

/* From here on nothing differs but errno. */

static int darwin_fork(void) {
    return result(fork());
}

static int darwin_setsid(void) {
    return result(setsid());
}

static int darwin_getsid(int pid) {
    return result(getsid(pid));
}

static int darwin_getpgid(int pid) {
    return result(getpgid(pid));
}

static int darwin_setpgid(int pid, int group) {
    return result(setpgid(pid, group));
}

static int darwin_setuid(unsigned user) {
    return result(setuid(user));
}

static int darwin_setgid(unsigned group) {
    return result(setgid(group));
}

static int darwin_setgroups(int count, const gid_t *list) {
    return result(setgroups(count, list));
}

const struct symbol process_symbols[] = {
    CALL(execve),
    CALL(execvp),
    CALL(waitpid),
    CALL(getrlimit),
    CALL(confstr),
    CALL(fork),
    CALL(setsid),
    CALL(getsid),
    CALL(getpgid),
    CALL(setpgid),
    CALL(setuid),
    CALL(setgid),
    CALL(setgroups),
    CALL(_NSGetEnviron),
    CALL(_NSGetExecutablePath),
    {"_environ", &environ},
    {"_getpid", getpid},
    {"_getppid", getppid},
    {"_getuid", getuid},
    {"_geteuid", geteuid},
    {0},
};
