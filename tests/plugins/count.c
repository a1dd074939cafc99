/*
 * Counts blocks, instructions and memory accesses, each in every way that the version has, all at
 * once, and says what came out.
 *
 *   start=ADDR, end=ADDR   count only instructions in there (and blocks that begin there)
 *   mark=TEXT              comes before the numbers
 *
 * blocks: executions; in blocks: the instructions of the blocks executed; then the instructions
 * themselves; loads and stores.
 */
#include "any.h"

enum what { BLOCKS, IN_BLOCKS, INSNS, LOADS, STORES, WHATS };
static const char *const names[WHATS] = { "blocks", "in-blocks", "insns", "loads", "stores" };

struct element {
    uint64_t inlined[WHATS];
    uint64_t called[WHATS];
    /* What conditional callbacks have not fetched yet, and what they have. */
    uint64_t pending[INSNS + 1];
    uint64_t fetched[INSNS + 1];
};

static struct qemu_plugin_scoreboard *board;
static uint64_t start, end;
static const char *mark;

static qemu_plugin_u64 word(size_t offset)
{
    return (qemu_plugin_u64){ board, offset };
}

#define INLINED(what) word(offsetof(struct element, inlined) + 8 * (what))
#define PENDING(what) word(offsetof(struct element, pending) + 8 * (what))

static struct element *own(unsigned int vcpu)
{
    return qemu_plugin_scoreboard_find(board, vcpu);
}

static void on_block(unsigned int vcpu, void *userdata)
{
    own(vcpu)->called[BLOCKS] += 1;
    own(vcpu)->called[IN_BLOCKS] += (uintptr_t)userdata;
}

static void on_insn(unsigned int vcpu, void *userdata)
{
    own(vcpu)->called[INSNS] += 1;
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t addr, void *userdata)
{
    own(vcpu)->called[qemu_plugin_mem_is_store(info) ? STORES : LOADS] += 1;
}

#if VERSION >= 3
/* Enough has come together. */
static void fetch(unsigned int vcpu, void *userdata)
{
    uintptr_t what = (uintptr_t)userdata;
    own(vcpu)->fetched[what] += own(vcpu)->pending[what];
    own(vcpu)->pending[what] = 0;
}
#endif

static void watch_insn(struct qemu_plugin_insn *insn)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                        INLINED(INSNS), 1);
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS, NULL);
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_R,
                                                  QEMU_PLUGIN_INLINE_ADD_U64, INLINED(LOADS), 1);
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_W,
                                                  QEMU_PLUGIN_INLINE_ADD_U64, INLINED(STORES), 1);
    qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                     NULL);
#if VERSION >= 3
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                        PENDING(INSNS), 1);
    qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, fetch, QEMU_PLUGIN_CB_NO_REGS,
                                                QEMU_PLUGIN_COND_GE, PENDING(INSNS), 97,
                                                (void *)INSNS);
#endif
}

TRANS_CB(on_translation)
{
    uint64_t at = qemu_plugin_tb_vaddr(tb);
    size_t n = qemu_plugin_tb_n_insns(tb), inside = 0;
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t addr = qemu_plugin_insn_vaddr(insn);
        if (addr >= start && addr < end) {
            watch_insn(insn);
            inside += 1;
        }
    }
    if (inside == 0) {
        return;
    }
    if (at >= start && at < end) {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                          INLINED(BLOCKS), 1);
    }
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                      INLINED(IN_BLOCKS), inside);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, (void *)inside);
#if VERSION >= 3
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                      PENDING(BLOCKS), 1);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                      PENDING(IN_BLOCKS), inside);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, fetch, QEMU_PLUGIN_CB_NO_REGS,
                                              QEMU_PLUGIN_COND_GT, PENDING(BLOCKS), 11,
                                              (void *)BLOCKS);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, fetch, QEMU_PLUGIN_CB_NO_REGS,
                                              QEMU_PLUGIN_COND_NE, PENDING(IN_BLOCKS), 0,
                                              (void *)IN_BLOCKS);
#endif
}

ATEXIT_CB(on_exit_of_all)
{
    for (int what = 0; what < WHATS; what++) {
        struct element all;
        memset(&all, 0, sizeof all);
        for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
            struct element *one = own(vcpu);
            all.inlined[what] += one->inlined[what];
            all.called[what] += one->called[what];
            if (what <= INSNS) {
                all.fetched[what] += one->fetched[what] + one->pending[what];
            }
        }
        say("%sv%d %s: inline %" PRIu64 " callback %" PRIu64, mark, VERSION, names[what],
            all.inlined[what], all.called[what]);
        if (VERSION >= 3 && what <= INSNS) {
            say(" conditional %" PRIu64, all.fetched[what]);
        }
        say("\n");
        if (qemu_plugin_u64_sum(INLINED(what)) != all.inlined[what]) {
            say("the sum is another\n");
        }
    }
    qemu_plugin_scoreboard_free(board);
}

INSTALL
{
    start = number(argc, argv, "start", 0);
    end = number(argc, argv, "end", UINT64_MAX);
    mark = argument(argc, argv, "mark");
    mark = mark ? mark : "";
    board = qemu_plugin_scoreboard_new(sizeof(struct element));
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_of_all, NULL);
    return 0;
}
