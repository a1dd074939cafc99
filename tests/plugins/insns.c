/*
 * Says what can be asked about the instructions of each block, once for each.
 *
 *   start=ADDR, end=ADDR   only about those in there
 *
 * Lines: insn ADDR SIZE BYTES HOST SYMBOL|TEXT, where HOST says whether the same bytes lie at the
 * host's address. Then what is odd, if anything.
 */
#include "any.h"

static uint64_t start, end;

static size_t data_of(struct qemu_plugin_insn *insn, uint8_t *bytes, size_t len)
{
#if VERSION < 3
    memcpy(bytes, qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
    return qemu_plugin_insn_size(insn);
#else
    return qemu_plugin_insn_data(insn, bytes, len);
#endif
}

static void show(struct qemu_plugin_insn *insn)
{
    uint8_t bytes[8] = { 0 };
    size_t size = qemu_plugin_insn_size(insn);
    size_t len = data_of(insn, bytes, sizeof bytes);
    void *host = qemu_plugin_insn_haddr(insn);
    const char *symbol = qemu_plugin_insn_symbol(insn);
    char *text = qemu_plugin_insn_disas(insn);
    say("insn %" PRIx64 " %zu ", qemu_plugin_insn_vaddr(insn), size);
    for (size_t i = len; i-- > 0;) {
        say("%02x", bytes[i]);
    }
    say(" %s %s|%s\n", host && memcmp(host, bytes, size) == 0 ? "same" : "OTHER",
        symbol ? symbol : "-", text);
    if (len != size) {
        say("odd: %zu bytes of %zu\n", len, size);
    }
#if VERSION >= 3
    uint8_t two[2], none = 0xaa;
    if (qemu_plugin_insn_data(insn, two, 2) != 2 || memcmp(two, bytes, 2) != 0
        || qemu_plugin_insn_data(insn, &none, 0) != 0 || none != 0xaa) {
        say("odd: part of the bytes\n");
    }
#endif
    free(text);
}

TRANS_CB(on_translation)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t addr = qemu_plugin_insn_vaddr(insn);
        if (i == 0 && addr != qemu_plugin_tb_vaddr(tb)) {
            say("odd: the block does not begin with its first instruction\n");
        }
        if (addr >= start && addr < end) {
            show(insn);
        }
    }
    if (qemu_plugin_tb_get_insn(tb, n) || qemu_plugin_tb_get_insn(tb, SIZE_MAX)) {
        say("odd: more instructions than there are\n");
    }
}

INSTALL
{
    start = number(argc, argv, "start", 0);
    end = number(argc, argv, "end", UINT64_MAX);
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    return 0;
}
