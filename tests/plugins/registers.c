/*
 * Reads and writes registers and memory at one instruction of the guest.
 *
 *   at=ADDR                 before this instruction
 *   flags=0|1|2|3           with these rights (2)
 *   list=on                 says all registers at the start
 *   read=NAME               says what the register holds, and what reading it returned
 *   write=NAME:VALUE        sets it, and says what that returned
 *   peek=ADDR:LEN           says what memory holds
 *   poke=ADDR:BYTE          changes a byte
 *   code=ADDR:WORD          changes an instruction of four bytes
 *   physical=on             asks for what only machines have
 *
 * All may be repeated and happen in their order.
 */
#include "any.h"

static uint64_t at;
static enum qemu_plugin_cb_flags flags;
static int count;
static char **arguments;
static GArray *registers;

static qemu_plugin_reg_descriptor *register_at(unsigned int index)
{
    return (qemu_plugin_reg_descriptor *)registers->data + index;
}

static qemu_plugin_reg_descriptor *find(const char *name, size_t len)
{
    for (unsigned int i = 0; i < registers->len; i++) {
        if (strncmp(register_at(i)->name, name, len) == 0 && register_at(i)->name[len] == '\0') {
            return register_at(i);
        }
    }
    say("no register %.*s\n", (int)len, name);
    return NULL;
}

static void read_one(const char *name)
{
    qemu_plugin_reg_descriptor *one = find(name, strlen(name));
    GByteArray *bytes = g_byte_array_new();
    /* What is there stays: reading appends. */
    g_byte_array_append(bytes, (const uint8_t *)"x", 1);
    int result = qemu_plugin_read_register(one->handle, bytes);
    say("read %s: %d", name, result);
    if (bytes->len > 1) {
        say(" = 0x");
        for (unsigned int i = bytes->len; i-- > 1;) {
            say("%02x", bytes->data[i]);
        }
    }
    say("%s\n", bytes->data[0] == 'x' ? "" : " OVERWRITTEN");
    g_byte_array_free(bytes, 1);
}

#if VERSION >= 5
static void write_one(const char *name, uint64_t value)
{
    qemu_plugin_reg_descriptor *one = find(name, strcspn(name, ":"));
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_append(bytes, (const uint8_t *)&value, sizeof value);
    int result = qemu_plugin_write_register(one->handle, bytes);
    g_byte_array_set_size(bytes, 0);
    int empty = qemu_plugin_write_register(one->handle, bytes);
    say("write %s: %d, of nothing: %d\n", one->name, result, empty);
    g_byte_array_free(bytes, 1);
}

static void poke(uint64_t addr, const void *data, size_t len)
{
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_append(bytes, data, len);
    say("poke %" PRIx64 ": %d\n", addr, qemu_plugin_write_memory_vaddr(addr, bytes));
    g_byte_array_free(bytes, 1);
}

static void physical(void)
{
    GByteArray *bytes = g_byte_array_new();
    uint64_t hwaddr = 77;
    int read = qemu_plugin_read_memory_hwaddr(at, bytes, 4);
    g_byte_array_append(bytes, (const uint8_t *)"abcd", 4);
    int written = qemu_plugin_write_memory_hwaddr(at, bytes);
    int translated = qemu_plugin_translate_vaddr(at, &hwaddr);
    say("physical: read %d, write %d, translate %d\n", read, written, translated);
    g_byte_array_free(bytes, 1);
}
#endif

#if VERSION >= 4
static void peek(uint64_t addr, size_t len)
{
    GByteArray *bytes = g_byte_array_new();
    bool read = qemu_plugin_read_memory_vaddr(addr, bytes, len);
    say("peek %" PRIx64 ": %d", addr, read);
    for (unsigned int i = 0; read && i < bytes->len; i++) {
        say(" %02x", bytes->data[i]);
    }
    say("\n");
    g_byte_array_free(bytes, 1);
}
#endif

static void act(unsigned int vcpu, void *userdata)
{
    for (int i = 0; i < count; i++) {
        const char *value = strchr(arguments[i], '=') + 1;
        const char *colon = strchr(value, ':');
        uint64_t first = strtoull(value, NULL, 0), second = colon ? strtoull(colon + 1, NULL, 0) : 0;
        (void)first, (void)second;
        if (strncmp(arguments[i], "read=", 5) == 0) {
            read_one(value);
        }
#if VERSION >= 4
        if (strncmp(arguments[i], "peek=", 5) == 0) {
            peek(first, second);
        }
#endif
#if VERSION >= 5
        if (strncmp(arguments[i], "write=", 6) == 0) {
            write_one(value, second);
        }
        if (strncmp(arguments[i], "poke=", 5) == 0) {
            poke(first, &second, 1);
        }
        if (strncmp(arguments[i], "code=", 5) == 0) {
            poke(first, &second, 4);
        }
        if (strncmp(arguments[i], "physical=", 9) == 0) {
            physical();
        }
#endif
    }
}

TRANS_CB(on_translation)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (qemu_plugin_insn_vaddr(insn) == at) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, act, flags, NULL);
        }
    }
}

VCPU_CB(on_init)
{
    registers = qemu_plugin_get_registers();
    bool list = false;
    const char *wanted = argument(count, arguments, "list");
    if (wanted && qemu_plugin_bool_parse("list", wanted, &list) && list) {
        for (unsigned int i = 0; i < registers->len; i++) {
            qemu_plugin_reg_descriptor *one = register_at(i);
            GByteArray *bytes = g_byte_array_new();
            int result = qemu_plugin_read_register(one->handle, bytes);
            say("%s %s %d %u", one->feature, one->name, result, bytes->len);
#if VERSION >= 6
            say("%s", one->is_readonly ? " read-only" : "");
#endif
            say("\n");
            g_byte_array_free(bytes, 1);
        }
        /* A second list is another array of the same things. */
        GArray *second = qemu_plugin_get_registers();
        if (second == registers || second->len != registers->len
            || ((qemu_plugin_reg_descriptor *)second->data)->name != register_at(0)->name) {
            say("odd: the second list\n");
        }
        g_array_free(second, 1);
    }
}

INSTALL
{
    at = number(argc, argv, "at", 0);
    flags = number(argc, argv, "flags", 2);
    count = argc;
    arguments = argv;
    ON(qemu_plugin_register_vcpu_init_cb, id, on_init);
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    return 0;
}
