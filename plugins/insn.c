/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * insn: counts executed instructions, per vCPU and in total.
 *
 *   inline=on    count without calling the plugin
 *   sizes=on     also how many were two and how many four bytes long
 *   match=TEXT   report each execution of an instruction whose disassembly contains TEXT
 *   trace=on     report every instruction
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { MAX_SIZE = 8 };

struct counts {
    uint64_t insns;
    uint64_t by_size[MAX_SIZE + 1];
    /* Of instructions that matched: how often, and the value of `insns` at the last one. */
    uint64_t matches;
    uint64_t last_match;
};

/* An instruction that is reported when it is executed. Kept until the plugin goes. */
struct reported {
    uint64_t address;
    qemu_plugin_u64 hits;
    char *text;
};

static struct qemu_plugin_scoreboard *board;
static struct table known = TABLE;
static struct counter_pool pool = COUNTER_POOL;
static bool use_inline, count_sizes, trace;
static const char *match;

static qemu_plugin_u64 entry_of(size_t offset)
{
    return (qemu_plugin_u64){ board, offset };
}

static qemu_plugin_u64 total_entry(void)
{
    return entry_of(offsetof(struct counts, insns));
}

static void executed(unsigned int vcpu, void *size)
{
    struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
    counts->insns++;
    counts->by_size[(uintptr_t)size]++;
}

static void traced(unsigned int vcpu, void *data)
{
    const struct reported *insn = data;
    out("%u, 0x%" PRIx64 ", \"%s\"\n", vcpu, insn->address, insn->text);
}

static void matched(unsigned int vcpu, void *data)
{
    const struct reported *insn = data;
    struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
    uint64_t since = counts->insns - counts->last_match;
    counts->last_match = counts->insns;
    counts->matches++;
    qemu_plugin_u64_add(insn->hits, vcpu, 1);
    out("0x%" PRIx64 ", '%s', %" PRIu64 " hits, cpu %u, %" PRIu64 " match hits, +%" PRIu64
        " since last match, %" PRIu64 " avg insns/match\n",
        insn->address, insn->text, qemu_plugin_u64_get(insn->hits, vcpu), vcpu, counts->matches,
        since, counts->insns / counts->matches);
}

/* The text without the blanks that pad it. */
static char *text_of(struct qemu_plugin_insn *insn)
{
    char *text = qemu_plugin_insn_disas(insn);
    size_t length = strlen(need(text));
    while (length > 0 && text[length - 1] == ' ') {
        text[--length] = '\0';
    }
    return text;
}

/* One for each instruction, however often it is translated. Takes the text. */
static struct reported *entry_for(struct qemu_plugin_insn *insn, char *text)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);
    pthread_mutex_lock(&known.lock);
    void **slot = table_slot(&known, address, insn_encoding(insn));
    if (*slot == NULL) {
        struct reported *made = need(malloc(sizeof(*made)));
        *made = (struct reported){ address, counter_new(&pool), text };
        *slot = made;
    } else {
        free(text);
    }
    struct reported *entry = *slot;
    pthread_mutex_unlock(&known.lock);
    return entry;
}

static void report_insn(struct qemu_plugin_insn *insn)
{
    char *text = text_of(insn);
    bool matches = match != NULL && strstr(text, match) != NULL;
    if (!trace && !matches) {
        free(text);
        return;
    }
    struct reported *entry = entry_for(insn, text);
    if (trace) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, traced, QEMU_PLUGIN_CB_NO_REGS, entry);
    }
    if (matches) {
        qemu_plugin_register_vcpu_insn_exec_cb(insn, matched, QEMU_PLUGIN_CB_NO_REGS, entry);
    }
}

CB_TB_TRANS(translated)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t size = qemu_plugin_insn_size(insn);
        if (use_inline) {
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                insn, QEMU_PLUGIN_INLINE_ADD_U64, total_entry(), 1);
            if (count_sizes && size <= MAX_SIZE) {
                size_t offset = offsetof(struct counts, by_size) + size * sizeof(uint64_t);
                qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                    insn, QEMU_PLUGIN_INLINE_ADD_U64, entry_of(offset), 1);
            }
        } else {
            /* The size travels as the userdata: nothing to look up when the instruction runs. */
            qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(size <= MAX_SIZE ? size : 0));
        }
        if (match != NULL || trace) {
            report_insn(insn);
        }
    }
}

CB_ATEXIT(report)
{
    keep_all();
    for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        out("cpu %d insns: %" PRIu64 "\n", vcpu, qemu_plugin_u64_get(total_entry(), (unsigned)vcpu));
    }
    out("total insns: %" PRIu64 "\n", qemu_plugin_u64_sum(total_entry()));
    for (size_t size = 1; count_sizes && size <= MAX_SIZE; size++) {
        uint64_t sum = qemu_plugin_u64_sum(
            entry_of(offsetof(struct counts, by_size) + size * sizeof(uint64_t)));
        if (sum > 0) {
            out("len %zu bytes: %" PRIu64 " insns\n", size, sum);
        }
    }
}

static void release(void *value)
{
    struct reported *insn = value;
    free(insn->text);
    free(insn);
}

CB_UNLOAD(unload)
{
    table_free(&known, release);
    counters_free(&pool);
    board_free(board);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_bool(argv[i], "inline", &use_inline) && !arg_bool(argv[i], "sizes", &count_sizes)
            && !arg_bool(argv[i], "trace", &trace) && !arg_text(argv[i], "match", &match)) {
            return arg_refused("insn", argv[i]);
        }
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct counts));
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
