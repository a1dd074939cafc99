/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * howvec: how often each class of instruction was executed.
 *
 *   inline=on          count without calling the plugin
 *   verbose=on         list also what was never executed, and every single instruction
 *   count=individual   count every instruction by itself, not its class
 *   count=CLASS        only those of this class (load, branch, fma, ...; may be repeated)
 *
 * "By itself" means by its encoding: the same instruction at two addresses counts as one.
 */
#include "common.h"
#include "riscv.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { LISTED = 50 };

/* What has a counter of its own: a class, or an encoding. */
struct kind {
    qemu_plugin_u64 executions;
    enum riscv_class class;
    uint32_t encoding;
    char *text; /* NULL for a class */
    uint64_t executed;
};

static struct kind classes[CLASS_COUNT];
static bool individually[CLASS_COUNT];
static struct table encodings = TABLE;
static struct counter_pool pool = COUNTER_POOL;
static bool use_inline, verbose;

static void executed(unsigned int vcpu, void *kind)
{
    qemu_plugin_u64_add(((const struct kind *)kind)->executions, vcpu, 1);
}

/* The disassembly, each run of blanks made one. */
static char *text_of(struct qemu_plugin_insn *insn)
{
    char *text = qemu_plugin_insn_disas(insn);
    char *to = need(text);
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != ' ' || (from[1] != ' ' && from[1] != '\0')) {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

static struct kind *kind_of(struct qemu_plugin_insn *insn)
{
    uint32_t encoding = insn_encoding(insn);
    enum riscv_class class = riscv_class(encoding);
    if (!individually[class]) {
        return &classes[class];
    }
    pthread_mutex_lock(&encodings.lock);
    void **slot = table_slot(&encodings, encoding, 0);
    if (*slot == NULL) {
        struct kind *kind = need(malloc(sizeof(*kind)));
        *kind = (struct kind){ counter_new(&pool), class, encoding, text_of(insn), 0 };
        *slot = kind;
    }
    struct kind *kind = *slot;
    pthread_mutex_unlock(&encodings.lock);
    return kind;
}

CB_TB_TRANS(translated)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        struct kind *kind = kind_of(insn);
        if (use_inline) {
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                                kind->executions, 1);
        } else {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS, kind);
        }
    }
}

static int more(const void *a, const void *b)
{
    const struct kind *x = *(void *const *)a, *y = *(void *const *)b;
    int order = descending(x->executed, y->executed);
    if (order == 0) {
        order = ascending(x->class, y->class);
    }
    return order != 0 ? order : ascending(x->encoding, y->encoding);
}

static void sort(void **kinds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct kind *kind = kinds[i];
        kind->executed = qemu_plugin_u64_sum(kind->executions);
    }
    qsort(kinds, count, sizeof(*kinds), more);
}

CB_ATEXIT(report)
{
    keep_all();
    void *by_class[CLASS_COUNT];
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        by_class[i] = &classes[i];
    }
    sort(by_class, CLASS_COUNT);
    out("Instruction Classes:\n");
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        const struct kind *kind = by_class[i];
        if (individually[kind->class]) {
            if (verbose) {
                out("Class: %-25s counted individually\n", riscv_class_name(kind->class));
            }
        } else if (kind->executed > 0 || verbose) {
            out("Class: %-25s (%" PRIu64 " hits)\n", riscv_class_name(kind->class), kind->executed);
        }
    }

    pthread_mutex_lock(&encodings.lock);
    size_t count;
    void **by_encoding = table_values(&encodings, &count);
    sort(by_encoding, count);
    if (count > 0) {
        out("Individual Instructions:\n");
    }
    for (size_t i = 0; i < count && (verbose || i < LISTED); i++) {
        const struct kind *kind = by_encoding[i];
        if (kind->executed > 0 || verbose) {
            out("Instr: %-24s\t(%" PRIu64 " hits)\t(op=0x%08" PRIx32 "/%s)\n", kind->text,
                kind->executed, kind->encoding, riscv_class_name(kind->class));
        }
    }
    free(by_encoding);
    pthread_mutex_unlock(&encodings.lock);
}

static void release(void *value)
{
    struct kind *kind = value;
    free(kind->text);
    free(kind);
}

CB_UNLOAD(unload)
{
    table_free(&encodings, release);
    counters_free(&pool);
}

static bool arg_count(const char *arg)
{
    const char *value = arg_value(arg, "count");
    if (value == NULL) {
        return false;
    }
    bool all = strcmp(value, "individual") == 0, found = all;
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        if (all || strcmp(value, riscv_class_option(i)) == 0) {
            individually[i] = true;
            found = true;
        }
    }
    return found;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    if (strncmp(info->target_name, "riscv", 5) != 0) {
        fprintf(stderr, "howvec: knows the classes of RISC-V instructions, not those of %s\n",
                info->target_name);
        return -1;
    }
    for (int i = 0; i < argc; i++) {
        if (!arg_bool(argv[i], "inline", &use_inline) && !arg_bool(argv[i], "verbose", &verbose)
            && !arg_count(argv[i])) {
            return arg_refused("howvec", argv[i]);
        }
    }
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        classes[i].class = i;
        classes[i].executions = counter_new(&pool);
    }
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
