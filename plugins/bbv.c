/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * bbv: basic-block vectors for SimPoint (interface version 3 and later).
 *
 *   interval=N     instructions per vector (100000000)
 *   outfile=NAME   vectors of vCPU V go to NAME.V.bb (bbv)
 *
 * A vector is a line "T:id:count :id:count ..."; `count` is the number of instructions that the block
 * `id` executed in the interval. Vectors have equal weight, so the rest after the last full interval is
 * not written; how long it was is reported.
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct block {
    struct block *next; /* the one numbered before it */
    uint64_t number;    /* from 1 */
    qemu_plugin_u64 insns;
};

struct state {
    uint64_t insns;     /* in the interval so far */
    uint64_t intervals; /* written */
    FILE *file;
};

static struct table blocks = TABLE;
static struct counter_pool pool = COUNTER_POOL;
/* All blocks, the last one first. Written under the table's lock, walked without: entries never change. */
static struct block *newest;
static struct qemu_plugin_scoreboard *board;
static uint64_t interval = 100000000;
static const char *outfile = "bbv";

static void open_file(struct state *state, unsigned int vcpu)
{
    char name[4096];
    snprintf(name, sizeof(name), "%s.%u.bb", outfile, vcpu);
    /* A later vCPU of this number goes on in the same file. */
    state->file = fopen(name, "w");
    if (state->file == NULL) {
        fprintf(stderr, "bbv: %s: %s\n", name, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static void interval_ended(unsigned int vcpu, void *data UNUSED)
{
    struct state *state = qemu_plugin_scoreboard_find(board, vcpu);
    if (state->file == NULL) {
        open_file(state, vcpu);
    }
    fputc('T', state->file);
    /* Pairs with the release when a block is put on the list. */
    for (struct block *block = __atomic_load_n(&newest, __ATOMIC_ACQUIRE); block != NULL;
         block = block->next) {
        uint64_t insns = qemu_plugin_u64_get(block->insns, vcpu);
        if (insns > 0) {
            fprintf(state->file, ":%" PRIu64 ":%" PRIu64 " ", block->number, insns);
            qemu_plugin_u64_set(block->insns, vcpu, 0);
        }
    }
    fputc('\n', state->file);
    state->insns -= interval;
    state->intervals++;
}

CB_TB_TRANS(translated)
{
    uint64_t pc = qemu_plugin_tb_vaddr(tb);
    size_t n_insns = qemu_plugin_tb_n_insns(tb);

    pthread_mutex_lock(&blocks.lock);
    void **slot = table_slot(&blocks, pc, n_insns);
    if (*slot == NULL) {
        struct block *block = need(malloc(sizeof(*block)));
        *block = (struct block){ newest, newest != NULL ? newest->number + 1 : 1,
                                 counter_new(&pool) };
        *slot = block;
        /* Whoever walks the list finds the block complete. */
        __atomic_store_n(&newest, block, __ATOMIC_RELEASE);
    }
    const struct block *block = *slot;
    pthread_mutex_unlock(&blocks.lock);

    qemu_plugin_u64 total = qemu_plugin_scoreboard_u64_in_struct(board, struct state, insns);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, block->insns,
                                                      n_insns);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, total, n_insns);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, interval_ended, QEMU_PLUGIN_CB_NO_REGS,
                                              QEMU_PLUGIN_COND_GE, total, interval, NULL);
}

static void close_file(struct state *state, int vcpu)
{
    if (state->file != NULL && fclose(state->file) != 0) {
        fprintf(stderr, "bbv: %s.%d.bb could not be written completely\n", outfile, vcpu);
    }
    state->file = NULL;
}

CB_ATEXIT(report)
{
    keep_all();
    for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        struct state *state = qemu_plugin_scoreboard_find(board, (unsigned)vcpu);
        close_file(state, vcpu);
        out("cpu %d: %" PRIu64 " intervals of %" PRIu64 " instructions, %" PRIu64 " after the last\n",
            vcpu, state->intervals, interval, state->insns);
    }
}

CB_UNLOAD(unload)
{
    for (int vcpu = 0; board != NULL && vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        close_file(qemu_plugin_scoreboard_find(board, (unsigned)vcpu), vcpu);
    }
    table_free(&blocks, free);
    counters_free(&pool);
    board_free(board);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if ((!arg_u64(argv[i], "interval", &interval) || interval == 0)
            && !arg_text(argv[i], "outfile", &outfile)) {
            return arg_refused("bbv", argv[i]);
        }
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct state));
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
