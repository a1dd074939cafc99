/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What most plugins here need besides the interface: arguments, output, counters, a table.
 *
 * Rules that the plugins follow:
 *  1. What runs once per execution touches only the vCPU's own scoreboard element.
 *  2. Locks (each plugin's own) are taken when code is translated, never when it is executed; the few
 *     exceptions say why.
 *  3. Nothing is freed at exit: another vCPU may still be in a callback when some callback called exit().
 */
#ifndef PLUGINS_COMMON_H
#define PLUGINS_COMMON_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "compat.h"

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

/* Counters made while code is translated, one per block or instruction: each is a word of a large
 * scoreboard element, because a scoreboard of its own would take whole cache lines for eight bytes. */
enum { COUNTERS_PER_CHUNK = 512 };

struct counter_pool {
    pthread_mutex_t lock;
    struct qemu_plugin_scoreboard *chunk;
    size_t used;
};

#define COUNTER_POOL { .lock = PTHREAD_MUTEX_INITIALIZER }

static inline qemu_plugin_u64 counter_new(struct counter_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->chunk == NULL || pool->used == COUNTERS_PER_CHUNK) {
        pool->chunk = qemu_plugin_scoreboard_new(COUNTERS_PER_CHUNK * sizeof(uint64_t));
        pool->used = 0;
    }
    qemu_plugin_u64 counter = { pool->chunk, pool->used++ * sizeof(uint64_t) };
    pthread_mutex_unlock(&pool->lock);
    return counter;
}

/* A hash table from two words to a pointer. Translation uses it under its lock; entries stay. */
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
