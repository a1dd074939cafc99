/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * bb: counts executed translation blocks and the instructions in them.
 *
 *   inline=on   count without calling the plugin
 *   idle=on     also report a vCPU's counts whenever it goes idle
 *
 * A block that is left early, by a fault or a signal, counts with all its instructions; the plugin
 * insn counts each by itself.
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct counts {
    uint64_t blocks;
    uint64_t insns;
};

static qemu_plugin_u64 blocks, insns;
static bool use_inline, report_idle;

static void executed(unsigned int vcpu, void *n_insns)
{
    struct counts *counts = qemu_plugin_scoreboard_find(blocks.score, vcpu);
    counts->blocks++;
    counts->insns += (uintptr_t)n_insns;
}

CB_TB_TRANS(translated)
{
    size_t n_insns = qemu_plugin_tb_n_insns(tb);
    if (use_inline) {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, blocks, 1);
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, insns,
                                                          n_insns);
    } else {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, (void *)n_insns);
    }
}

static void report_vcpu(const char *prefix, unsigned int vcpu)
{
    out("%sCPU%u: bb's: %" PRIu64 ", insns: %" PRIu64 "\n", prefix, vcpu,
        qemu_plugin_u64_get(blocks, vcpu), qemu_plugin_u64_get(insns, vcpu));
}

CB_VCPU(idle)
{
    report_vcpu("Idling ", vcpu);
}

CB_ATEXIT(report)
{
    keep_all();
    for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        report_vcpu("", (unsigned)vcpu);
    }
    out("Total: bb's: %" PRIu64 ", insns: %" PRIu64 "\n", qemu_plugin_u64_sum(blocks),
        qemu_plugin_u64_sum(insns));
}

CB_UNLOAD(unload)
{
    board_free(blocks.score);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_bool(argv[i], "inline", &use_inline) && !arg_bool(argv[i], "idle", &report_idle)) {
            return arg_refused("bb", argv[i]);
        }
    }
    struct qemu_plugin_scoreboard *board = qemu_plugin_scoreboard_new(sizeof(struct counts));
    blocks = qemu_plugin_scoreboard_u64_in_struct(board, struct counts, blocks);
    insns = qemu_plugin_scoreboard_u64_in_struct(board, struct counts, insns);
    if (report_idle) {
        on_vcpu_idle(id, idle);
    }
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
