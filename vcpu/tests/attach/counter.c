/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Counts executed instructions in two ways, which must agree whenever it comes or goes: by an inline
 * addition, and by a callback that has to be called. Its argument is the address, in hexadecimal, of a
 * struct report that outlives it.
 */
#include <stdlib.h>

#include <qemu-plugin.h>

struct report {
    uint64_t inlined;
    uint64_t called;
    uint64_t shown;
    uint64_t closed;
};

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct report *report;
static qemu_plugin_u64 inlined;
static uint64_t called, shown;
static volatile uint64_t alive = 0x5eed;

static void executed(unsigned int vcpu, void *insns)
{
    (void)vcpu;
    if (alive != 0x5eed) {
        __builtin_trap();
    }
    __atomic_add_fetch(&called, (uint64_t)(uintptr_t)insns, __ATOMIC_RELAXED);
}

static void translated(struct qemu_plugin_tb *tb, void *userdata)
{
    size_t insns = qemu_plugin_tb_n_insns(tb);
    (void)userdata;
    __atomic_add_fetch(&shown, 1, __ATOMIC_RELAXED);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)insns);
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, inlined, insns);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    (void)info;
    if (argc != 1) {
        return -1;
    }
    report = (struct report *)(uintptr_t)strtoull(argv[0], NULL, 16);
    inlined = qemu_plugin_scoreboard_u64(qemu_plugin_scoreboard_new(sizeof(uint64_t)));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
    return 0;
}

/* The library is being closed: the last callback has returned. */
__attribute__((destructor)) static void last(void)
{
    if (report != NULL) {
        report->inlined = qemu_plugin_u64_sum(inlined);
        report->called = __atomic_load_n(&called, __ATOMIC_RELAXED);
        report->shown = shown;
        report->closed++;
    }
    alive = 0;
}
