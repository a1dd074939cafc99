/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * cache: a model of instruction and data caches; which instructions miss.
 *
 *   icachesize=N iblksize=N iassoc=N   instruction cache in bytes, its line, its ways (16384, 64, 8)
 *   dcachesize=N dblksize=N dassoc=N   data cache (the same)
 *   l2=on                              add a unified second level
 *   l2cachesize=N l2blksize=N l2assoc=N    its size (2097152, 64, 16); each of them implies l2=on
 *   evict=lru|fifo|rand                which line makes place (lru)
 *   cores=N                            vCPU V uses the caches of core V modulo N; without it each vCPU
 *                                      has a core of its own
 *   limit=N                            instructions listed for each cache (32)
 *
 * Caches of a core that several vCPUs share are guarded by that core's lock. With a core per vCPU, which
 * is the default, no lock is taken. Cores do not invalidate each other's lines.
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum policy { LRU, FIFO, RAND };
enum level { L1_DATA, L1_INSN, L2, LEVELS };

static const char *const level_names[LEVELS] = { "data", "fetch", "L2" };

struct shape {
    uint64_t size, block, ways;
    /* The same for the hot path: no division there. */
    unsigned int block_shift;
    uint64_t set_mask;
};

static struct shape shapes[LEVELS] = {
    [L1_DATA] = { .size = 16384, .block = 64, .ways = 8 },
    [L1_INSN] = { .size = 16384, .block = 64, .ways = 8 },
    [L2] = { .size = 2097152, .block = 64, .ways = 16 },
};
static enum policy policy = LRU;
static bool use_l2;
static uint64_t limit = 32, n_cores;

/* Each set is an array of lines, the one to be kept longest first. A line is its block's number plus
 * one; 0 is an empty line. */
struct cache {
    uint64_t *lines;
    uint64_t accesses, misses;
};

struct core {
    pthread_mutex_t lock; /* used only if cores are shared */
    uint64_t random;
    struct cache caches[LEVELS];
};

/* Without cores=N: an element per vCPU. With it: an array, `shared`. */
static struct qemu_plugin_scoreboard *board;
static struct core *shared;

/* An instruction, by address and encoding. Kept until the plugin goes. */
struct insn {
    uint64_t address;
    const char *symbol;
    char *text;
    uint64_t misses[LEVELS]; /* of all cores: added to atomically, but only on a miss */
};

static struct table insns = TABLE;

static uint64_t sets_of(const struct shape *shape)
{
    return shape->size / (shape->block * shape->ways);
}

static void core_init(struct core *core)
{
    core->random = 0x9e3779b97f4a7c15u;
    for (size_t level = 0; level < LEVELS; level++) {
        const struct shape *shape = &shapes[level];
        if (level != L2 || use_l2) {
            core->caches[level].lines =
                need(calloc(sets_of(shape) * shape->ways, sizeof(*core->caches[level].lines)));
        }
    }
}

static void core_free(struct core *core)
{
    for (size_t level = 0; level < LEVELS; level++) {
        free(core->caches[level].lines);
    }
}

static uint64_t next_random(struct core *core)
{
    uint64_t x = core->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return core->random = x;
}

/* One access; whether it hit. An access that crosses lines counts for the first. */
static bool cache_access(struct core *core, enum level level, uint64_t address)
{
    const struct shape *shape = &shapes[level];
    struct cache *cache = &core->caches[level];
    uint64_t number = address >> shape->block_shift;
    uint64_t *set = &cache->lines[(number & shape->set_mask) * shape->ways];
    uint64_t line = number + 1;
    cache->accesses++;
    if (set[0] == line) {
        return true; /* most often, and whatever the policy */
    }
    size_t way = 1;
    while (way < shape->ways && set[way] != line) {
        way++;
    }
    bool hit = way < shape->ways;
    if (hit && policy != LRU) {
        return true;
    }
    if (!hit) {
        cache->misses++;
        /* The last line makes place: the one not used, or not loaded, for longest. Or one at random,
         * but not while there is room. */
        way = shape->ways - 1;
        if (policy == RAND && set[way] != 0) {
            way = next_random(core) % shape->ways;
        }
    }
    memmove(&set[1], &set[0], way * sizeof(*set));
    set[0] = line;
    return hit;
}

static void access_levels(struct core *core, enum level level, uint64_t address, struct insn *insn)
{
    if (n_cores > 0) {
        pthread_mutex_lock(&core->lock);
    }
    if (!cache_access(core, level, address)) {
        __atomic_fetch_add(&insn->misses[level], 1, __ATOMIC_RELAXED);
        if (use_l2 && !cache_access(core, L2, address)) {
            __atomic_fetch_add(&insn->misses[L2], 1, __ATOMIC_RELAXED);
        }
    }
    if (n_cores > 0) {
        pthread_mutex_unlock(&core->lock);
    }
}

static struct core *core_of(unsigned int vcpu)
{
    if (n_cores > 0) {
        return &shared[vcpu % n_cores];
    }
    struct core *core = qemu_plugin_scoreboard_find(board, vcpu);
    if (core->caches[L1_DATA].lines == NULL) {
        core_init(core);
    }
    return core;
}

static void fetched(unsigned int vcpu, void *data)
{
    struct insn *insn = data;
    access_levels(core_of(vcpu), L1_INSN, insn->address, insn);
}

static void accessed(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    struct qemu_plugin_hwaddr *physical = qemu_plugin_get_hwaddr(info, address);
    if (physical != NULL) {
        if (qemu_plugin_hwaddr_is_io(physical)) {
            return; /* devices are not cached */
        }
        address = qemu_plugin_hwaddr_phys_addr(physical);
    }
    access_levels(core_of(vcpu), L1_DATA, address, data);
}

CB_TB_TRANS(translated)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        pthread_mutex_lock(&insns.lock);
        void **slot = table_slot(&insns, address, insn_encoding(insn));
        if (*slot == NULL) {
            struct insn *made = need(calloc(1, sizeof(*made)));
            made->address = address;
            made->symbol = qemu_plugin_insn_symbol(insn);
            made->text = qemu_plugin_insn_disas(insn);
            *slot = made;
        }
        void *data = *slot;
        pthread_mutex_unlock(&insns.lock);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, fetched, QEMU_PLUGIN_CB_NO_REGS, data);
        qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
                                         data);
    }
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void print_core(const char *name, const struct core *core)
{
    const struct cache *data = &core->caches[L1_DATA], *insn = &core->caches[L1_INSN];
    const struct cache *l2 = &core->caches[L2];
    char more[96] = "";
    if (use_l2) {
        snprintf(more, sizeof(more), "  %-14" PRIu64 " %-12" PRIu64 " %8.4f%%", l2->accesses,
                 l2->misses, percent(l2->misses, l2->accesses));
    }
    out("%-7s %-14" PRIu64 " %-12" PRIu64 " %8.4f%%  %-14" PRIu64 " %-12" PRIu64 " %8.4f%%%s\n", name,
        data->accesses, data->misses, percent(data->misses, data->accesses), insn->accesses,
        insn->misses, percent(insn->misses, insn->accesses), more);
}

static void print_cores(void)
{
    size_t count = n_cores > 0 ? n_cores : (size_t)qemu_plugin_num_vcpus();
    struct core sum = { .random = 0 };
    out("core #, data accesses, data misses, dmiss rate, insn accesses, insn misses, imiss rate%s\n",
        use_l2 ? ", l2 accesses, l2 misses, l2 miss rate" : "");
    for (size_t i = 0; i < count; i++) {
        const struct core *core =
            n_cores > 0 ? &shared[i] : qemu_plugin_scoreboard_find(board, (unsigned)i);
        char name[24];
        snprintf(name, sizeof(name), "%zu", i);
        print_core(name, core);
        for (size_t level = 0; level < LEVELS; level++) {
            sum.caches[level].accesses += core->caches[level].accesses;
            sum.caches[level].misses += core->caches[level].misses;
        }
    }
    if (count > 1) {
        print_core("sum", &sum);
    }
}

/* qsort has no argument for it. */
static enum level sorted_level;

static int worse(const void *a, const void *b)
{
    const struct insn *x = *(void *const *)a, *y = *(void *const *)b;
    int order = descending(x->misses[sorted_level], y->misses[sorted_level]);
    return order != 0 ? order : ascending(x->address, y->address);
}

CB_ATEXIT(report)
{
    keep_all();
    print_cores();
    pthread_mutex_lock(&insns.lock);
    size_t count;
    void **all = table_values(&insns, &count);
    for (size_t level = 0; level < (use_l2 ? LEVELS : L2); level++) {
        sorted_level = level;
        qsort(all, count, sizeof(*all), worse);
        out("\naddress, %s misses, instruction\n", level_names[level]);
        for (size_t i = 0; i < count && i < limit; i++) {
            const struct insn *insn = all[i];
            if (insn->misses[level] == 0) {
                break;
            }
            out("0x%" PRIx64 "%s%s%s, %" PRIu64 ", %s\n", insn->address,
                insn->symbol != NULL ? " (" : "", insn->symbol != NULL ? insn->symbol : "",
                insn->symbol != NULL ? ")" : "", insn->misses[level], insn->text);
        }
    }
    free(all);
    pthread_mutex_unlock(&insns.lock);
}

static void release(void *value)
{
    struct insn *insn = value;
    free(insn->text);
    free(insn);
}

CB_UNLOAD(unload)
{
    for (size_t i = 0; shared != NULL && i < n_cores; i++) {
        core_free(&shared[i]);
    }
    free(shared);
    for (int vcpu = 0; board != NULL && vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        core_free(qemu_plugin_scoreboard_find(board, (unsigned)vcpu));
    }
    board_free(board);
    table_free(&insns, release);
}

static bool is_power_of_two(uint64_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* Checks a shape, and prepares it for use. */
static bool prepare(const char *name, struct shape *shape)
{
    enum { LARGEST = 1 << 30 };
    bool valid = is_power_of_two(shape->block) && shape->ways >= 1 && shape->size <= LARGEST
                 && shape->block <= LARGEST && shape->ways <= LARGEST
                 && shape->size % (shape->block * shape->ways) == 0
                 && is_power_of_two(sets_of(shape));
    if (!valid) {
        fprintf(stderr,
                "cache: %s: line and number of sets (size / line / ways) must be powers of two\n",
                name);
        return false;
    }
    shape->block_shift = (unsigned int)__builtin_ctzll(shape->block);
    shape->set_mask = sets_of(shape) - 1;
    return true;
}

static bool arg_evict(const char *arg)
{
    const char *value = arg_value(arg, "evict");
    if (value == NULL) {
        return false;
    } else if (strcmp(value, "lru") == 0) {
        policy = LRU;
    } else if (strcmp(value, "fifo") == 0) {
        policy = FIFO;
    } else if (strcmp(value, "rand") == 0) {
        policy = RAND;
    } else {
        return false;
    }
    return true;
}

static bool arg_l2_shape(const char *arg)
{
    bool found = arg_u64(arg, "l2cachesize", &shapes[L2].size)
                 || arg_u64(arg, "l2blksize", &shapes[L2].block)
                 || arg_u64(arg, "l2assoc", &shapes[L2].ways);
    use_l2 |= found;
    return found;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!arg_u64(arg, "icachesize", &shapes[L1_INSN].size)
            && !arg_u64(arg, "iblksize", &shapes[L1_INSN].block)
            && !arg_u64(arg, "iassoc", &shapes[L1_INSN].ways)
            && !arg_u64(arg, "dcachesize", &shapes[L1_DATA].size)
            && !arg_u64(arg, "dblksize", &shapes[L1_DATA].block)
            && !arg_u64(arg, "dassoc", &shapes[L1_DATA].ways) && !arg_l2_shape(arg)
            && !arg_bool(arg, "l2", &use_l2) && !arg_u64(arg, "limit", &limit)
            && (!arg_u64(arg, "cores", &n_cores) || n_cores == 0 || n_cores > 4096)
            && !arg_evict(arg)) {
            return arg_refused("cache", arg);
        }
    }
    if (!prepare("instruction cache", &shapes[L1_INSN]) || !prepare("data cache", &shapes[L1_DATA])
        || !prepare("l2", &shapes[L2])) {
        return -1;
    }
    if (n_cores > 0) {
        shared = need(calloc(n_cores, sizeof(*shared)));
        for (size_t i = 0; i < n_cores; i++) {
            pthread_mutex_init(&shared[i].lock, NULL);
            core_init(&shared[i]);
        }
    } else {
        board = qemu_plugin_scoreboard_new(sizeof(struct core));
    }
    on_tb_trans(id, translated);
    on_exit_of_guest(id, report);
    return 0;
}
