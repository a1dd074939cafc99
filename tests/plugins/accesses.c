/*
 * Says of each memory access what can be asked about it.
 *
 *   start=ADDR, end=ADDR   only of instructions in there
 *   rw=1|2|3               which accesses (all)
 *
 * Lines: PC ADDR load|store SIZE [signed] =VALUE HWADDR
 */
#include "any.h"

static uint64_t start, end;
static enum qemu_plugin_mem_rw rw;

static void on_access(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t addr, void *userdata)
{
    say("%" PRIx64 " %" PRIx64 " %s %u%s%s", (uint64_t)(uintptr_t)userdata, addr,
        qemu_plugin_mem_is_store(info) ? "store" : "load", 1u << qemu_plugin_mem_size_shift(info),
        qemu_plugin_mem_is_sign_extended(info) ? " signed" : "",
        qemu_plugin_mem_is_big_endian(info) ? " big-endian" : "");
#if VERSION >= 4
    qemu_plugin_mem_value value = qemu_plugin_mem_get_value(info);
    switch (value.type) {
    case QEMU_PLUGIN_MEM_VALUE_U8:
        say(" =8:%" PRIx8, value.data.u8);
        break;
    case QEMU_PLUGIN_MEM_VALUE_U16:
        say(" =16:%" PRIx16, value.data.u16);
        break;
    case QEMU_PLUGIN_MEM_VALUE_U32:
        say(" =32:%" PRIx32, value.data.u32);
        break;
    case QEMU_PLUGIN_MEM_VALUE_U64:
        say(" =64:%" PRIx64, value.data.u64);
        break;
    default:
        say(" =?%d", value.type);
    }
#endif
    struct qemu_plugin_hwaddr *hwaddr = qemu_plugin_get_hwaddr(info, addr);
    say(" %s %d %" PRIx64 " %s\n", hwaddr ? "HWADDR" : "none", qemu_plugin_hwaddr_is_io(hwaddr),
        qemu_plugin_hwaddr_phys_addr(hwaddr), qemu_plugin_hwaddr_device_name(hwaddr));
}

TRANS_CB(on_translation)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t addr = qemu_plugin_insn_vaddr(insn);
        if (addr >= start && addr < end) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS, rw,
                                             (void *)(uintptr_t)addr);
        }
    }
}

INSTALL
{
    start = number(argc, argv, "start", 0);
    end = number(argc, argv, "end", UINT64_MAX);
    rw = number(argc, argv, "rw", 3);
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    return 0;
}
