/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * drcov: which blocks were executed, in the format that coverage viewers read.
 *
 *   filename=FILE   where to (file.drcov.trace)
 *
 * Blocks outside the program itself (shared libraries, generated code) have no place in the file; how
 * many there were is reported.
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct block {
    uint64_t pc;
    uint64_t size;
    qemu_plugin_u64 executed; /* not 0 for a vCPU that has executed it */
};

/* As the file has it. */
struct record {
    uint32_t offset;
    uint16_t size;
    uint16_t module;
} __attribute__((packed));

static struct table blocks = TABLE;
static struct counter_pool pool = COUNTER_POOL;
static const char *file_name = "file.drcov.trace";

CB_TB_TRANS(translated)
{
    uint64_t pc = qemu_plugin_tb_vaddr(tb);
    size_t last = qemu_plugin_tb_n_insns(tb) - 1;
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, last);
    uint64_t size = qemu_plugin_insn_vaddr(insn) + qemu_plugin_insn_size(insn) - pc;

    pthread_mutex_lock(&blocks.lock);
    void **slot = table_slot(&blocks, pc, size);
    if (*slot == NULL) {
        struct block *block = need(malloc(sizeof(*block)));
        *block = (struct block){ pc, size, counter_new(&pool) };
        *slot = block;
    }
    const struct block *block = *slot;
    pthread_mutex_unlock(&blocks.lock);

    /* That it was executed is all that is asked; an addition says it in every version. */
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                      block->executed, 1);
}

static int lower(const void *a, const void *b)
{
    const struct block *x = *(void *const *)a, *y = *(void *const *)b;
    int order = ascending(x->pc, y->pc);
    return order != 0 ? order : ascending(x->size, y->size);
}

CB_ATEXIT(report)
{
    keep_all();
    uint64_t start = qemu_plugin_start_code(), end = qemu_plugin_end_code();
    const char *path = qemu_plugin_path_to_binary();

    pthread_mutex_lock(&blocks.lock);
    size_t count, written = 0, outside = 0;
    void **all = table_values(&blocks, &count);
    qsort(all, count, sizeof(*all), lower);
    for (size_t i = 0; i < count; i++) {
        struct block *block = all[i];
        if (qemu_plugin_u64_sum(block->executed) == 0) {
            continue;
        }
        if (block->pc >= start && block->pc < end) {
            all[written++] = block;
        } else {
            outside++;
        }
    }

    FILE *file = fopen(file_name, "wb");
    if (file == NULL) {
        fprintf(stderr, "drcov: %s: %s\n", file_name, strerror(errno));
    } else {
        fprintf(file, "DRCOV VERSION: 2\nDRCOV FLAVOR: drcov-64\n");
        fprintf(file, "Module Table: version 2, count 1\nColumns: id, base, end, entry, path\n");
        fprintf(file, "0, 0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", %s\n", start, end,
                qemu_plugin_entry_code(), path != NULL ? path : "?");
        fprintf(file, "BB Table: %zu bbs\n", written);
        for (size_t i = 0; i < written; i++) {
            const struct block *block = all[i];
            struct record record = { (uint32_t)(block->pc - start), (uint16_t)block->size, 0 };
            fwrite(&record, sizeof(record), 1, file);
        }
        bool failed = ferror(file) != 0;
        if ((fclose(file) != 0) | failed) {
            fprintf(stderr, "drcov: %s: could not be written completely\n", file_name);
        }
    }
    if (outside > 0) {
        out("drcov: %zu executed blocks outside the program are not in %s\n", outside, file_name);
    }
    free(all);
    pthread_mutex_unlock(&blocks.lock);
}

CB_UNLOAD(unload)
{
    table_free(&blocks, free);
    counters_free(&pool);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_text(argv[i], "filename", &file_name)) {
            return arg_refused("drcov", argv[i]);
        }
    }
    if (info->system_emulation) {
        fputs("drcov: a whole machine has no program to relate blocks to\n", stderr);
        return -1;
    }
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
