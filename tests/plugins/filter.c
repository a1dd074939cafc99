/*
 * Makes system calls in the kernel's stead.
 *
 *   call=NUM, result=VALUE   this one, with this result
 *   name=TEXT                for the log
 *   pass=on                  looks at the call, sets a result and lets it pass
 */
#include "any.h"

static uint64_t call;
static int64_t result;
static const char *name;
static bool pass;

SYSCALL_CB(on_syscall)
{
    if ((uint64_t)num == call) {
        say("%s call\n", name);
    }
}

FILTER_CB(on_filter)
{
    if ((uint64_t)num != call) {
        return false;
    }
    say("%s filter(%" PRIx64 ", %" PRIx64 ", %" PRIx64 "), result so far %" PRId64 "\n", name, a1,
        a2, a3, (int64_t)*sysret);
    *sysret = result;
    return !pass;
}

SYSRET_CB(on_return)
{
    if ((uint64_t)num == call) {
        say("%s return %" PRId64 "\n", name, ret);
    }
}

INSTALL
{
    call = number(argc, argv, "call", UINT64_MAX);
    result = (int64_t)number(argc, argv, "result", 0);
    name = argument(argc, argv, "name");
    name = name ? name : "filter";
    pass = argument(argc, argv, "pass") != NULL;
    ON(qemu_plugin_register_vcpu_syscall_cb, id, on_syscall);
    ON(qemu_plugin_register_vcpu_syscall_filter_cb, id, on_filter);
    ON(qemu_plugin_register_vcpu_syscall_ret_cb, id, on_return);
    return 0;
}
