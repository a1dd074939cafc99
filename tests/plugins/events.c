/*
 * Says what happens, in the order in which it happens.
 *
 *   only=WORDS   some of: vcpus syscalls traps (all)
 *   each=NUM     calls for_each in the callback of this system call
 *
 * Lines begin with the vCPU's number, except those about all of them.
 */
#include "any.h"

static qemu_plugin_id_t own_id;
static uint64_t each;
static struct qemu_plugin_register *pc_register;

/* The pc as callbacks find it. */
static uint64_t pc(void)
{
    uint64_t value = 0;
    GByteArray *bytes = g_byte_array_new();
    if (pc_register == NULL) {
        GArray *registers = qemu_plugin_get_registers();
        for (unsigned int i = 0; i < registers->len; i++) {
            qemu_plugin_reg_descriptor *one = (qemu_plugin_reg_descriptor *)registers->data + i;
            if (strcmp(one->name, "pc") == 0) {
                pc_register = one->handle;
            }
        }
        g_array_free(registers, 1);
    }
    qemu_plugin_read_register(pc_register, bytes);
    if (bytes->len == sizeof value) {
        memcpy(&value, bytes->data, sizeof value);
    }
    g_byte_array_free(bytes, 1);
    return value;
}

VCPU_CB(on_init)
{
    say("%u init at %" PRIx64 ", %d so far\n", vcpu, pc(), qemu_plugin_num_vcpus());
}

VCPU_CB(on_gone)
{
    say("%u exit, %d so far\n", vcpu, qemu_plugin_num_vcpus());
}

VCPU_CB(on_idle)
{
    say("%u idle\n", vcpu);
}

VCPU_CB(on_resume)
{
    say("%u resume\n", vcpu);
}

VCPU_CB(on_each)
{
    say("%u is there\n", vcpu);
}

SYSCALL_CB(on_syscall)
{
    say("%u call %" PRId64 " (%" PRIx64 ", %" PRIx64 ", %" PRIx64 ", %" PRIx64 ", %" PRIx64
        ", %" PRIx64 ", %" PRIx64 ", %" PRIx64 ") at %" PRIx64 "\n",
        vcpu, num, a1, a2, a3, a4, a5, a6, a7, a8, pc());
    if ((uint64_t)num == each) {
        ON(qemu_plugin_vcpu_for_each, own_id, on_each);
    }
}

SYSRET_CB(on_return)
{
    say("%u return %" PRId64 " = %" PRId64 " at %" PRIx64 "\n", vcpu, num, ret, pc());
}

#if VERSION >= 5
DISCON_CB(on_discon)
{
    say("%u discontinuity %d from %" PRIx64 " to %" PRIx64 " at %" PRIx64 "\n", vcpu, (int)type,
        from, to, pc());
}
#endif

SIMPLE_CB(on_flush)
{
    say("flush\n");
}

ATEXIT_CB(on_end)
{
    say("end, %s, %d vcpus\n", (const char *)userdata, qemu_plugin_num_vcpus());
}

INSTALL
{
    const char *only = argument(argc, argv, "only");
    own_id = id;
    each = number(argc, argv, "each", UINT64_MAX);
    if (!only || strstr(only, "vcpus")) {
        ON(qemu_plugin_register_vcpu_init_cb, id, on_init);
        ON(qemu_plugin_register_vcpu_exit_cb, id, on_gone);
        ON(qemu_plugin_register_vcpu_idle_cb, id, on_idle);
        ON(qemu_plugin_register_vcpu_resume_cb, id, on_resume);
        ON(qemu_plugin_register_flush_cb, id, on_flush);
    }
    if (!only || strstr(only, "syscalls")) {
        ON(qemu_plugin_register_vcpu_syscall_cb, id, on_syscall);
        ON(qemu_plugin_register_vcpu_syscall_ret_cb, id, on_return);
    }
#if VERSION >= 5
    if (!only || strstr(only, "traps")) {
        ON_DISCON(id, QEMU_PLUGIN_DISCON_ALL, on_discon);
    }
#endif
    qemu_plugin_register_atexit_cb(id, on_end, "with its userdata");
    return 0;
}
