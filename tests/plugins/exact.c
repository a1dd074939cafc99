/*
 * Counts instructions inline, and looks at the count in the middle of things: before some instructions,
 * after their accesses, in system calls and discontinuities.
 *
 *   every=N   before each N-th instruction of the program's text, by address: (ADDR / 2) % N == 0
 *
 * Lines: at|access|call|trap ADDR COUNT, the number of instructions that have begun before.
 */
#include "any.h"

static uint64_t every;
static qemu_plugin_u64 insns;

static void look(unsigned int vcpu, const char *what, uint64_t addr)
{
    say("%s %" PRIx64 " %" PRIu64 "\n", what, addr, qemu_plugin_u64_get(insns, vcpu));
}

static void on_insn(unsigned int vcpu, void *userdata)
{
    look(vcpu, "at", (uintptr_t)userdata);
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t addr, void *userdata)
{
    look(vcpu, "access", (uintptr_t)userdata);
}

TRANS_CB(on_translation)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t addr = qemu_plugin_insn_vaddr(insn);
        if (addr / 2 % every == 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)addr);
        }
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                            insns, 1);
        if (addr / 2 % every == 1) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, (void *)(uintptr_t)addr);
        }
    }
}

SYSCALL_CB(on_syscall)
{
    look(vcpu, "call", (uint64_t)num);
}

#if VERSION >= 5
DISCON_CB(on_discon)
{
    look(vcpu, "trap", from);
}
#endif

INSTALL
{
    every = number(argc, argv, "every", 7);
    insns = (qemu_plugin_u64){ qemu_plugin_scoreboard_new(8), 0 };
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    ON(qemu_plugin_register_vcpu_syscall_cb, id, on_syscall);
#if VERSION >= 5
    ON_DISCON(id, QEMU_PLUGIN_DISCON_ALL, on_discon);
#endif
    return 0;
}
