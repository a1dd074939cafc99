/*
 * Sends the guest elsewhere, once or each time.
 *
 *   to=ADDR
 *   at=ADDR, by=insn|block|memory|cond   before, or for memory after, this instruction
 *   call=NUM, by=syscall|filter|return   in a callback of this system call
 *   trap=TYPE, by=discon
 *   flags=2|3
 */
#include "any.h"

static uint64_t to, at, call, trap;
static enum qemu_plugin_cb_flags flags;
static const char *by;
static struct qemu_plugin_scoreboard *board;

static bool is(const char *what)
{
    return strcmp(by, what) == 0;
}

static void leave(const char *from)
{
    say("leaving %s\n", from);
    qemu_plugin_set_pc(to);
}

static void on_point(unsigned int vcpu, void *userdata)
{
    leave(userdata);
}

static void behind(unsigned int vcpu, void *userdata)
{
    say("after %s\n", (char *)userdata);
}

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t addr, void *userdata)
{
    leave("memory");
}

TRANS_CB(on_translation)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (qemu_plugin_insn_vaddr(insn) != at) {
            continue;
        }
        if (is("insn")) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_point, flags, "insn");
            /* Not called: the first one has left. */
            qemu_plugin_register_vcpu_insn_exec_cb(insn, behind, QEMU_PLUGIN_CB_NO_REGS, "insn");
        }
        if (is("cond")) {
            qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, on_point, flags,
                                                        QEMU_PLUGIN_COND_EQ,
                                                        qemu_plugin_scoreboard_u64(board), 0,
                                                        "cond");
        }
        if (is("memory")) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_access, flags, QEMU_PLUGIN_MEM_RW, NULL);
        }
        if (is("block") && i == 0) {
            qemu_plugin_register_vcpu_tb_exec_cb(tb, on_point, flags, "block");
        }
    }
}

SYSCALL_CB(on_syscall)
{
    say("call %" PRId64 "\n", num);
    if ((uint64_t)num == call && is("syscall")) {
        leave("syscall");
    }
}

FILTER_CB(on_filter)
{
    if ((uint64_t)num == call && is("filter")) {
        leave("filter");
    }
    return false;
}

SYSRET_CB(on_return)
{
    say("return %" PRId64 "\n", num);
    if ((uint64_t)num == call && is("return")) {
        leave("return");
    }
}

DISCON_CB(on_discon)
{
    /* Once: the call that ends the guest is one, too. */
    if ((uint64_t)type == trap && is("discon") && trap) {
        trap = 0;
        leave("discon");
    }
}

INSTALL
{
    to = number(argc, argv, "to", 0);
    at = number(argc, argv, "at", 0);
    call = number(argc, argv, "call", UINT64_MAX);
    trap = number(argc, argv, "trap", 0);
    flags = number(argc, argv, "flags", 3);
    by = argument(argc, argv, "by");
    board = qemu_plugin_scoreboard_new(8);
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    ON(qemu_plugin_register_vcpu_syscall_cb, id, on_syscall);
    ON(qemu_plugin_register_vcpu_syscall_filter_cb, id, on_filter);
    ON(qemu_plugin_register_vcpu_syscall_ret_cb, id, on_return);
    ON_DISCON(id, QEMU_PLUGIN_DISCON_ALL, on_discon);
    return 0;
}
