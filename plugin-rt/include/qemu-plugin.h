/*
 * qemu-plugin.h: the interface between an emulator and its TCG plugins.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Part of Hartscope. Written from a description of the binary interface; it contains no text of any
 * other header. A library built with it runs in hartscope and in an emulator that accepts the API
 * version it was built for.
 *
 * Choosing a version
 * ------------------
 * Without further ado this header declares API version 7. Define QEMU_PLUGIN_API_VERSION as 2 to 7
 * before the first inclusion, or with -DQEMU_PLUGIN_API_VERSION=N, to get exactly what that version
 * has: newer functions are then not declared, and those that have changed have their old form.
 *
 *   version  what came with it
 *   2        scoreboards, inline operations per vCPU, reading registers
 *   3        conditional callbacks, inline stores, insn_data copies, time control
 *   4        values of memory accesses, reading guest memory
 *   5        writing registers and memory, hardware addresses, discontinuities
 *   6        set_pc, system-call filters, read-only registers; register access says bool
 *   7        a userdata pointer for every callback, in place of the plugin's id
 *
 * hartscope loads all of them, side by side in one process.
 *
 * The smallest plugin
 * -------------------
 *   #include <qemu-plugin.h>
 *   QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
 *   QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
 *                                              int argc, char **argv)
 *   {
 *       return 0;
 *   }
 *
 *   cc -shared -fPIC -I plugin-rt/include -o small.so small.c
 *
 * Rules that hold everywhere
 * --------------------------
 * - A callback about a vCPU runs on that vCPU's own thread; other vCPUs run at the same time. What
 *   is shared between them needs atomics or a lock of the plugin, or better a scoreboard, where each
 *   vCPU has its own element.
 * - Each plugin has one callback per event: registering again replaces it, NULL takes it away.
 * - Pointers to blocks and instructions are valid until the translation callback that got them
 *   returns; a hwaddr until the memory callback returns. Strings handed out as `const char *` live
 *   as long as the process.
 * - What breaks the rules of a function is refused by its result, where it has one that says so; else
 *   it ends the process with a message that names the plugin, the function, and what to do.
 *   hartscope run --check-plugins names also what is harmless.
 */
#ifndef QEMU_QEMU_PLUGIN_H
#define QEMU_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef QEMU_PLUGIN_API_VERSION
#define QEMU_PLUGIN_API_VERSION 7
#endif
#if QEMU_PLUGIN_API_VERSION < 2 || QEMU_PLUGIN_API_VERSION > 7
#error "QEMU_PLUGIN_API_VERSION: this header declares versions 2 to 7"
#endif

/* What a plugin puts into its `qemu_plugin_version`. */
#define QEMU_PLUGIN_VERSION QEMU_PLUGIN_API_VERSION

/*
 * Two functions deal in glib's arrays. Where glib's headers can be found they are included; where
 * they cannot, a plugin that does not touch the arrays needs nothing of glib.
 */
#if defined(__has_include)
#if __has_include(<glib.h>)
#include <glib.h>
#define QEMU_PLUGIN_HAS_GLIB 1
#endif
#endif
#ifndef QEMU_PLUGIN_HAS_GLIB
typedef struct _GArray GArray;
typedef struct _GByteArray GByteArray;
#endif

/* For the two symbols that a plugin defines, when the rest is built with hidden visibility. */
#define QEMU_PLUGIN_EXPORT __attribute__((visibility("default")))
/* For the functions that the emulator defines. */
#define QEMU_PLUGIN_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------
 * The plugin and its entry
 */

/* Names one loaded plugin, for the calls that register or unregister. Never 0. */
typedef uint64_t qemu_plugin_id_t;

/* What a plugin learns about the emulator. Valid only until qemu_plugin_install() returns. */
typedef struct qemu_info_t {
    const char *target_name; /* "riscv64" or "riscv32" */
    struct {
        int min; /* oldest and */
        int cur; /* newest API version that the emulator accepts */
    } version;
    bool system_emulation; /* a whole machine; false for one Linux program */
    union {
        struct {
            int smp_vcpus; /* vCPUs at the start; 0 for one Linux program */
            int max_vcpus; /* the most there can be */
        } system;
    };
} qemu_info_t;

/* Every plugin defines these two. */

/* The API version that the plugin was built for: = QEMU_PLUGIN_VERSION. */
extern QEMU_PLUGIN_EXPORT int qemu_plugin_version;

/*
 * Called once, on the main thread, before the guest runs and before there is any vCPU. argv holds
 * the plugin's arguments as "name=value" strings, in order; it stays valid until the plugin is
 * uninstalled, is not NULL-terminated, and is NULL when argc is 0. Returns 0 if all is well; any
 * other value ends the emulator.
 */
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv);

/* ---------------------------------------------------------------------------------------------
 * Types
 */

/* Describes one memory access; ask it with the qemu_plugin_mem_… functions. */
typedef uint32_t qemu_plugin_meminfo_t;

struct qemu_plugin_tb;         /* a block, while it is being translated */
struct qemu_plugin_insn;       /* an instruction of such a block */
struct qemu_plugin_scoreboard; /* one element per vCPU */
struct qemu_plugin_hwaddr;     /* where a memory access went, in the machine's physical memory */
struct qemu_plugin_register;   /* a guest register; the same handle serves all vCPUs */

/* A uint64_t inside each element of a scoreboard. */
typedef struct qemu_plugin_u64 {
    struct qemu_plugin_scoreboard *score;
    size_t offset; /* of the uint64_t within an element */
} qemu_plugin_u64;

/* What a callback may do with the registers of the vCPU that runs it. */
enum qemu_plugin_cb_flags {
    QEMU_PLUGIN_CB_NO_REGS = 0, /* nothing: the cheapest kind */
    QEMU_PLUGIN_CB_R_REGS = 1,  /* read */
    QEMU_PLUGIN_CB_RW_REGS = 2, /* read and write */
#if QEMU_PLUGIN_API_VERSION >= 6
    QEMU_PLUGIN_CB_RW_REGS_PC = 3, /* read, write, and go elsewhere with qemu_plugin_set_pc() */
#endif
};

/* Which accesses a memory subscription is about. */
enum qemu_plugin_mem_rw {
    QEMU_PLUGIN_MEM_R = 1,
    QEMU_PLUGIN_MEM_W = 2,
    QEMU_PLUGIN_MEM_RW = 3,
};

/* What generated code can do to a qemu_plugin_u64 without calling anybody. */
enum qemu_plugin_op {
    QEMU_PLUGIN_INLINE_ADD_U64 = 0, /* element += imm, modulo 2^64 */
#if QEMU_PLUGIN_API_VERSION >= 3
    QEMU_PLUGIN_INLINE_STORE_U64 = 1, /* element = imm */
#endif
};

#if QEMU_PLUGIN_API_VERSION >= 3
/* When a conditional callback runs: `element <relation> imm`, both as unsigned numbers. */
enum qemu_plugin_cond {
    QEMU_PLUGIN_COND_NEVER = 0,
    QEMU_PLUGIN_COND_ALWAYS = 1,
    QEMU_PLUGIN_COND_EQ = 2,
    QEMU_PLUGIN_COND_NE = 3,
    QEMU_PLUGIN_COND_LT = 4,
    QEMU_PLUGIN_COND_LE = 5,
    QEMU_PLUGIN_COND_GT = 6,
    QEMU_PLUGIN_COND_GE = 7,
};
#endif

#if QEMU_PLUGIN_API_VERSION >= 4
/* Which member of a qemu_plugin_mem_value is meant. */
enum qemu_plugin_mem_value_type {
    QEMU_PLUGIN_MEM_VALUE_U8 = 0,
    QEMU_PLUGIN_MEM_VALUE_U16 = 1,
    QEMU_PLUGIN_MEM_VALUE_U32 = 2,
    QEMU_PLUGIN_MEM_VALUE_U64 = 3,
    QEMU_PLUGIN_MEM_VALUE_U128 = 4,
};

/* What a load got or a store put, never sign-extended. */
typedef struct qemu_plugin_mem_value {
    enum qemu_plugin_mem_value_type type;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct {
            uint64_t low;
            uint64_t high;
        } u128;
    } data;
} qemu_plugin_mem_value;
#endif

#if QEMU_PLUGIN_API_VERSION >= 5
/* How an access by hardware address ended. */
enum qemu_plugin_hwaddr_operation_result {
    QEMU_PLUGIN_HWADDR_OPERATION_OK = 0,
    QEMU_PLUGIN_HWADDR_OPERATION_ERROR = 1,
    QEMU_PLUGIN_HWADDR_OPERATION_DEVICE_ERROR = 2,
    QEMU_PLUGIN_HWADDR_OPERATION_ACCESS_DENIED = 3,
    QEMU_PLUGIN_HWADDR_OPERATION_INVALID_ADDRESS = 4,
    QEMU_PLUGIN_HWADDR_OPERATION_INVALID_ADDRESS_SPACE = 5,
};

/* Why the program counter went where no instruction sent it. Bits: a callback gets one of them, a
 * registration may name several. */
enum qemu_plugin_discon_type {
    QEMU_PLUGIN_DISCON_INTERRUPT = 1,
    QEMU_PLUGIN_DISCON_EXCEPTION = 2,
    QEMU_PLUGIN_DISCON_HOSTCALL = 4, /* the emulator did the work of the call itself */
    QEMU_PLUGIN_DISCON_ALL = -1,
};
#endif

/* One register of the list that qemu_plugin_get_registers() gives. */
typedef struct qemu_plugin_reg_descriptor {
    struct qemu_plugin_register *handle;
    const char *name;    /* as a debugger spells it: "sp", "fa0", "fcsr" */
    const char *feature; /* the group it belongs to: "org.gnu.gdb.riscv.cpu" */
#if QEMU_PLUGIN_API_VERSION >= 6
    bool is_readonly; /* qemu_plugin_write_register() must not be called: pc */
#endif
} qemu_plugin_reg_descriptor;

/* ---------------------------------------------------------------------------------------------
 * Callback types
 *
 * Up to version 6 an event's callback begins with the plugin's id; since version 7 it ends with the
 * userdata of its registration.
 */

#if QEMU_PLUGIN_API_VERSION < 7
typedef void (*qemu_plugin_simple_cb_t)(qemu_plugin_id_t id);
typedef void (*qemu_plugin_udata_cb_t)(qemu_plugin_id_t id, void *userdata);
typedef void (*qemu_plugin_vcpu_simple_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index);
#else
typedef void (*qemu_plugin_udata_cb_t)(void *userdata);
#endif

typedef void (*qemu_plugin_vcpu_udata_cb_t)(unsigned int vcpu_index, void *userdata);

typedef void (*qemu_plugin_vcpu_mem_cb_t)(unsigned int vcpu_index, qemu_plugin_meminfo_t info,
                                          uint64_t vaddr, void *userdata);

#if QEMU_PLUGIN_API_VERSION < 7
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*qemu_plugin_vcpu_syscall_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index,
                                              int64_t num, uint64_t a1, uint64_t a2, uint64_t a3,
                                              uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                                              uint64_t a8);
typedef void (*qemu_plugin_vcpu_syscall_ret_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index,
                                                  int64_t num, int64_t ret);
#else
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(struct qemu_plugin_tb *tb, void *userdata);
typedef void (*qemu_plugin_vcpu_syscall_cb_t)(unsigned int vcpu_index, int64_t num, uint64_t a1,
                                              uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                                              uint64_t a6, uint64_t a7, uint64_t a8,
                                              void *userdata);
typedef void (*qemu_plugin_vcpu_syscall_ret_cb_t)(unsigned int vcpu_index, int64_t num,
                                                  int64_t ret, void *userdata);
#endif

#if QEMU_PLUGIN_API_VERSION == 5 || QEMU_PLUGIN_API_VERSION == 6
typedef void (*qemu_plugin_vcpu_discon_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index,
                                             enum qemu_plugin_discon_type type, uint64_t from_pc,
                                             uint64_t to_pc);
#elif QEMU_PLUGIN_API_VERSION >= 7
typedef void (*qemu_plugin_vcpu_discon_cb_t)(unsigned int vcpu_index,
                                             enum qemu_plugin_discon_type type, uint64_t from_pc,
                                             uint64_t to_pc, void *userdata);
#endif

/* Returns true to take the system call's place; *sysret is then the guest's result. */
#if QEMU_PLUGIN_API_VERSION == 6
typedef bool (*qemu_plugin_vcpu_syscall_filter_cb_t)(qemu_plugin_id_t id, unsigned int vcpu_index,
                                                     int64_t num, uint64_t a1, uint64_t a2,
                                                     uint64_t a3, uint64_t a4, uint64_t a5,
                                                     uint64_t a6, uint64_t a7, uint64_t a8,
                                                     uint64_t *sysret);
#elif QEMU_PLUGIN_API_VERSION >= 7
typedef bool (*qemu_plugin_vcpu_syscall_filter_cb_t)(unsigned int vcpu_index, int64_t num,
                                                     uint64_t a1, uint64_t a2, uint64_t a3,
                                                     uint64_t a4, uint64_t a5, uint64_t a6,
                                                     uint64_t a7, uint64_t a8, int64_t *sysret,
                                                     void *userdata);
#endif

/* ---------------------------------------------------------------------------------------------
 * Life cycle
 */

/*
 * Both return at once, and callbacks go on for a while. When the last one has returned, everything
 * that the plugin registered is gone and no code instrumented for it can run any more, `cb` (which
 * may be NULL) is called once. A second request is ignored and its callback never called. Not
 * allowed in qemu_plugin_install().
 *
 * reset: the plugin stays, and `cb` may register anew.
 * uninstall: after `cb`, the library is closed; its atexit callback does not run.
 */
#if QEMU_PLUGIN_API_VERSION < 7
QEMU_PLUGIN_API void qemu_plugin_uninstall(qemu_plugin_id_t id, qemu_plugin_simple_cb_t cb);
QEMU_PLUGIN_API void qemu_plugin_reset(qemu_plugin_id_t id, qemu_plugin_simple_cb_t cb);
#else
QEMU_PLUGIN_API void qemu_plugin_uninstall(qemu_plugin_id_t id, qemu_plugin_udata_cb_t cb,
                                           void *userdata);
QEMU_PLUGIN_API void qemu_plugin_reset(qemu_plugin_id_t id, qemu_plugin_udata_cb_t cb,
                                       void *userdata);
#endif

/*
 * At the end of the process, after the plugin's other callbacks have been unregistered, on the
 * thread that ends it. A forked child runs it too. Registers cannot be read.
 */
QEMU_PLUGIN_API void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, qemu_plugin_udata_cb_t cb,
                                                    void *userdata);

/* After all translations were dropped: what was allocated per block may be freed. */
#if QEMU_PLUGIN_API_VERSION < 7
QEMU_PLUGIN_API void qemu_plugin_register_flush_cb(qemu_plugin_id_t id, qemu_plugin_simple_cb_t cb);
#else
QEMU_PLUGIN_API void qemu_plugin_register_flush_cb(qemu_plugin_id_t id, qemu_plugin_udata_cb_t cb,
                                                   void *userdata);
#endif

/* ---------------------------------------------------------------------------------------------
 * Events of vCPUs. Registers may be read and written in all of these callbacks.
 */

/*
 * init: the vCPU exists and has not translated anything yet.
 * exit: it is about to go away while others stay; not at the end of the process.
 * idle, resume: it goes to sleep waiting for an interrupt, and wakes; in a whole machine only.
 */
#if QEMU_PLUGIN_API_VERSION < 7
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id,
                                                       qemu_plugin_vcpu_simple_cb_t cb);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id,
                                                       qemu_plugin_vcpu_simple_cb_t cb);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id,
                                                       qemu_plugin_vcpu_simple_cb_t cb);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id,
                                                         qemu_plugin_vcpu_simple_cb_t cb);
#else
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id,
                                                       qemu_plugin_vcpu_udata_cb_t cb,
                                                       void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id,
                                                       qemu_plugin_vcpu_udata_cb_t cb,
                                                       void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id,
                                                       qemu_plugin_vcpu_udata_cb_t cb,
                                                       void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id,
                                                         qemu_plugin_vcpu_udata_cb_t cb,
                                                         void *userdata);
#endif

/* Calls `cb` here and now, on this thread, once for every vCPU that exists. */
#if QEMU_PLUGIN_API_VERSION < 7
QEMU_PLUGIN_API void qemu_plugin_vcpu_for_each(qemu_plugin_id_t id,
                                               qemu_plugin_vcpu_simple_cb_t cb);
#else
QEMU_PLUGIN_API void qemu_plugin_vcpu_for_each(qemu_plugin_id_t id, qemu_plugin_vcpu_udata_cb_t cb,
                                               void *userdata);
#endif

/*
 * A block is about to be translated: the place to look at its instructions and to say what shall
 * happen each time they run. The same address can come again (unmapped and mapped anew, dropped for
 * room, met by two vCPUs at once); a block may be translated and never run.
 */
#if QEMU_PLUGIN_API_VERSION < 7
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                           qemu_plugin_vcpu_tb_trans_cb_t cb);
#else
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                                           qemu_plugin_vcpu_tb_trans_cb_t cb,
                                                           void *userdata);
#endif

/*
 * Around each system call of a Linux program: before it is done, and before its result is written
 * to the guest. There is no return from exit, exit_group or a successful execve.
 */
#if QEMU_PLUGIN_API_VERSION < 7
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                                          qemu_plugin_vcpu_syscall_cb_t cb);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id,
                                                              qemu_plugin_vcpu_syscall_ret_cb_t cb);
#else
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                                          qemu_plugin_vcpu_syscall_cb_t cb,
                                                          void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id,
                                                              qemu_plugin_vcpu_syscall_ret_cb_t cb,
                                                              void *userdata);
#endif

/*
 * After the system-call callbacks, before the call is done: the filter may answer in its place. The
 * filters of several plugins are asked, the newest registration first, until one says true. The
 * return callbacks see the filter's result.
 */
#if QEMU_PLUGIN_API_VERSION == 6
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_syscall_filter_cb(qemu_plugin_id_t id,
                                            qemu_plugin_vcpu_syscall_filter_cb_t cb);
#elif QEMU_PLUGIN_API_VERSION >= 7
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_syscall_filter_cb(qemu_plugin_id_t id,
                                            qemu_plugin_vcpu_syscall_filter_cb_t cb,
                                            void *userdata);
#endif

/* After an interrupt, an exception or a host call has changed the program counter. `types` names
 * those that are wanted. */
#if QEMU_PLUGIN_API_VERSION == 5 || QEMU_PLUGIN_API_VERSION == 6
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_discon_cb(qemu_plugin_id_t id,
                                                         enum qemu_plugin_discon_type types,
                                                         qemu_plugin_vcpu_discon_cb_t cb);
#elif QEMU_PLUGIN_API_VERSION >= 7
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_discon_cb(qemu_plugin_id_t id,
                                                         enum qemu_plugin_discon_type types,
                                                         qemu_plugin_vcpu_discon_cb_t cb,
                                                         void *userdata);
#endif

/* ---------------------------------------------------------------------------------------------
 * Looking at a block. Only inside a translation callback.
 */

/* Number of instructions, and guest address of the first. */
QEMU_PLUGIN_API size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
QEMU_PLUGIN_API uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

/* Instruction number `index`, from 0; NULL if there are not so many. */
QEMU_PLUGIN_API struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
                                                                 size_t index);

/*
 * The instruction's bytes as they lie in memory. Version 2 gives a pointer to qemu_plugin_insn_size()
 * of them; since version 3 at most `len` are copied to `dest`, and the number copied is returned.
 */
#if QEMU_PLUGIN_API_VERSION < 3
QEMU_PLUGIN_API const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#else
QEMU_PLUGIN_API size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest,
                                             size_t len);
#endif

/* Its length in bytes (2 or 4), and its guest address. */
QEMU_PLUGIN_API size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
QEMU_PLUGIN_API uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

/* Where the instruction lies in the emulator's own memory; NULL for code outside of RAM. */
QEMU_PLUGIN_API void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *insn);

/* Assembly text, in memory of its own: the caller frees it with g_free() or free(). */
QEMU_PLUGIN_API char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn);

/* The function that the instruction belongs to, or NULL. */
QEMU_PLUGIN_API const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);

/* ---------------------------------------------------------------------------------------------
 * Saying what shall happen when a block runs. Only inside a translation callback.
 *
 * The same place can be given any number of callbacks and operations; they happen in the order of
 * registration, and those of the block before those of its first instruction. With several plugins,
 * the one loaded last comes first.
 */

/* A callback each time the block is entered, or before each execution of the instruction. */
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                                          qemu_plugin_vcpu_udata_cb_t cb,
                                                          enum qemu_plugin_cb_flags flags,
                                                          void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                                            qemu_plugin_vcpu_udata_cb_t cb,
                                                            enum qemu_plugin_cb_flags flags,
                                                            void *userdata);

#if QEMU_PLUGIN_API_VERSION >= 3
/* The same, but only when the vCPU's own `entry` stands in the relation `cond` to `imm`. */
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_exec_cond_cb(
    struct qemu_plugin_tb *tb, qemu_plugin_vcpu_udata_cb_t cb, enum qemu_plugin_cb_flags flags,
    enum qemu_plugin_cond cond, qemu_plugin_u64 entry, uint64_t imm, void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_insn_exec_cond_cb(
    struct qemu_plugin_insn *insn, qemu_plugin_vcpu_udata_cb_t cb, enum qemu_plugin_cb_flags flags,
    enum qemu_plugin_cond cond, qemu_plugin_u64 entry, uint64_t imm, void *userdata);
#endif

/* An operation on the vCPU's own `entry`, done by generated code: the cheapest way to count. */
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb,
                                                                       enum qemu_plugin_op op,
                                                                       qemu_plugin_u64 entry,
                                                                       uint64_t imm);
QEMU_PLUGIN_API void
qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                    enum qemu_plugin_op op, qemu_plugin_u64 entry,
                                                    uint64_t imm);

/* A callback, or an operation, after each successful memory access of the instruction. */
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                                      qemu_plugin_vcpu_mem_cb_t cb,
                                                      enum qemu_plugin_cb_flags flags,
                                                      enum qemu_plugin_mem_rw rw, void *userdata);
QEMU_PLUGIN_API void qemu_plugin_register_vcpu_mem_inline_per_vcpu(struct qemu_plugin_insn *insn,
                                                                   enum qemu_plugin_mem_rw rw,
                                                                   enum qemu_plugin_op op,
                                                                   qemu_plugin_u64 entry,
                                                                   uint64_t imm);

/* ---------------------------------------------------------------------------------------------
 * Looking at a memory access. Only inside a memory callback.
 */

/* The access is of 1 << shift bytes. */
QEMU_PLUGIN_API unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
QEMU_PLUGIN_API bool qemu_plugin_mem_is_sign_extended(qemu_plugin_meminfo_t info);
QEMU_PLUGIN_API bool qemu_plugin_mem_is_big_endian(qemu_plugin_meminfo_t info);
QEMU_PLUGIN_API bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);

#if QEMU_PLUGIN_API_VERSION >= 4
/* What was loaded or stored. */
QEMU_PLUGIN_API qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t info);
#endif

/* The access in the machine's physical memory; NULL for a Linux program, which has none. */
QEMU_PLUGIN_API struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info,
                                                                  uint64_t vaddr);
QEMU_PLUGIN_API bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *haddr);
QEMU_PLUGIN_API uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *haddr);
/* "RAM", the device's name, or "Invalid" for a Linux program. Equal names are equal pointers. */
QEMU_PLUGIN_API const char *qemu_plugin_hwaddr_device_name(const struct qemu_plugin_hwaddr *haddr);

/* ---------------------------------------------------------------------------------------------
 * Registers and memory of the guest. In callbacks of a vCPU, about that vCPU.
 */

/*
 * A new array of qemu_plugin_reg_descriptor. The caller frees the array, not the strings. Needs a
 * vCPU: the init callback is the first place for it.
 */
QEMU_PLUGIN_API GArray *qemu_plugin_get_registers(void);

/*
 * Read: appends the value, little-endian, to `buf`. Write: takes the value from the beginning of
 * `buf`. The callback must have been registered with R_REGS (to read) or RW_REGS.
 *
 * Up to version 5 the answer is the register's size in bytes, 0 for no such register, -1 if the
 * callback must not do this. Since version 6 it says whether it was done.
 */
#if QEMU_PLUGIN_API_VERSION < 6
QEMU_PLUGIN_API int qemu_plugin_read_register(struct qemu_plugin_register *handle, GByteArray *buf);
#if QEMU_PLUGIN_API_VERSION >= 5
QEMU_PLUGIN_API int qemu_plugin_write_register(struct qemu_plugin_register *handle,
                                               GByteArray *buf);
#endif
#else
QEMU_PLUGIN_API bool qemu_plugin_read_register(struct qemu_plugin_register *handle,
                                               GByteArray *buf);
QEMU_PLUGIN_API bool qemu_plugin_write_register(struct qemu_plugin_register *handle,
                                                GByteArray *buf);
#endif

#if QEMU_PLUGIN_API_VERSION >= 6
/*
 * Continues the vCPU at `pc`. Does not return: the rest of the callback, and what else was to happen
 * at this point, is skipped, so free what you hold before. In block, instruction and memory
 * callbacks with RW_REGS_PC, and in callbacks for discontinuities, system calls, idle and resume.
 */
QEMU_PLUGIN_API void qemu_plugin_set_pc(uint64_t pc) __attribute__((noreturn));
#endif

#if QEMU_PLUGIN_API_VERSION >= 4
/*
 * Makes `buf` `len` bytes long and fills it from guest memory, whatever its protection. False if
 * `len` is 0 or part of it is not mapped; the contents are then undefined.
 */
QEMU_PLUGIN_API bool qemu_plugin_read_memory_vaddr(uint64_t addr, GByteArray *buf, size_t len);
#endif

#if QEMU_PLUGIN_API_VERSION >= 5
/* Writes all of `buf` to guest memory, also where the guest could not; code there is translated
 * again. */
QEMU_PLUGIN_API bool qemu_plugin_write_memory_vaddr(uint64_t addr, GByteArray *buf);

/* The same by hardware address. A Linux program has none: …_ERROR. */
QEMU_PLUGIN_API enum qemu_plugin_hwaddr_operation_result
qemu_plugin_read_memory_hwaddr(uint64_t addr, GByteArray *buf, size_t len);
QEMU_PLUGIN_API enum qemu_plugin_hwaddr_operation_result
qemu_plugin_write_memory_hwaddr(uint64_t addr, GByteArray *buf);

/* Hardware address of a guest address; false if there is none, as always in a Linux program. */
QEMU_PLUGIN_API bool qemu_plugin_translate_vaddr(uint64_t vaddr, uint64_t *hwaddr);
#endif

/* ---------------------------------------------------------------------------------------------
 * Scoreboards: an element of the plugin's own type for each vCPU, zero at first
 *
 * An element's address never changes, also when there are more vCPUs later; two vCPUs' elements
 * never share a cache line. Indices must be below qemu_plugin_num_vcpus().
 */

QEMU_PLUGIN_API struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
/* Translated code must not use it any more: atexit and the callback of a reset are good places. */
QEMU_PLUGIN_API void qemu_plugin_scoreboard_free(struct qemu_plugin_scoreboard *score);
QEMU_PLUGIN_API void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score,
                                                  unsigned int vcpu_index);

/* The qemu_plugin_u64 of a scoreboard whose elements are uint64_t, or have a member that is. */
#ifdef __cplusplus
#define qemu_plugin_scoreboard_u64(score) (qemu_plugin_u64{(score), 0})
#define qemu_plugin_scoreboard_u64_in_struct(score, type, member)                                  \
    (qemu_plugin_u64{(score), offsetof(type, member)})
#else
#define qemu_plugin_scoreboard_u64(score) ((qemu_plugin_u64){(score), 0})
#define qemu_plugin_scoreboard_u64_in_struct(score, type, member)                                  \
    ((qemu_plugin_u64){(score), offsetof(type, member)})
#endif

QEMU_PLUGIN_API void qemu_plugin_u64_add(qemu_plugin_u64 entry, unsigned int vcpu_index,
                                         uint64_t added);
QEMU_PLUGIN_API uint64_t qemu_plugin_u64_get(qemu_plugin_u64 entry, unsigned int vcpu_index);
QEMU_PLUGIN_API void qemu_plugin_u64_set(qemu_plugin_u64 entry, unsigned int vcpu_index,
                                         uint64_t value);
/* Over all vCPUs that there have been. */
QEMU_PLUGIN_API uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);

/* ---------------------------------------------------------------------------------------------
 * This and that
 */

/* The highest vCPU index so far, plus 1: 0 in qemu_plugin_install(), and never less than before. */
QEMU_PLUGIN_API int qemu_plugin_num_vcpus(void);

/* Writes to the emulator's log as it is, with no line end added, if `-d plugin` was given. */
QEMU_PLUGIN_API void qemu_plugin_outs(const char *string);

/*
 * "on", "yes", "true", "y" and their opposites "off", "no", "false", "n". False, and *ret untouched,
 * for anything else; `name` is the argument's name.
 */
QEMU_PLUGIN_API bool qemu_plugin_bool_parse(const char *name, const char *val, bool *ret);

/*
 * About the Linux program: its file's real path, which the caller frees; the lowest and highest
 * address of its executable segments; where it begins. NULL and 0 for a whole machine. Not in
 * qemu_plugin_install(), when there is no program yet.
 */
QEMU_PLUGIN_API const char *qemu_plugin_path_to_binary(void);
QEMU_PLUGIN_API uint64_t qemu_plugin_start_code(void);
QEMU_PLUGIN_API uint64_t qemu_plugin_end_code(void);
QEMU_PLUGIN_API uint64_t qemu_plugin_entry_code(void);

#if QEMU_PLUGIN_API_VERSION >= 3
/*
 * Control over the machine's clock, for the first plugin that asks; NULL for the others and in a
 * Linux program, whose time is the host's. update_ns sets the time since the start.
 */
QEMU_PLUGIN_API const void *qemu_plugin_request_time_control(void);
QEMU_PLUGIN_API void qemu_plugin_update_ns(const void *handle, int64_t time);
#endif

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
