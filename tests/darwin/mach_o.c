/* Maps the Mach-O that is in this program at its own addresses, binds it, and calls its entry.
 *
 * What dyld does is in apple-oss-distributions/dyld; the format is in XNU's EXTERNAL_HEADERS/mach-o/loader.h. */
#include "darwin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* By how much it is moved: with another value than 0 the opcodes of the rebase are used. */
#ifndef SLIDE
#define SLIDE 0ul
#endif

/* image.S */
extern const unsigned char macho_start[], macho_end[];
extern void thread_local_address(void);

unsigned char *thread_locals;

struct header {
    uint32_t magic, processor, subtype, kind, command_count, commands_size, flags, reserved;
};
struct command {
    uint32_t kind, size;
};
struct segment {
    struct command command;
    char name[16];
    uint64_t address, size, offset, file_size;
    uint32_t most_protection, protection, section_count, flags;
};
struct section {
    char name[16], segment[16];
    uint64_t address, size;
    uint32_t offset, alignment, relocations, relocation_count, flags, reserved[3];
};
struct dyld_info {
    struct command command;
    uint32_t rebase, rebase_size, bind, bind_size, weak_bind, weak_bind_size, lazy_bind, lazy_bind_size, exports,
        exports_size;
};
struct entry_point {
    struct command command;
    uint64_t offset, stack_size;
};
enum { MAGIC_64 = 0xfeedfacf, SEGMENT_64 = 0x19 };
static const uint32_t DYLD_INFO_ONLY = 0x80000022, MAIN = 0x80000028, CHAINED_FIXUPS = 0x80000034;
/* The types of sections (in flags). */
enum { THREAD_LOCAL_REGULAR = 0x11, THREAD_LOCAL_ZEROFILL = 0x12 };

static struct segment segments[8];
static unsigned segment_count;
static const struct dyld_info *info;
static uint64_t entry;
/* Where the first values of thread-local variables are: some in the file, all behind them zero. */
static uint64_t locals_begin, locals_filled_end, locals_end;

/* What must be there and is never called. */
static void never(void) {
    die("dyld", "a function was called that is none of the program's");
}

static void *find_symbol(const char *name) {
    static const struct symbol *const lists[] = {
        errno_symbols, signal_symbols, file_symbols, lock_symbols, process_symbols, timer_symbols, spawn_symbols,
        socket_symbols, kqueue_symbols, libproc_symbols, library_symbols,
    };
    for (size_t i = 0; i < COUNT(lists); i++)
        for (const struct symbol *symbol = lists[i]; symbol->name; symbol++)
            if (!strcmp(symbol->name, name)) return symbol->address;
    if (!strcmp(name, "__tlv_bootstrap")) return thread_local_address;
    if (!strcmp(name, "dyld_stub_binder")) return never;
    /* Panics end the process, and nothing waits for another thread. */
    if (!strncmp(name, "__Unwind_", 9) || !strncmp(name, "_dispatch_", 10)) return never;
    die("libSystem has, and the loader has not", name);
}

static uint64_t uleb(const unsigned char **at) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
}

static uint64_t in_segment(unsigned number, uint64_t offset) {
    if (number >= segment_count) die("dyld info", "no such segment");
    return segments[number].address + SLIDE + offset;
}

static void bind_at(uint64_t *place, const char *name) {
    *(void **)*place = find_symbol(name);
    *place += 8;
}

/* BIND_OPCODE_… of mach-o/loader.h, by their numbers. */
static void bind(uint32_t offset, uint32_t size) {
    const unsigned char *at = macho_start + offset, *end = at + size;
    const char *name = 0;
    uint64_t place = 0, count, skip;
    while (at < end) {
        unsigned char code = *at & 0xf0, operand = *at & 0x0f;
        at++;
        switch (code) {
        case 0x00: /* DONE: of one lazy symbol */
        case 0x10: /* SET_DYLIB_ORDINAL_IMM: all is libSystem's */
        case 0x30: break;
        case 0x20: uleb(&at); break;
        case 0x40:
            name = (const char *)at;
            at += strlen(name) + 1;
            break;
        case 0x50:
            if (operand != 1) die("dyld info", "a type to bind that is no pointer");
            break;
        case 0x60:
            if (uleb(&at)) die("dyld info", "an addend");
            break;
        case 0x70: place = in_segment(operand, uleb(&at)); break;
        case 0x80: place += uleb(&at); break;
        case 0x90: bind_at(&place, name); break;
        case 0xa0:
            bind_at(&place, name);
            place += uleb(&at);
            break;
        case 0xb0:
            bind_at(&place, name);
            place += operand * 8;
            break;
        case 0xc0:
            count = uleb(&at);
            skip = uleb(&at);
            for (; count; count--, place += skip) bind_at(&place, name);
            break;
        default: die("dyld info", "an unknown opcode to bind");
        }
    }
}

static void rebase_many(uint64_t *place, uint64_t count, uint64_t skip) {
    for (; count; count--, *place += 8 + skip) *(uint64_t *)*place += SLIDE;
}

/* REBASE_OPCODE_… of mach-o/loader.h, by their numbers. */
static void rebase(uint32_t offset, uint32_t size) {
    const unsigned char *at = macho_start + offset, *end = at + size;
    uint64_t place = 0, count;
    while (at < end) {
        unsigned char code = *at & 0xf0, operand = *at & 0x0f;
        at++;
        switch (code) {
        case 0x00: return;
        case 0x10:
            if (operand != 1) die("dyld info", "a type to rebase that is no pointer");
            break;
        case 0x20: place = in_segment(operand, uleb(&at)); break;
        case 0x30: place += uleb(&at); break;
        case 0x40: place += operand * 8; break;
        case 0x50: rebase_many(&place, operand, 0); break;
        case 0x60: rebase_many(&place, uleb(&at), 0); break;
        case 0x70:
            rebase_many(&place, 1, 0);
            place += uleb(&at);
            break;
        case 0x80:
            count = uleb(&at);
            rebase_many(&place, count, uleb(&at));
            break;
        default: die("dyld info", "an unknown opcode to rebase");
        }
    }
}

static void note_thread_locals(const struct segment *segment) {
    const struct section *section = (const void *)(segment + 1);
    for (uint32_t i = 0; i < segment->section_count; i++, section++) {
        unsigned type = section->flags & 0xff;
        if (type != THREAD_LOCAL_REGULAR && type != THREAD_LOCAL_ZEROFILL) continue;
        if (!locals_begin) locals_begin = locals_filled_end = section->address;
        locals_end = section->address + section->size;
        if (type == THREAD_LOCAL_REGULAR) locals_filled_end = locals_end;
    }
}

/* Maps a segment, but the one that only keeps addresses free (__PAGEZERO). */
static void map(const struct segment *segment) {
    if (segment_count == COUNT(segments)) die("Mach-O", "too many segments");
    segments[segment_count++] = *segment;
    note_thread_locals(segment);
    if (!segment->protection) return;
    void *place = (void *)(segment->address + SLIDE);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap(place, segment->size, PROT_READ | PROT_WRITE, flags, -1, 0) != place) die("cannot map", segment->name);
    memcpy(place, macho_start + segment->offset, segment->file_size);
}

static void read_commands(void) {
    const struct header *header = (const void *)macho_start;
    if (header->magic != MAGIC_64) die("Mach-O", "it is none of 64 bits and one processor");
    const unsigned char *at = (const void *)(header + 1);
    for (uint32_t i = 0; i < header->command_count; i++) {
        const struct command *command = (const void *)at;
        if (command->kind == SEGMENT_64) map((const void *)at);
        if (command->kind == DYLD_INFO_ONLY) info = (const void *)at;
        if (command->kind == MAIN) entry = ((const struct entry_point *)at)->offset;
        if (command->kind == CHAINED_FIXUPS) die("Mach-O", "it has chained fixups, which the loader does not know");
        at += command->size;
    }
    if (!info || !entry) die("Mach-O", "it has no dyld info or no entry");
}

/* The protections are Linux's numbers (XNU: osfmk/mach/vm_prot.h). Gives where the file's beginning is. */
static uint64_t protect(void) {
    uint64_t text = 0;
    for (unsigned i = 0; i < segment_count; i++) {
        const struct segment *segment = &segments[i];
        char *place = (char *)(segment->address + SLIDE);
        if (!segment->protection) continue;
        if (segment->offset == 0 && segment->file_size) text = (uint64_t)place;
        mprotect(place, segment->size, segment->protection);
        if (segment->protection & PROT_EXEC) __builtin___clear_cache(place, place + segment->size);
    }
    return text;
}

int main(int argc, char **argv, char **envp) {
    timers_begin();
    read_commands();
    if (SLIDE) rebase(info->rebase, info->rebase_size);
    bind(info->bind, info->bind_size);
    bind(info->lazy_bind, info->lazy_bind_size);
    if (locals_begin) {
        thread_locals = calloc(1, locals_end - locals_begin);
        if (!thread_locals) die("thread-local variables", "no memory");
        memcpy(thread_locals, (void *)(locals_begin + SLIDE), locals_filled_end - locals_begin);
    }
    int (*start)(int, char **, char **, char **) = (void *)(protect() + entry);
    char *apple[] = {0};
    return start(argc, argv, envp, apple);
}
