/*
 * Says where each memory access of a machine goes: its virtual address, the physical one, what is
 * there, and what a physical read finds. Then it changes the word at the argument `poke` by a physical
 * write, in the callback of its first load.
 */
#include "any.h"

static uint64_t poke;

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *userdata)
{
    struct qemu_plugin_hwaddr *hwaddr = qemu_plugin_get_hwaddr(info, vaddr);
    uint64_t paddr = qemu_plugin_hwaddr_phys_addr(hwaddr);
    uint64_t translated = 0;
    bool is_mapped = qemu_plugin_translate_vaddr(vaddr, &translated);
    const char *kind = qemu_plugin_mem_is_store(info) ? "store" : "load";
    const char *place = qemu_plugin_hwaddr_is_io(hwaddr) ? "device" : "memory";
    say("%u %s %" PRIx64 " is %s %s %" PRIx64 "%s\n", vcpu, kind, vaddr, place,
        qemu_plugin_hwaddr_device_name(hwaddr), paddr,
        is_mapped && translated == paddr ? "" : ", which is wrong");
    if (!qemu_plugin_mem_is_store(info) && poke != 0) {
        GByteArray *bytes = g_byte_array_new();
        int read = qemu_plugin_read_memory_hwaddr(poke, bytes, 8);
        say("physical read: %d, %02x\n", read, bytes->data[0]);
        bytes->data[0] ^= 0xff;
        say("physical write: %d\n", qemu_plugin_write_memory_hwaddr(poke, bytes));
        bool again = qemu_plugin_read_memory_vaddr(vaddr, bytes, 8);
        say("virtual read: %d, %02x\n", again, bytes->data[0]);
        say("of nothing: %d\n", qemu_plugin_read_memory_hwaddr(1, bytes, 8));
        g_byte_array_free(bytes, 1);
        poke = 0;
    }
}

TRANS_CB(on_block)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                         QEMU_PLUGIN_MEM_RW, NULL);
    }
}

INSTALL
{
    const char *text = argument(argc, argv, "poke");
    poke = text == NULL ? 0 : strtoull(text, NULL, 16);
    say("machine: %d, harts: %d of %d\n", info->system_emulation, info->system.smp_vcpus,
        info->system.max_vcpus);
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_block);
    return 0;
}
