/* posix_spawn(3). What Darwin's types point to is Linux's here (XNU: bsd/sys/spawn.h; libsyscall has the rest). */
#include "darwin.h"

#include <spawn.h>
#include <stdlib.h>
#include <string.h>

static int darwin_posix_spawn_file_actions_init(void **place) {
    *place = malloc(sizeof(posix_spawn_file_actions_t));
    return *place ? posix_spawn_file_actions_init(*place) : DARWIN_ENOMEM;
}

static int darwin_posix_spawn_file_actions_destroy(void **place) {
    posix_spawn_file_actions_destroy(*place);
    free(*place);
    return 0;
}

static int darwin_posix_spawn_file_actions_adddup2(void **place, int from, int to) {
    return to_darwin_errno(posix_spawn_file_actions_adddup2(*place, from, to));
}

static int darwin_posix_spawnattr_init(void **place) {
    *place = malloc(sizeof(posix_spawnattr_t));
    return *place ? posix_spawnattr_init(*place) : DARWIN_ENOMEM;
}

static int darwin_posix_spawnattr_destroy(void **place) {
    posix_spawnattr_destroy(*place);
    free(*place);
    return 0;
}

/* The flags of bsd/sys/spawn.h. */
static int darwin_posix_spawnattr_setflags(void **place, short flags) {
    static const short linux_flags[] = {
        POSIX_SPAWN_RESETIDS, POSIX_SPAWN_SETPGROUP, POSIX_SPAWN_SETSIGDEF, POSIX_SPAWN_SETSIGMASK,
    };
    short translated = 0;
    for (size_t i = 0; i < COUNT(linux_flags); i++)
        if (flags >> i & 1) translated |= linux_flags[i];
    if (flags >> COUNT(linux_flags)) die("posix_spawnattr_setflags", "unknown flags");
    return to_darwin_errno(posix_spawnattr_setflags(*place, translated));
}

static int darwin_posix_spawnattr_setpgroup(void **place, int group) {
    return to_darwin_errno(posix_spawnattr_setpgroup(*place, group));
}

static int darwin_posix_spawnattr_setsigdefault(void **place, const uint32_t *set) {
    sigset_t translated;
    uint64_t bits = to_linux_mask(*set);
    sigemptyset(&translated);
    memcpy(&translated, &bits, sizeof bits);
    return to_darwin_errno(posix_spawnattr_setsigdefault(*place, &translated));
}

static int darwin_posix_spawnp(pid_t *pid, const char *name, void **actions, void **attributes, char *const *words,
                               char *const *variables) {
    const posix_spawn_file_actions_t *linux_actions = actions ? *actions : 0;
    const posix_spawnattr_t *linux_attributes = attributes ? *attributes : 0;
    return to_darwin_errno(posix_spawnp(pid, name, linux_actions, linux_attributes, words, variables));
}

const struct symbol spawn_symbols[] = {
    CALL(posix_spawn_file_actions_init),
    CALL(posix_spawn_file_actions_destroy),
    CALL(posix_spawn_file_actions_adddup2),
    CALL(posix_spawnattr_init),
    CALL(posix_spawnattr_destroy),
    CALL(posix_spawnattr_setflags),
    CALL(posix_spawnattr_setpgroup),
    CALL(posix_spawnattr_setsigdefault),
    CALL(posix_spawnp),
    {0},
};
