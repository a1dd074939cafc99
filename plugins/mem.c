/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * mem: counts memory accesses.
 *
 *   inline=on           count without calling the plugin (the default, if nothing else is asked for)
 *   callback=on         count by a callback
 *   haddr=on            count accesses to devices apart (by a callback; there are none in user mode)
 *   track=r|w|rw        what counts (rw)
 *   print-accesses=on   a line per access (interface version 4 and later):
 *                       pc,symbol,address,physical address,bits,load|store,value
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct counts {
    uint64_t memory;
    uint64_t io;
};

static struct qemu_plugin_scoreboard *board;
static qemu_plugin_u64 memory_count, io_count;
static bool use_inline, use_callback, split_io, print_accesses;
static enum qemu_plugin_mem_rw track = QEMU_PLUGIN_MEM_RW;

static void accessed(unsigned int vcpu, qemu_plugin_meminfo_t info UNUSED, uint64_t address UNUSED,
                     void *data UNUSED)
{
    struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
    counts->memory++;
}

/* Asks where each access goes. */
static void accessed_somewhere(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address,
                               void *data UNUSED)
{
    struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
    struct qemu_plugin_hwaddr *physical = qemu_plugin_get_hwaddr(info, address);
    if (physical != NULL && qemu_plugin_hwaddr_is_io(physical)) {
        counts->io++;
    } else {
        counts->memory++;
    }
}

#if QEMU_PLUGIN_VERSION >= 4
/* An instruction whose accesses are printed. Kept until the plugin goes. */
struct place {
    uint64_t pc;
    const char *symbol;
};

static struct table places = TABLE;

static struct place *place_of(struct qemu_plugin_insn *insn)
{
    uint64_t pc = qemu_plugin_insn_vaddr(insn);
    const char *symbol = qemu_plugin_insn_symbol(insn);
    pthread_mutex_lock(&places.lock);
    /* The symbol is part of the key: another program may have been loaded to this address since. */
    void **slot = table_slot(&places, pc, (uintptr_t)symbol);
    if (*slot == NULL) {
        struct place *place = need(malloc(sizeof(*place)));
        place->pc = pc;
        place->symbol = symbol != NULL ? symbol : "";
        *slot = place;
    }
    struct place *place = *slot;
    pthread_mutex_unlock(&places.lock);
    return place;
}

static void print_access(unsigned int vcpu UNUSED, qemu_plugin_meminfo_t info, uint64_t address,
                         void *data)
{
    const struct place *place = data;
    unsigned int bits = 8u << qemu_plugin_mem_size_shift(info);
    uint64_t physical = qemu_plugin_hwaddr_phys_addr(qemu_plugin_get_hwaddr(info, address));
    qemu_plugin_mem_value value = qemu_plugin_mem_get_value(info);
    char digits[40];
    switch (value.type) {
    case QEMU_PLUGIN_MEM_VALUE_U8:
        snprintf(digits, sizeof(digits), "0x%02" PRIx8, value.data.u8);
        break;
    case QEMU_PLUGIN_MEM_VALUE_U16:
        snprintf(digits, sizeof(digits), "0x%04" PRIx16, value.data.u16);
        break;
    case QEMU_PLUGIN_MEM_VALUE_U32:
        snprintf(digits, sizeof(digits), "0x%08" PRIx32, value.data.u32);
        break;
    case QEMU_PLUGIN_MEM_VALUE_U64:
        snprintf(digits, sizeof(digits), "0x%016" PRIx64, value.data.u64);
        break;
    default:
        snprintf(digits, sizeof(digits), "0x%016" PRIx64 "%016" PRIx64, value.data.u128.high,
                 value.data.u128.low);
        break;
    }
    out("0x%" PRIx64 ",%s,0x%" PRIx64 ",0x%" PRIx64 ",%u,%s,%s\n", place->pc, place->symbol, address,
        physical, bits, qemu_plugin_mem_is_store(info) ? "store" : "load", digits);
}
#endif

CB_TB_TRANS(translated)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (use_inline) {
            qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, track, QEMU_PLUGIN_INLINE_ADD_U64,
                                                          memory_count, 1);
        }
        if (use_callback) {
            qemu_plugin_register_vcpu_mem_cb(insn, split_io ? accessed_somewhere : accessed,
                                             QEMU_PLUGIN_CB_NO_REGS, track, NULL);
        }
#if QEMU_PLUGIN_VERSION >= 4
        if (print_accesses) {
            qemu_plugin_register_vcpu_mem_cb(insn, print_access, QEMU_PLUGIN_CB_NO_REGS, track,
                                             place_of(insn));
        }
#endif
    }
}

CB_ATEXIT(report)
{
    keep_all();
    if (use_inline || use_callback) {
        out("mem accesses: %" PRIu64 "\n", qemu_plugin_u64_sum(memory_count));
    }
    if (split_io) {
        out("io accesses: %" PRIu64 "\n", qemu_plugin_u64_sum(io_count));
    }
}

CB_UNLOAD(unload)
{
#if QEMU_PLUGIN_VERSION >= 4
    table_free(&places, free);
#endif
    board_free(board);
}

static bool arg_track(const char *arg)
{
    const char *value = arg_value(arg, "track");
    if (value == NULL) {
        return false;
    } else if (strcmp(value, "r") == 0) {
        track = QEMU_PLUGIN_MEM_R;
    } else if (strcmp(value, "w") == 0) {
        track = QEMU_PLUGIN_MEM_W;
    } else if (strcmp(value, "rw") == 0) {
        track = QEMU_PLUGIN_MEM_RW;
    } else {
        return false;
    }
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_bool(argv[i], "inline", &use_inline) && !arg_bool(argv[i], "callback", &use_callback)
            && !arg_bool(argv[i], "haddr", &split_io) && !arg_track(argv[i])
            && !arg_bool(argv[i], "print-accesses", &print_accesses)) {
            return arg_refused("mem", argv[i]);
        }
    }
#if QEMU_PLUGIN_VERSION < 4
    if (print_accesses) {
        fputs("mem: print-accesses needs a build for interface version 4 or later\n", stderr);
        return -1;
    }
#endif
    if (use_inline && (use_callback || split_io)) {
        fputs("mem: inline cannot be combined with callback or haddr: each access would count twice\n",
              stderr);
        return -1;
    }
    use_callback |= split_io;
    use_inline |= !use_callback && !print_accesses;

    board = qemu_plugin_scoreboard_new(sizeof(struct counts));
    memory_count = qemu_plugin_scoreboard_u64_in_struct(board, struct counts, memory);
    io_count = qemu_plugin_scoreboard_u64_in_struct(board, struct counts, io);
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
