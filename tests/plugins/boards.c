/*
 * What scoreboards do when they are not counted on by generated code: entries are set, added to, read and
 * summed, from any vCPU; addresses stay; big elements; many boards.
 */
#include "any.h"

#include <stdatomic.h>

struct element {
    uint64_t first;
    uint64_t second;
};

static struct qemu_plugin_scoreboard *board, *big;
static qemu_plugin_u64 first, second;
static struct element *of_vcpu_0;
static bool seen[4096];

VCPU_CB(on_init)
{
    struct element *own = qemu_plugin_scoreboard_find(board, vcpu);
    if (vcpu == 0) {
        of_vcpu_0 = own;
        /* Made while there is a vCPU. */
        big = qemu_plugin_scoreboard_new(100000);
    }
    /* What a vCPU of this number has left is still there. */
    uint64_t left = seen[vcpu] ? 1100 + vcpu : 0;
    seen[vcpu] = true;
    if ((uintptr_t)own % 8 || own->first != left || qemu_plugin_u64_get(first, vcpu) != left) {
        say("odd: %" PRIu64 " at first\n", own->first);
    }
    qemu_plugin_u64_set(first, vcpu, 100 + vcpu);
    qemu_plugin_u64_add(first, vcpu, 1000);
    qemu_plugin_u64_set(second, vcpu, UINT64_MAX);
    qemu_plugin_u64_add(second, vcpu, 3);
    if (own->first != 1100 + vcpu || own->second != 2) {
        say("odd: %" PRIu64 " %" PRIu64 "\n", own->first, own->second);
    }
    for (unsigned int i = 0; i < vcpu; i++) {
        struct element *other = qemu_plugin_scoreboard_find(board, i);
        if (labs((long)((char *)other - (char *)own)) < 128) {
            say("odd: two vCPUs share a line\n");
        }
    }
    memset(qemu_plugin_scoreboard_find(big, vcpu), (int)vcpu + 1, 100000);
}

ATEXIT_CB(on_end)
{
    int vcpus = qemu_plugin_num_vcpus();
    uint64_t sum = 0;
    for (int i = 0; i < vcpus; i++) {
        const unsigned char *bytes = qemu_plugin_scoreboard_find(big, i);
        sum += qemu_plugin_u64_get(first, i);
        for (int j = 0; j < 100000; j++) {
            if (bytes[j] != i + 1) {
                say("odd: %d of %d is %d\n", j, i, bytes[j]);
                break;
            }
        }
    }
    if (of_vcpu_0 != qemu_plugin_scoreboard_find(board, 0)) {
        say("odd: it has moved\n");
    }
    say("%d vcpus: %s, %" PRIu64 "\n", vcpus,
        sum == qemu_plugin_u64_sum(first) ? "sum is right" : "odd: sum",
        qemu_plugin_u64_sum(second));
    qemu_plugin_scoreboard_free(big);
    qemu_plugin_scoreboard_free(board);
}

INSTALL
{
    board = qemu_plugin_scoreboard_new(sizeof(struct element));
    first = qemu_plugin_scoreboard_u64_in_struct(board, struct element, first);
    second = qemu_plugin_scoreboard_u64_in_struct(board, struct element, second);
    if (qemu_plugin_u64_sum(first) != 0) {
        say("odd: something without vCPUs\n");
    }
    ON(qemu_plugin_register_vcpu_init_cb, id, on_init);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
