/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * cflow: where control flow leaves the straight line, how often, and where to (interface version 3 and
 * later).
 *
 *   sort=hottest      places whose transfers were taken most often first (the default)
 *   sort=early        only blocks that were left before their end
 *   sort=exceptions   the same, those with many destinations first: faults and signals
 *   limit=N           how many places to list (20)
 *
 * How it works: the last instruction of each block notes where the straight line goes on; every block,
 * when entered, compares its address with that, and calls the plugin only when they differ. A block that
 * is left before its last instruction has noted nothing: that is how early exits are known.
 */
#include "common.h"
#include "riscv.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* A destination. The list of a place only grows, by compare-and-swap; entries are never changed. */
struct destination {
    struct destination *next;
    uint64_t pc;
    qemu_plugin_u64 taken;
};

/* The last instruction of a block. Kept until the plugin goes. */
struct place {
    uint64_t pc;
    const char *symbol;
    char *text;
    enum riscv_class class;
    qemu_plugin_u64 executed; /* times it was reached */
    qemu_plugin_u64 early;    /* times its block was left before it */
    struct destination *destinations;
    /* For the report. */
    uint64_t taken_sum, early_sum, ways;
};

/* A vCPU's own. Pointers travel as numbers: they are stored by inline operations. */
struct state {
    uint64_t fall_through; /* of the block entered last, or NOT_REACHED before its last instruction */
    uint64_t block_end;    /* the place at the end of the block entered last */
};

/* No block begins there: addresses of instructions are even. */
static const uint64_t NOT_REACHED = UINT64_MAX;

enum order { HOTTEST, EARLY, EXCEPTIONS };

static struct table places = TABLE;
static struct counter_pool pool = COUNTER_POOL;
static struct qemu_plugin_scoreboard *board;
static enum order order = HOTTEST;
static uint64_t limit = 20;

static struct destination *destination_of(struct place *place, uint64_t pc)
{
    /* Acquire, here and on failure below, pairs with the release that put an entry on the list. */
    struct destination *first = __atomic_load_n(&place->destinations, __ATOMIC_ACQUIRE);
    struct destination *made = NULL;
    for (;;) {
        for (struct destination *it = first; it != NULL; it = it->next) {
            if (it->pc == pc) {
                free(made);
                return it;
            }
        }
        if (made == NULL) {
            /* The one lock in a callback: once for each new edge of the control-flow graph. */
            made = need(malloc(sizeof(*made)));
            *made = (struct destination){ NULL, pc, counter_new(&pool) };
        }
        made->next = first;
        if (__atomic_compare_exchange_n(&place->destinations, &first, made, false, __ATOMIC_RELEASE,
                                        __ATOMIC_ACQUIRE)) {
            return made;
        }
    }
}

/* A block is entered that does not follow the one before it. */
static void diverted(unsigned int vcpu, void *pc)
{
    const struct state *state = qemu_plugin_scoreboard_find(board, vcpu);
    struct place *place = (struct place *)(uintptr_t)state->block_end;
    if (place == NULL) {
        return; /* the vCPU's first block */
    }
    if (state->fall_through == NOT_REACHED) {
        qemu_plugin_u64_add(place->early, vcpu, 1);
    }
    qemu_plugin_u64_add(destination_of(place, (uintptr_t)pc)->taken, vcpu, 1);
}

static struct place *place_of(struct qemu_plugin_insn *insn)
{
    uint64_t pc = qemu_plugin_insn_vaddr(insn);
    uint32_t encoding = insn_encoding(insn);
    pthread_mutex_lock(&places.lock);
    void **slot = table_slot(&places, pc, encoding);
    if (*slot == NULL) {
        struct place *place = need(calloc(1, sizeof(*place)));
        place->pc = pc;
        place->symbol = qemu_plugin_insn_symbol(insn);
        place->text = qemu_plugin_insn_disas(insn);
        place->class = riscv_class(encoding);
        place->executed = counter_new(&pool);
        place->early = counter_new(&pool);
        *slot = place;
    }
    struct place *place = *slot;
    pthread_mutex_unlock(&places.lock);
    return place;
}

/* Its number may have been another vCPU's: what that one did last is not where this one comes from. */
CB_VCPU(started)
{
    *(struct state *)qemu_plugin_scoreboard_find(board, vcpu) = (struct state){ 0, 0 };
}

CB_TB_TRANS(translated)
{
    uint64_t pc = qemu_plugin_tb_vaddr(tb);
    struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);
    uint64_t fall_through = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
    struct place *place = place_of(last);

    qemu_plugin_u64 expected = qemu_plugin_scoreboard_u64_in_struct(board, struct state, fall_through);
    qemu_plugin_u64 block_end = qemu_plugin_scoreboard_u64_in_struct(board, struct state, block_end);

    /* First look back at the block before, then say what this one is. */
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, diverted, QEMU_PLUGIN_CB_NO_REGS,
                                              QEMU_PLUGIN_COND_NE, expected, pc,
                                              (void *)(uintptr_t)pc);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_STORE_U64, expected,
                                                      NOT_REACHED);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_STORE_U64, block_end,
                                                      (uintptr_t)place);
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(last, QEMU_PLUGIN_INLINE_STORE_U64,
                                                        expected, fall_through);
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(last, QEMU_PLUGIN_INLINE_ADD_U64,
                                                        place->executed, 1);
}

static void sum_up(struct place *place)
{
    place->early_sum = qemu_plugin_u64_sum(place->early);
    /* Pairs with the release in destination_of: a vCPU may still run when another calls exit(). */
    for (struct destination *it = __atomic_load_n(&place->destinations, __ATOMIC_ACQUIRE);
         it != NULL; it = it->next) {
        place->taken_sum += qemu_plugin_u64_sum(it->taken);
        place->ways++;
    }
}

static int before(const void *a, const void *b)
{
    const struct place *x = *(void *const *)a, *y = *(void *const *)b;
    int result = 0;
    switch (order) {
    case HOTTEST:
        result = descending(x->taken_sum, y->taken_sum);
        break;
    case EARLY:
        result = descending(x->early_sum, y->early_sum);
        break;
    case EXCEPTIONS:
        result = descending(x->ways, y->ways);
        break;
    }
    return result != 0 ? result : ascending(x->pc, y->pc);
}

static const char *kind_of(const struct place *place)
{
    switch (place->class) {
    case CLASS_BRANCH:
        return "branch";
    case CLASS_JUMP:
        return "jump";
    case CLASS_INDIRECT:
        return "indirect jump";
    case CLASS_CALL:
        return "call";
    case CLASS_RETURN:
        return "return";
    case CLASS_SYSTEM:
        return "system";
    default:
        return "not a branch";
    }
}

static int by_taken(const void *a, const void *b)
{
    const struct destination *x = *(void *const *)a, *y = *(void *const *)b;
    int result = descending(qemu_plugin_u64_sum(x->taken), qemu_plugin_u64_sum(y->taken));
    return result != 0 ? result : ascending(x->pc, y->pc);
}

static void print_place(const struct place *place)
{
    out("addr: 0x%" PRIx64 " %s: %s (%s)\n", place->pc, place->symbol != NULL ? place->symbol : "?",
        place->text, kind_of(place));
    out("  executed: %" PRIu64 "\n", qemu_plugin_u64_sum(place->executed));
    if (place->early_sum > 0) {
        out("  early exits: %" PRIu64 "\n", place->early_sum);
    }
    out("  branches: %" PRIu64 "\n", place->taken_sum);

    const void **ways = need(malloc((place->ways + 1) * sizeof(*ways)));
    size_t count = 0;
    /* Pairs as in sum_up; since then the list may have grown. */
    for (const struct destination *it = __atomic_load_n(&place->destinations, __ATOMIC_ACQUIRE);
         it != NULL && count < place->ways; it = it->next) {
        ways[count++] = it;
    }
    qsort(ways, count, sizeof(*ways), by_taken);
    for (size_t i = 0; i < count; i++) {
        const struct destination *way = ways[i];
        out("    to 0x%" PRIx64 " (%" PRIu64 ")\n", way->pc, qemu_plugin_u64_sum(way->taken));
    }
    free(ways);
}

CB_ATEXIT(report)
{
    keep_all();
    pthread_mutex_lock(&places.lock);
    size_t count, kept = 0;
    void **all = table_values(&places, &count);
    for (size_t i = 0; i < count; i++) {
        struct place *place = all[i];
        sum_up(place);
        if (order == HOTTEST ? place->taken_sum > 0 : place->early_sum > 0) {
            all[kept++] = place;
        }
    }
    qsort(all, kept, sizeof(*all), before);
    out("collected %zu destination nodes in the hash table\n", kept);
    for (size_t i = 0; i < kept && i < limit; i++) {
        print_place(all[i]);
    }
    free(all);
    pthread_mutex_unlock(&places.lock);
}

static void release(void *value)
{
    struct place *place = value;
    while (place->destinations != NULL) {
        struct destination *destination = place->destinations;
        place->destinations = destination->next;
        free(destination);
    }
    free(place->text);
    free(place);
}

CB_UNLOAD(unload)
{
    table_free(&places, release);
    counters_free(&pool);
    board_free(board);
}

static bool arg_sort(const char *arg)
{
    const char *value = arg_value(arg, "sort");
    if (value == NULL) {
        return false;
    } else if (strcmp(value, "hottest") == 0) {
        order = HOTTEST;
    } else if (strcmp(value, "early") == 0) {
        order = EARLY;
    } else if (strcmp(value, "exceptions") == 0) {
        order = EXCEPTIONS;
    } else {
        return false;
    }
    return true;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!arg_sort(argv[i]) && !arg_u64(argv[i], "limit", &limit)) {
            return arg_refused("cflow", argv[i]);
        }
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct state));
    on_vcpu_init(id, started);
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
