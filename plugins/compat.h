/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * One source, every version of the plugin interface.
 *
 * Version 7 dropped the plugin's id from callbacks and gave them all a userdata pointer. A plugin here
 * needs neither, so it declares its callbacks and subscribes through these macros and builds for any
 * version:
 *
 *     CB_TB_TRANS(translated)               // static void translated(..., struct qemu_plugin_tb *tb, ...)
 *     {
 *         ... tb ...
 *     }
 *     on_tb_trans(id, translated);          // in qemu_plugin_install
 */
#ifndef PLUGINS_COMPAT_H
#define PLUGINS_COMPAT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <qemu-plugin.h>

#define UNUSED __attribute__((unused))

#if QEMU_PLUGIN_VERSION >= 7
#define CB_HEAD
#define CB_TAIL , void *userdata UNUSED
#define CB_SUBSCRIBE(id, cb) (id), (cb), NULL
#else
#define CB_HEAD qemu_plugin_id_t id UNUSED,
#define CB_TAIL
#define CB_SUBSCRIBE(id, cb) (id), (cb)
#endif

#define CB_TB_TRANS(fn) static void fn(CB_HEAD struct qemu_plugin_tb *tb CB_TAIL)
#define CB_VCPU(fn) static void fn(CB_HEAD unsigned int vcpu CB_TAIL)
#define CB_ATEXIT(fn) static void fn(CB_HEAD void *exit_data UNUSED)
#define CB_DISCON(fn)                                                                              \
    static void fn(CB_HEAD unsigned int vcpu, enum qemu_plugin_discon_type type,                   \
                   uint64_t from UNUSED, uint64_t to UNUSED CB_TAIL)
#define CB_SYSCALL(fn)                                                                             \
    static void fn(CB_HEAD unsigned int vcpu UNUSED, int64_t num, uint64_t a1 UNUSED,              \
                   uint64_t a2 UNUSED, uint64_t a3 UNUSED, uint64_t a4 UNUSED,                     \
                   uint64_t a5 UNUSED, uint64_t a6 UNUSED, uint64_t a7 UNUSED,                     \
                   uint64_t a8 UNUSED CB_TAIL)
#define CB_SYSCALL_RET(fn)                                                                         \
    static void fn(CB_HEAD unsigned int vcpu UNUSED, int64_t num, int64_t ret CB_TAIL)

#define on_tb_trans(id, cb) qemu_plugin_register_vcpu_tb_trans_cb(CB_SUBSCRIBE(id, cb))
#define on_vcpu_init(id, cb) qemu_plugin_register_vcpu_init_cb(CB_SUBSCRIBE(id, cb))
#define on_vcpu_exit(id, cb) qemu_plugin_register_vcpu_exit_cb(CB_SUBSCRIBE(id, cb))
#define on_vcpu_idle(id, cb) qemu_plugin_register_vcpu_idle_cb(CB_SUBSCRIBE(id, cb))
#define on_syscall(id, cb) qemu_plugin_register_vcpu_syscall_cb(CB_SUBSCRIBE(id, cb))
#define on_syscall_ret(id, cb) qemu_plugin_register_vcpu_syscall_ret_cb(CB_SUBSCRIBE(id, cb))
/* Its arguments are the same in every version, the callback's are not. */
#define on_exit_of_guest(id, cb) qemu_plugin_register_atexit_cb((id), (cb), NULL)
#if QEMU_PLUGIN_VERSION >= 7
#define on_discon(id, types, cb) qemu_plugin_register_vcpu_discon_cb((id), (types), (cb), NULL)
#else
#define on_discon(id, types, cb) qemu_plugin_register_vcpu_discon_cb((id), (types), (cb))
#endif

/* The encoding of an instruction, zero-extended. Version 2 handed out a pointer to its bytes. */
static inline uint32_t insn_encoding(struct qemu_plugin_insn *insn)
{
    uint8_t bytes[4] = { 0 };
    size_t size = qemu_plugin_insn_size(insn);
#if QEMU_PLUGIN_VERSION >= 3
    qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
#else
    memcpy(bytes, qemu_plugin_insn_data(insn), size < sizeof(bytes) ? size : sizeof(bytes));
#endif
    uint32_t low = bytes[0] | (uint32_t)bytes[1] << 8;
    return size < 4 ? low : low | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

#endif
