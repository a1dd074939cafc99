/*
 * Resets itself, and goes.
 *
 *   reset=N       asks for a reset in the N-th block
 *   uninstall=N   asks to be uninstalled in the N-th block
 *   twice=on      asks twice
 */
#include "any.h"

#include <stdatomic.h>

static qemu_plugin_id_t own_id;
static uint64_t reset_at, uninstall_at;
static bool twice;
static atomic_ulong blocks;
static atomic_bool gone;

static void count(void);
TRANS_CB(on_translation);

SIMPLE_CB(when_reset)
{
    say("reset done\n");
    ON(qemu_plugin_register_vcpu_tb_trans_cb, own_id, on_translation);
}

SIMPLE_CB(when_reset_again)
{
    say("reset done a second time\n");
}

SIMPLE_CB(when_uninstalled)
{
    say("uninstall done\n");
    gone = true;
}

SIMPLE_CB(when_uninstalled_again)
{
    say("uninstall done a second time\n");
}

static void count(void)
{
    unsigned long n = ++blocks;
    if (gone) {
        say("a callback after the last one\n");
    }
    if (n == reset_at) {
        say("asking for a reset\n");
        ON(qemu_plugin_reset, own_id, when_reset);
        if (twice) {
            ON(qemu_plugin_reset, own_id, when_reset_again);
        }
    }
    if (n == uninstall_at) {
        say("asking to go\n");
        ON(qemu_plugin_uninstall, own_id, when_uninstalled);
        if (twice) {
            ON(qemu_plugin_uninstall, own_id, when_uninstalled_again);
        }
    }
}

static void on_block(unsigned int vcpu, void *userdata)
{
    count();
}

TRANS_CB(on_translation)
{
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

SIMPLE_CB(on_flush)
{
    say("flush\n");
}

ATEXIT_CB(on_end)
{
    say("end\n");
}

__attribute__((destructor)) static void closed(void)
{
    say("closed\n");
}

INSTALL
{
    own_id = id;
    reset_at = number(argc, argv, "reset", 0);
    uninstall_at = number(argc, argv, "uninstall", 0);
    twice = argument(argc, argv, "twice") != NULL;
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    ON(qemu_plugin_register_flush_cb, id, on_flush);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
