/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What most plugins here need besides the interface: arguments, output, counters, a table.
 *
 * Rules that the plugins follow:
 *  1. What runs once per execution touches only the vCPU's own scoreboard element.
 *  2. Locks (each plugin's own) are taken when code is translated, never when it is executed; the few
 *     exceptions say why.
 *  3. What a plugin has made it gives back when it is taken out of a running guest, whoever asked for that:
 *     its library is closed after its last callback has returned, and CB_UNLOAD() says what is done then.
 *  4. Nothing is freed at exit: another vCPU may still be in a callback when some callback called exit().
 *     So each plugin has an atexit callback, which is called before destructors run, and begins with
 *     keep_all().
 */
#ifndef PLUGINS_COMMON_H
#define PLUGINS_COMMON_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "compat.h"

/* The end. Destructors are the one thing that runs whenever a library is closed: a plugin that somebody else
 * detaches or resets is not called any more. */
static bool process_ends;

/* The process ends: nothing is freed. */
static inline void keep_all(void)
{
    process_ends = true;
}

/* Defines what gives all memory back. It finds no other thread in the plugin. After an installation that was
 * refused it runs as well, so not everything need have been made. */
#define CB_UNLOAD(fn)                                                                              \
    static void fn(void);                                                                          \
    __attribute__((destructor)) static void fn##_unless_process_ends(void)                         \
    {                                                                                              \
        if (!process_ends) {                                                                       \
            fn();                                                                                  \
        }                                                                                          \
    }                                                                                              \
    static void fn(void)

/* Arguments: "name=value". Each function says whether `arg` is that argument with a valid value. */

static inline const char *arg_value(const char *arg, const char *name)
{
    size_t length = strlen(name);
    return strncmp(arg, name, length) == 0 && arg[length] == '=' ? arg + length + 1 : NULL;
}

static inline bool arg_text(const char *arg, const char *name, const char **out)
{
    const char *value = arg_value(arg, name);
    if (value == NULL || *value == '\0') {
        return false;
    }
    *out = value;
    return true;
}

static inline bool arg_bool(const char *arg, const char *name, bool *out)
{
    const char *value = arg_value(arg, name);
    return value != NULL && qemu_plugin_bool_parse(name, value, out);
}

static inline bool arg_u64(const char *arg, const char *name, uint64_t *out)
{
    const char *value = arg_value(arg, name);
    if (value == NULL || *value < '0' || *value > '9') {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 0);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *out = number;
    return true;
}

/* What install returns for an argument that nobody understood. */
static inline int arg_refused(const char *plugin, const char *arg)
{
    fprintf(stderr, "%s: argument not understood: %s\n", plugin, arg);
    return -1;
}

/* The emulator's plugin log, formatted. A line is handed over whole, so that lines of vCPUs do not mix. */
__attribute__((format(printf, 1, 2))) static inline void out(const char *format, ...)
{
    char small[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (length < (int)sizeof(small)) {
        qemu_plugin_outs(small);
        return;
    }
    char *large = malloc((size_t)length + 1);
    if (large != NULL) {
        va_start(args, format);
        vsnprintf(large, (size_t)length + 1, format, args);
        va_end(args);
        qemu_plugin_outs(large);
        free(large);
    }
}

/* Memory that a report cannot do without. */
static inline void *need(void *memory)
{
    if (memory == NULL) {
        fputs("plugin: out of memory\n", stderr);
        abort();
    }
    return memory;
}

/* A scoreboard that may not have been made. */
static inline void board_free(struct qemu_plugin_scoreboard *board)
{
    if (board != NULL) {
        qemu_plugin_scoreboard_free(board);
    }
}

/* Counters made while code is translated, one per block or instruction: each is a word of a large
 * scoreboard element, because a scoreboard of its own would take whole cache lines for eight bytes. */
enum { COUNTERS_PER_CHUNK = 512 };

struct counter_chunk {
    struct counter_chunk *next;
    struct qemu_plugin_scoreboard *board;
    size_t used;
};

struct counter_pool {
    pthread_mutex_t lock;
    struct counter_chunk *newest;
};

#define COUNTER_POOL { .lock = PTHREAD_MUTEX_INITIALIZER }

static inline qemu_plugin_u64 counter_new(struct counter_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct counter_chunk *chunk = pool->newest;
    if (chunk == NULL || chunk->used == COUNTERS_PER_CHUNK) {
        struct counter_chunk *full = chunk;
        chunk = need(malloc(sizeof(*chunk)));
        *chunk = (struct counter_chunk){
            full, qemu_plugin_scoreboard_new(COUNTERS_PER_CHUNK * sizeof(uint64_t)), 0
        };
        pool->newest = chunk;
    }
    qemu_plugin_u64 counter = { chunk->board, chunk->used++ * sizeof(uint64_t) };
    pthread_mutex_unlock(&pool->lock);
    return counter;
}

/* Frees all counters, when no code counts any more. */
static inline void counters_free(struct counter_pool *pool)
{
    while (pool->newest != NULL) {
        struct counter_chunk *chunk = pool->newest;
        pool->newest = chunk->next;
        qemu_plugin_scoreboard_free(chunk->board);
        free(chunk);
    }
}

/* A hash table from two words to a pointer. Translation uses it under its lock; entries stay
 * until the plugin goes. */
struct table_entry {
    uint64_t a, b;
    void *value;
};

struct table {
    pthread_mutex_t lock;
    struct table_entry *entries; /* open addressing; `value` is NULL in a free one */
    size_t capacity;             /* a power of two, or 0 */
    size_t used;
};

#define TABLE { .lock = PTHREAD_MUTEX_INITIALIZER }

static inline struct table_entry *table_probe(struct table_entry *entries, size_t capacity,
                                              uint64_t a, uint64_t b)
{
    /* Fibonacci hashing: the high half of a product depends on all bits of the factors. */
    uint64_t hash = (a ^ (b << 32 | b >> 32)) * 0x9e3779b97f4a7c15u;
    for (size_t i = hash >> 32;; i++) {
        struct table_entry *entry = &entries[i & (capacity - 1)];
        if (entry->value == NULL || (entry->a == a && entry->b == b)) {
            return entry;
        }
    }
}

/* The place of a key's value. With the lock held; a NULL found there must be filled before it is released. */
static inline void **table_slot(struct table *table, uint64_t a, uint64_t b)
{
    if (2 * table->used >= table->capacity) {
        size_t capacity = table->capacity == 0 ? 1024 : 2 * table->capacity;
        struct table_entry *entries = need(calloc(capacity, sizeof(*entries)));
        for (size_t i = 0; i < table->capacity; i++) {
            struct table_entry *old = &table->entries[i];
            if (old->value != NULL) {
                *table_probe(entries, capacity, old->a, old->b) = *old;
            }
        }
        free(table->entries);
        table->entries = entries;
        table->capacity = capacity;
    }
    struct table_entry *entry = table_probe(table->entries, table->capacity, a, b);
    if (entry->value == NULL) {
        entry->a = a;
        entry->b = b;
        table->used++;
    }
    return &entry->value;
}

/* The values, in an array that the caller frees; `*count` says how many. With the lock held. */
static inline void **table_values(const struct table *table, size_t *count)
{
    void **values = need(malloc((table->used + 1) * sizeof(*values)));
    *count = 0;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].value != NULL) {
            values[(*count)++] = table->entries[i].value;
        }
    }
    return values;
}

/* Frees a table and, by `release`, its values, when nothing uses them any more. */
static inline void table_free(struct table *table, void (*release)(void *value))
{
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].value != NULL) {
            release(table->entries[i].value);
        }
    }
    free(table->entries);
    table->entries = NULL;
    table->capacity = table->used = 0;
}

/* For qsort: larger first. */
static inline int descending(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b);
}

/* For qsort: smaller first. */
static inline int ascending(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

#endif
