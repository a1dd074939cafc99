/*
 * Does what a plugin must not do, one thing at a time: what=NAME. Says "survived" if it came back.
 */
#include "any.h"

#include <pthread.h>
#include <unistd.h>

static qemu_plugin_id_t own_id;
static const char *what;
static struct qemu_plugin_scoreboard *board;
static struct qemu_plugin_tb *old_tb;
static struct qemu_plugin_insn *old_insn;
static bool done;

static bool is(const char *name)
{
    return strcmp(what, name) == 0;
}

static void survived(void)
{
    say("survived %s\n", what);
}

static void nothing(unsigned int vcpu, void *userdata)
{
}

static void nothing_about_memory(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t addr,
                                 void *userdata)
{
}

TRANS_CB(other_translation)
{
    say("the other translation callback\n");
}

static void *from_elsewhere(void *argument)
{
    if (is("foreign-register")) {
        ON(qemu_plugin_register_vcpu_tb_trans_cb, own_id, other_translation);
    }
    if (is("foreign-read")) {
        GArray *registers = qemu_plugin_get_registers();
        say("%p\n", (void *)registers);
    }
    if (is("foreign-board")) {
        qemu_plugin_scoreboard_free(qemu_plugin_scoreboard_new(8));
    }
    survived();
    return NULL;
}

static int read_first_register(void)
{
    GByteArray *bytes = g_byte_array_new();
    GArray *registers = qemu_plugin_get_registers();
    qemu_plugin_reg_descriptor *first = (qemu_plugin_reg_descriptor *)registers->data;
    int result = qemu_plugin_read_register(first->handle, bytes);
    g_byte_array_free(bytes, 1);
    g_array_free(registers, 1);
    return result;
}

static void on_insn(unsigned int vcpu, void *userdata)
{
    if (done) {
        return;
    }
    done = true;
    if (is("read-without-flag")) {
        say("read: %d\n", read_first_register());
        survived();
    }
    if (is("find-beyond")) {
        qemu_plugin_scoreboard_find(board, 1000000);
        survived();
    }
    if (is("free-twice")) {
        struct qemu_plugin_scoreboard *own = qemu_plugin_scoreboard_new(8);
        qemu_plugin_scoreboard_free(own);
        qemu_plugin_scoreboard_free(own);
        survived();
    }
    if (is("use-freed")) {
        struct qemu_plugin_scoreboard *own = qemu_plugin_scoreboard_new(8);
        qemu_plugin_scoreboard_free(own);
        qemu_plugin_scoreboard_find(own, 0);
        survived();
    }
    if (is("query-outside")) {
        qemu_plugin_tb_n_insns(old_tb);
        survived();
    }
    if (is("insn-outside")) {
        qemu_plugin_insn_size(old_insn);
        survived();
    }
    if (is("register-outside")) {
        qemu_plugin_register_vcpu_insn_exec_cb(old_insn, nothing, QEMU_PLUGIN_CB_NO_REGS, NULL);
        survived();
    }
    if (is("wrong-id")) {
        ON(qemu_plugin_register_vcpu_tb_trans_cb, own_id + 1, other_translation);
        survived();
    }
    if (is("crash")) {
        *(volatile int *)16 = 1;
    }
    if (is("illegal")) {
        __builtin_trap();
    }
    if (is("abort")) {
        abort();
    }
    if (is("exit")) {
        exit(42);
    }
    if (is("loop")) {
        for (;;) {
            usleep(1000);
        }
    }
    if (strncmp(what, "foreign-", 8) == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, from_elsewhere, NULL);
        pthread_join(thread, NULL);
    }
#if VERSION >= 4
    if (is("value-outside")) {
        qemu_plugin_mem_get_value(3);
        survived();
    }
#endif
#if VERSION >= 6
    if (is("set-pc-without-flag")) {
        qemu_plugin_set_pc(0x1000);
    }
    if (is("write-read-only")) {
        GArray *registers = qemu_plugin_get_registers();
        GByteArray *bytes = g_byte_array_new();
        uint64_t zero = 0;
        g_byte_array_append(bytes, (uint8_t *)&zero, 8);
        for (unsigned int i = 0; i < registers->len; i++) {
            qemu_plugin_reg_descriptor *one = (qemu_plugin_reg_descriptor *)registers->data + i;
            if (one->is_readonly) {
                qemu_plugin_write_register(one->handle, bytes);
            }
        }
        survived();
    }
#endif
}

TRANS_CB(on_translation)
{
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, 0);
    old_tb = tb;
    old_insn = insn;
    int flags = is("write-read-only") ? 2 : 0;
    if (is("bad-flags")) {
        flags = 4;
    }
    if (is("newer-flags")) {
        flags = 3;
    }
    if (is("bad-rw")) {
        qemu_plugin_register_vcpu_mem_cb(insn, nothing_about_memory, QEMU_PLUGIN_CB_NO_REGS,
                                         (enum qemu_plugin_mem_rw)0, NULL);
        survived();
    }
    if (is("bad-op")) {
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            insn, (enum qemu_plugin_op)9, (qemu_plugin_u64){ board, 0 }, 1);
        survived();
    }
    if (is("bad-offset")) {
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            insn, QEMU_PLUGIN_INLINE_ADD_U64, (qemu_plugin_u64){ board, 1 << 20 }, 1);
        survived();
    }
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, (enum qemu_plugin_cb_flags)flags, NULL);
}

ATEXIT_CB(on_end)
{
    say("end\n");
    if (is("read-at-end")) {
        say("read: %d\n", read_first_register());
        survived();
    }
}

INSTALL
{
    own_id = id;
    what = argument(argc, argv, "what");
    what = what ? what : "nothing";
    board = qemu_plugin_scoreboard_new(8);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    if (is("fail")) {
        return 3;
    }
    if (is("registers-in-install")) {
        qemu_plugin_get_registers();
        survived();
    }
    if (is("uninstall-in-install")) {
        ON(qemu_plugin_uninstall, id, NULL);
        survived();
    }
    if (is("reset-in-install")) {
        ON(qemu_plugin_reset, id, NULL);
        survived();
    }
    if (is("find-in-install")) {
        qemu_plugin_scoreboard_find(board, 0);
        survived();
    }
    if (is("path-in-install")) {
        say("path %s\n", qemu_plugin_path_to_binary() ? "there" : "missing");
        survived();
    }
    if (is("sum-in-install")) {
        say("sum %" PRIu64 "\n", qemu_plugin_u64_sum((qemu_plugin_u64){ board, 0 }));
        survived();
    }
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    return 0;
}
