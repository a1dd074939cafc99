/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * syscall: counts system calls by number, and how many of them failed.
 *
 *   print=on        report each call and its result instead
 *   log_writes=on   also show what the guest writes (interface version 4 and later)
 *
 * Counting takes no lock: the numbers that Linux uses are an array in each vCPU's scoreboard element.
 */
#include "common.h"
#if QEMU_PLUGIN_VERSION >= 4
#include "garray.h"
#endif

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum {
    NUMBERS = 512,     /* Linux for RISC-V uses fewer */
    OTHER = NUMBERS,   /* all that are no system call of Linux */
    WRITE_NUMBER = 64, /* write(fd, buffer, length) */
};

struct counts {
    struct {
        uint64_t calls;
        uint64_t errors;
    } of[NUMBERS + 1];
};

static struct qemu_plugin_scoreboard *board;
static bool print, log_writes;

static size_t index_of(int64_t num)
{
    return num >= 0 && num < NUMBERS ? (size_t)num : OTHER;
}

#if QEMU_PLUGIN_VERSION >= 4
enum { BYTES_PER_LINE = 16 };

/* One line of a hex dump: offset, bytes, and the bytes again as text. */
static void dump_line(const uint8_t *bytes, size_t offset, size_t length)
{
    char hex[3 * BYTES_PER_LINE + 1] = "", text[BYTES_PER_LINE + 1] = "";
    for (size_t i = 0; i < BYTES_PER_LINE; i++) {
        if (i < length) {
            uint8_t byte = bytes[offset + i];
            snprintf(&hex[3 * i], 4, "%02x ", byte);
            text[i] = byte >= ' ' && byte <= '~' ? (char)byte : '.';
        } else {
            snprintf(&hex[3 * i], 4, "   ");
        }
    }
    out("%08zx  %s |%s|\n", offset, hex, text);
}

static void show_write(unsigned int vcpu, uint64_t fd, uint64_t buffer, uint64_t length)
{
    enum { MOST = 1 << 20 };
    size_t shown = length < MOST ? length : MOST;
    GByteArray *bytes = garray.bytes_new();
    out("cpu %u writes %" PRIu64 " bytes at 0x%" PRIx64 " to %" PRId64 "%s\n", vcpu, length, buffer,
        (int64_t)fd, shown < length ? ", of which the first 1048576 are:" : "");
    if (qemu_plugin_read_memory_vaddr(buffer, bytes, shown)) {
        for (size_t offset = 0; offset < shown; offset += BYTES_PER_LINE) {
            size_t left = shown - offset;
            dump_line(bytes->data, offset, left < BYTES_PER_LINE ? left : BYTES_PER_LINE);
        }
    } else if (shown > 0) {
        out("(not readable)\n");
    }
    /* A GByteArray is a GArray of bytes. */
    garray.array_free((GArray *)bytes, true);
}
#endif

CB_SYSCALL(called)
{
#if QEMU_PLUGIN_VERSION >= 4
    if (log_writes && num == WRITE_NUMBER) {
        show_write(vcpu, a1, a2, a3);
    }
#endif
    if (print) {
        out("syscall #%" PRId64 "\n", num);
        return;
    }
    struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
    counts->of[index_of(num)].calls++;
}

CB_SYSCALL_RET(returned)
{
    if (print) {
        out("syscall #%" PRId64 " returned -> %" PRId64 "\n", num, ret);
        return;
    }
    if (ret < 0) {
        struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
        counts->of[index_of(num)].errors++;
    }
}

struct line {
    size_t num;
    uint64_t calls, errors;
};

static int busier(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = descending(x->calls, y->calls);
    return order != 0 ? order : ascending(x->num, y->num);
}

static uint64_t sum_at(size_t offset)
{
    return qemu_plugin_u64_sum((qemu_plugin_u64){ board, offset });
}

CB_ATEXIT(report)
{
    keep_all();
    if (print) {
        return;
    }
    struct line lines[NUMBERS + 1];
    size_t count = 0;
    for (size_t num = 0; num <= OTHER; num++) {
        struct line line = { num, sum_at(offsetof(struct counts, of[num].calls)),
                             sum_at(offsetof(struct counts, of[num].errors)) };
        if (line.calls > 0 || line.errors > 0) {
            lines[count++] = line;
        }
    }
    qsort(lines, count, sizeof(*lines), busier);
    out("syscall no.  calls  errors\n");
    for (size_t i = 0; i < count; i++) {
        char num[24];
        snprintf(num, sizeof(num), lines[i].num == OTHER ? "other" : "%zu", lines[i].num);
        out("%-11s  %-5" PRIu64 "  %" PRIu64 "\n", num, lines[i].calls, lines[i].errors);
    }
}

CB_UNLOAD(unload)
{
    board_free(board);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_bool(argv[i], "print", &print) && !arg_bool(argv[i], "log_writes", &log_writes)) {
            return arg_refused("syscall", argv[i]);
        }
    }
    if (log_writes) {
#if QEMU_PLUGIN_VERSION >= 4
        if (!garray_load("syscall")) {
            return -1;
        }
#else
        fputs("syscall: log_writes needs a build for interface version 4 or later\n", stderr);
        return -1;
#endif
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct counts));
    on_syscall(id, called);
    on_syscall_ret(id, returned);
    on_exit_of_guest(id, report);
    return 0;
}
