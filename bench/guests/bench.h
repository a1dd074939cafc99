// What every guest program shares: the command line, random numbers, a checksum.
//
//   PROGRAM [SCALE [THREADS]]
//
// SCALE is the amount of work in percent of the default, THREADS is for the threaded programs.
// Rules: a program prints a result that depends only on SCALE and THREADS, the same bytes on
// every machine. So no addresses, times or libm functions other than sqrt go into a result, and
// nothing depends on the order in which threads run.
#ifndef HARTSCOPE_BENCH_H
#define HARTSCOPE_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct args {
    unsigned scale;
    unsigned threads;
};

static inline unsigned arg_number(int argc, char **argv, int index, unsigned otherwise)
{
    if (argc <= index)
        return otherwise;
    char *end;
    unsigned long value = strtoul(argv[index], &end, 10);
    if (*end != '\0' || value == 0 || value > 100000) {
        fprintf(stderr, "usage: %s [SCALE [THREADS]]\n", argv[0]);
        exit(2);
    }
    return (unsigned)value;
}

static inline struct args parse_args(int argc, char **argv)
{
    struct args args = {
        .scale = arg_number(argc, argv, 1, 100),
        .threads = arg_number(argc, argv, 2, 1),
    };
    return args;
}

// `amount` units of work at the default scale, never none.
static inline uint64_t scaled(struct args args, uint64_t amount)
{
    uint64_t n = amount * args.scale / 100;
    return n == 0 ? 1 : n;
}

// splitmix64: every seed gives a good sequence.
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Below `bound`, which must fit in 32 bits.
static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(((next_random(state) >> 32) * bound) >> 32);
}

// In [0, 1).
static inline double random_unit(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

#define CHECKSUM_START 0xcbf29ce484222325u

static inline uint64_t checksum_add(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x100000001b3u;
    return sum ^ (sum >> 29);
}

static inline uint64_t checksum_bytes(uint64_t sum, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

// The bits of a double, so that a checksum sees the last one of them.
static inline uint64_t double_bits(double value)
{
    union {
        double value;
        uint64_t bits;
    } u = {.value = value};
    return u.bits;
}

static inline void *must_alloc(size_t size)
{
    void *p = malloc(size);
    if (p == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return p;
}

#endif
