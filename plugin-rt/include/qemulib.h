/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The plugin interface that was proposed for QEMU in 2018, for plugins written to it.
 *
 * A plugin exports plugin_init, and any of the two pairs below it. For each instruction of a block
 * that is translated it is asked whether it "needs" it; before such an instruction is executed it is
 * called. `cpu` is good during the call.
 */
#ifndef QEMULIB_H
#define QEMULIB_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The plugin's. */

/* Arguments: the text of -plugin FILE,args=TEXT; or all of them as they are. False: don't load. */
bool plugin_init(const char *args);

bool plugin_needs_before_insn(uint64_t pc, void *cpu);
void plugin_before_insn(uint64_t pc, void *cpu);

/* Asked for instructions that access memory. Called once for each access that the instruction is
   about to make: an atomic read-modify-write makes two, the reading one first. */
bool plugin_needs_before_mem(uint64_t pc, void *cpu);
void plugin_before_mem(uint64_t pc, uint64_t addr, uint32_t size, bool is_store, void *cpu);

/* The emulator's. */

/* Writes to the log (-d plugin, -D FILE). */
void qemulib_log(const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/* Not 0 if it fails. */
int qemulib_read_memory(void *cpu, uint64_t addr, uint8_t *buf, int len);

/* Registers are numbered 0 to 31, 32 for the pc, 33 to 64 for the floating-point ones. Gives the size
   (8), or 0 if there is no such register. */
int qemulib_read_register(void *cpu, uint8_t *buf, int number);

/* Asks about all blocks again: what the plugin "needs" has changed. */
void qemulib_flush(void);

#ifdef __cplusplus
}
#endif

#endif
