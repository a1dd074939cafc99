/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * hotblocks: the blocks that were executed most often.
 *
 *   inline=on   count without calling the plugin
 *   limit=N     how many to list (20)
 *
 * Columns: address, times translated, instructions, times executed.
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* A block is known by its address and its length: code at an address may change. */
struct block {
    uint64_t pc;
    size_t n_insns;
    uint64_t translations;
    qemu_plugin_u64 executions;
    uint64_t executed; /* the sum, for sorting */
};

static struct table blocks = TABLE;
static struct counter_pool pool = COUNTER_POOL;
static bool use_inline;
static uint64_t limit = 20;

static void executed(unsigned int vcpu, void *block)
{
    qemu_plugin_u64_add(((const struct block *)block)->executions, vcpu, 1);
}

CB_TB_TRANS(translated)
{
    uint64_t pc = qemu_plugin_tb_vaddr(tb);
    size_t n_insns = qemu_plugin_tb_n_insns(tb);

    pthread_mutex_lock(&blocks.lock);
    void **slot = table_slot(&blocks, pc, n_insns);
    struct block *block = *slot;
    if (block == NULL) {
        block = need(calloc(1, sizeof(*block)));
        block->pc = pc;
        block->n_insns = n_insns;
        block->executions = counter_new(&pool);
        *slot = block;
    }
    block->translations++;
    pthread_mutex_unlock(&blocks.lock);

    if (use_inline) {
        qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                          block->executions, 1);
    } else {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, block);
    }
}

static int hotter(const void *a, const void *b)
{
    const struct block *x = *(void *const *)a, *y = *(void *const *)b;
    int order = descending(x->executed, y->executed);
    return order != 0 ? order : ascending(x->pc, y->pc);
}

CB_ATEXIT(report)
{
    keep_all();
    pthread_mutex_lock(&blocks.lock);
    size_t count;
    void **all = table_values(&blocks, &count);
    for (size_t i = 0; i < count; i++) {
        struct block *block = all[i];
        block->executed = qemu_plugin_u64_sum(block->executions);
    }
    qsort(all, count, sizeof(*all), hotter);
    out("collected %zu entries in the hash table\n", count);
    out("pc, tcount, icount, ecount\n");
    for (size_t i = 0; i < count && i < limit; i++) {
        const struct block *block = all[i];
        out("0x%016" PRIx64 ", %" PRIu64 ", %zu, %" PRIu64 "\n", block->pc, block->translations,
            block->n_insns, block->executed);
    }
    free(all);
    pthread_mutex_unlock(&blocks.lock);
}

CB_UNLOAD(unload)
{
    table_free(&blocks, free);
    counters_free(&pool);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_bool(argv[i], "inline", &use_inline) && !arg_u64(argv[i], "limit", &limit)) {
            return arg_refused("hotblocks", argv[i]);
        }
    }
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
