// Allocation: binary trees made and freed, a churning population of blocks of mixed sizes, and
// growing buffers.
#include "bench.h"
#include <string.h>

enum { SLOTS = 4096 };

struct tree {
    struct tree *left, *right;
};

static struct tree *make_tree(unsigned depth)
{
    struct tree *t = must_alloc(sizeof *t);
    t->left = depth == 0 ? NULL : make_tree(depth - 1);
    t->right = depth == 0 ? NULL : make_tree(depth - 1);
    return t;
}

static unsigned count(const struct tree *t)
{
    return t == NULL ? 0 : 1 + count(t->left) + count(t->right);
}

static void free_tree(struct tree *t)
{
    if (t == NULL)
        return;
    free_tree(t->left);
    free_tree(t->right);
    free(t);
}

static uint64_t churn(uint64_t *seed, uint64_t steps)
{
    static unsigned char *blocks[SLOTS];
    static uint32_t sizes[SLOTS];
    uint64_t sum = CHECKSUM_START;
    for (; steps > 0; steps--) {
        uint32_t slot = random_below(seed, SLOTS);
        if (blocks[slot] != NULL) {
            sum = checksum_add(sum, blocks[slot][0] + blocks[slot][sizes[slot] - 1]);
            free(blocks[slot]);
        }
        // Mostly small, some of up to 16 KiB.
        uint32_t size = 1 + random_below(seed, 16u << random_below(seed, 11));
        blocks[slot] = must_alloc(size);
        sizes[slot] = size;
        memset(blocks[slot], (int)(steps & 0xff), size < 256 ? size : 256);
        blocks[slot][size - 1] = (unsigned char)slot;
    }
    for (int i = 0; i < SLOTS; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    return sum;
}

static uint64_t grow(uint64_t buffers)
{
    uint64_t sum = 0;
    for (; buffers > 0; buffers--) {
        uint32_t *numbers = NULL;
        size_t used = 0, capacity = 0;
        for (uint32_t i = 0; i < 1000 + buffers % 1000; i++) {
            if (used == capacity) {
                capacity = capacity == 0 ? 4 : capacity * 2;
                numbers = realloc(numbers, capacity * sizeof *numbers);
                if (numbers == NULL)
                    exit(1);
            }
            numbers[used++] = i * i;
        }
        sum += numbers[used / 2] + used;
        free(numbers);
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 14, sum = CHECKSUM_START, nodes = 0;

    for (uint64_t i = scaled(args, 60); i > 0; i--) {
        struct tree *t = make_tree(10 + (unsigned)i % 6);
        nodes += count(t);
        free_tree(t);
    }
    sum = checksum_add(sum, churn(&seed, scaled(args, 700000)));
    sum = checksum_add(sum, grow(scaled(args, 15000)));
    printf("alloc: %llu nodes, checksum %016llx\n", (unsigned long long)nodes,
           (unsigned long long)sum);
    return 0;
}
