/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * called: counts in memory of its own, so that its callbacks have to be called each time.
 *
 *   at=tb|insn|mem   what is counted (tb)
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* Of one vCPU, or of several that take their chances. */
static struct {
    _Alignas(128) uint64_t n;
} counts[64];

static const char *at = "tb";

static void executed(unsigned int vcpu, void *userdata)
{
    (void)userdata;
    counts[vcpu % 64].n++;
}

static void accessed(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
    (void)info, (void)vaddr, (void)userdata;
    counts[vcpu % 64].n++;
}

static void translated(struct qemu_plugin_tb *tb, void *userdata)
{
    (void)userdata;
    if (strcmp(at, "tb") == 0) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, NULL);
        return;
    }
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (strcmp(at, "mem") == 0) {
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
        } else {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
    }
}

static void report(void *userdata)
{
    (void)userdata;
    uint64_t sum = 0;
    for (size_t i = 0; i < 64; i++) {
        sum += counts[i].n;
    }
    char line[64];
    snprintf(line, sizeof line, "%s: %" PRIu64 "\n", at, sum);
    qemu_plugin_outs(line);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    (void)info;
    if (argc > 0 && strncmp(argv[0], "at=", 3) == 0) {
        at = argv[0] + 3;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
    qemu_plugin_register_atexit_cb(id, report, NULL);
    return 0;
}
