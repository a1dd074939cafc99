/*
 * Counts executions of the instruction at `at=ADDRESS`, by an inline operation and by a callback, and
 * all blocks both ways; says what came out when the library is closed.
 */
#include "any.h"

struct element {
    uint64_t hits, called_hits, blocks, called_blocks;
};

static struct qemu_plugin_scoreboard *board;
static uint64_t at;

static qemu_plugin_u64 word(size_t offset)
{
    return (qemu_plugin_u64){ board, offset };
}

static void on_hit(unsigned int vcpu, void *userdata)
{
    ((struct element *)qemu_plugin_scoreboard_find(board, vcpu))->called_hits += 1;
}

static void on_block(unsigned int vcpu, void *userdata)
{
    ((struct element *)qemu_plugin_scoreboard_find(board, vcpu))->called_blocks += 1;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    enum qemu_plugin_op add = QEMU_PLUGIN_INLINE_ADD_U64;
    qemu_plugin_u64 blocks = word(offsetof(struct element, blocks));
    qemu_plugin_u64 hits = word(offsetof(struct element, hits));

    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, add, blocks, 1);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

        if (qemu_plugin_insn_vaddr(insn) == at) {
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, add, hits, 1);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_hit, QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
    }
}

__attribute__((destructor)) static void closed(void)
{
    char text[200];

    if (board) {
        snprintf(text, sizeof text, "hits %llu %llu blocks %llu %llu\n",
                 (unsigned long long)qemu_plugin_u64_sum(word(offsetof(struct element, hits))),
                 (unsigned long long)qemu_plugin_u64_sum(word(offsetof(struct element, called_hits))),
                 (unsigned long long)qemu_plugin_u64_sum(word(offsetof(struct element, blocks))),
                 (unsigned long long)qemu_plugin_u64_sum(
                     word(offsetof(struct element, called_blocks))));
        qemu_plugin_outs(text);
    }
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "at=", 3)) {
            return 1;
        }
        at = strtoull(argv[i] + 3, NULL, 0);
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct element));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
