/*
 * A plugin for the interface of 2018. Its argument is "FIRST-LAST[:TIMES]": it looks at instructions and
 * accesses of that address range, and loses interest after so many instructions.
 */
#include <qemulib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t first, last;
static unsigned long left = 1000000;

bool plugin_init(const char *args)
{
    qemulib_log("init with %s, %d %s %.1f\n", args, -5, "words", 2.5);
    char *rest;
    first = strtoull(args, &rest, 0);
    if (*rest != '-') {
        return false;
    }
    last = strtoull(rest + 1, &rest, 0);
    if (*rest == ':') {
        left = strtoul(rest + 1, NULL, 0);
    }
    return true;
}

bool plugin_needs_before_insn(uint64_t pc, void *cpu)
{
    return left > 0 && pc >= first && pc <= last;
}

void plugin_before_insn(uint64_t pc, void *cpu)
{
    uint8_t code[2], bytes[8];
    uint64_t s0, own_pc;
    int failed = qemulib_read_memory(cpu, pc, code, sizeof code);
    int size = qemulib_read_register(cpu, bytes, 8);
    memcpy(&s0, bytes, sizeof s0);
    qemulib_read_register(cpu, bytes, 32);
    memcpy(&own_pc, bytes, sizeof own_pc);
    qemulib_log("insn %lx %02x%02x s0 %lx%s\n", pc, code[1], code[0], s0,
                failed || size != 8 || own_pc != pc || qemulib_read_register(cpu, bytes, 99) != 0
                        || qemulib_read_memory(cpu, 0, code, 1) == 0
                    ? " ODD"
                    : "");
    if (left > 0 && --left == 0) {
        qemulib_flush();
    }
}

bool plugin_needs_before_mem(uint64_t pc, void *cpu)
{
    return pc >= first && pc <= last;
}

void plugin_before_mem(uint64_t pc, uint64_t addr, uint32_t size, bool is_store, void *cpu)
{
    qemulib_log("mem %lx %lx %u %s\n", pc, addr, size, is_store ? "store" : "load");
}
