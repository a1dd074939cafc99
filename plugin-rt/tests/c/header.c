/*
 * Checks the header against the description of the interface: each function's exact type, each
 * type's layout, each constant; and that what is newer than the version is not declared.
 *
 * Compiled, not run, as C and as C++, for each QEMU_PLUGIN_API_VERSION.
 */
#include <qemu-plugin.h>

#define V QEMU_PLUGIN_API_VERSION

#ifdef __cplusplus
#define CHECK(what) static_assert(what, #what)
/* A C++ function pointer accepts nothing but its own type. */
#define FUNCTION(result, name, ...) extern "C" { result (*address_of_##name)(__VA_ARGS__) = name; }
#define TYPE(result, name, ...)                                                                    \
    extern "C" { result name##_(__VA_ARGS__); }                                                    \
    name address_of_##name = name##_;
#else
#define CHECK(what) _Static_assert(what, #what)
#define FUNCTION(result, name, ...)                                                                \
    result (*address_of_##name)(__VA_ARGS__) = name;                                               \
    CHECK(__builtin_types_compatible_p(__typeof__(&name), result (*)(__VA_ARGS__)))
#define TYPE(result, name, ...)                                                                    \
    CHECK(__builtin_types_compatible_p(name, result (*)(__VA_ARGS__)))
#endif

/* Declared already, this is an error. */
#define NOT_DECLARED(name) extern char name[3]

typedef struct qemu_plugin_tb tb;
typedef struct qemu_plugin_insn insn;
typedef struct qemu_plugin_scoreboard scoreboard;
typedef struct qemu_plugin_hwaddr hwaddr;
typedef struct qemu_plugin_register reg;
typedef enum qemu_plugin_cb_flags flags;
typedef enum qemu_plugin_mem_rw rw;
typedef enum qemu_plugin_op op;

/* ---- Numbers, layouts ---- */

CHECK(QEMU_PLUGIN_VERSION == V);
CHECK(sizeof(qemu_plugin_id_t) == 8);
CHECK((qemu_plugin_id_t)-1 > 0);
CHECK(sizeof(qemu_plugin_meminfo_t) == 4);
CHECK((qemu_plugin_meminfo_t)-1 > 0);

CHECK(sizeof(qemu_info_t) == 32);
CHECK(offsetof(qemu_info_t, target_name) == 0);
CHECK(offsetof(qemu_info_t, version.min) == 8);
CHECK(offsetof(qemu_info_t, version.cur) == 12);
CHECK(offsetof(qemu_info_t, system_emulation) == 16);
CHECK(offsetof(qemu_info_t, system.smp_vcpus) == 20);
CHECK(offsetof(qemu_info_t, system.max_vcpus) == 24);

CHECK(sizeof(qemu_plugin_u64) == 16);
CHECK(offsetof(qemu_plugin_u64, score) == 0);
CHECK(offsetof(qemu_plugin_u64, offset) == 8);

CHECK(sizeof(qemu_plugin_reg_descriptor) == (V < 6 ? 24 : 32));
CHECK(offsetof(qemu_plugin_reg_descriptor, handle) == 0);
CHECK(offsetof(qemu_plugin_reg_descriptor, name) == 8);
CHECK(offsetof(qemu_plugin_reg_descriptor, feature) == 16);
#if V >= 6
CHECK(offsetof(qemu_plugin_reg_descriptor, is_readonly) == 24);
CHECK(sizeof(((qemu_plugin_reg_descriptor *)0)->is_readonly) == 1);
#endif

CHECK(sizeof(flags) == 4);
CHECK(QEMU_PLUGIN_CB_NO_REGS == 0);
CHECK(QEMU_PLUGIN_CB_R_REGS == 1);
CHECK(QEMU_PLUGIN_CB_RW_REGS == 2);
#if V >= 6
CHECK(QEMU_PLUGIN_CB_RW_REGS_PC == 3);
#else
NOT_DECLARED(QEMU_PLUGIN_CB_RW_REGS_PC);
#endif

CHECK(sizeof(rw) == 4);
CHECK(QEMU_PLUGIN_MEM_R == 1);
CHECK(QEMU_PLUGIN_MEM_W == 2);
CHECK(QEMU_PLUGIN_MEM_RW == 3);

CHECK(sizeof(op) == 4);
CHECK(QEMU_PLUGIN_INLINE_ADD_U64 == 0);
#if V >= 3
CHECK(QEMU_PLUGIN_INLINE_STORE_U64 == 1);
CHECK(sizeof(enum qemu_plugin_cond) == 4);
CHECK(QEMU_PLUGIN_COND_NEVER == 0);
CHECK(QEMU_PLUGIN_COND_ALWAYS == 1);
CHECK(QEMU_PLUGIN_COND_EQ == 2);
CHECK(QEMU_PLUGIN_COND_NE == 3);
CHECK(QEMU_PLUGIN_COND_LT == 4);
CHECK(QEMU_PLUGIN_COND_LE == 5);
CHECK(QEMU_PLUGIN_COND_GT == 6);
CHECK(QEMU_PLUGIN_COND_GE == 7);
#else
NOT_DECLARED(QEMU_PLUGIN_INLINE_STORE_U64);
NOT_DECLARED(QEMU_PLUGIN_COND_NEVER);
NOT_DECLARED(QEMU_PLUGIN_COND_GE);
#endif

#if V >= 4
CHECK(sizeof(enum qemu_plugin_mem_value_type) == 4);
CHECK(QEMU_PLUGIN_MEM_VALUE_U8 == 0);
CHECK(QEMU_PLUGIN_MEM_VALUE_U16 == 1);
CHECK(QEMU_PLUGIN_MEM_VALUE_U32 == 2);
CHECK(QEMU_PLUGIN_MEM_VALUE_U64 == 3);
CHECK(QEMU_PLUGIN_MEM_VALUE_U128 == 4);
CHECK(sizeof(qemu_plugin_mem_value) == 24);
CHECK(offsetof(qemu_plugin_mem_value, type) == 0);
CHECK(offsetof(qemu_plugin_mem_value, data) == 8);
CHECK(offsetof(qemu_plugin_mem_value, data.u8) == 8);
CHECK(offsetof(qemu_plugin_mem_value, data.u16) == 8);
CHECK(offsetof(qemu_plugin_mem_value, data.u32) == 8);
CHECK(offsetof(qemu_plugin_mem_value, data.u64) == 8);
CHECK(offsetof(qemu_plugin_mem_value, data.u128.low) == 8);
CHECK(offsetof(qemu_plugin_mem_value, data.u128.high) == 16);
CHECK(sizeof(((qemu_plugin_mem_value *)0)->data.u8) == 1);
CHECK(sizeof(((qemu_plugin_mem_value *)0)->data.u16) == 2);
CHECK(sizeof(((qemu_plugin_mem_value *)0)->data.u32) == 4);
CHECK(sizeof(((qemu_plugin_mem_value *)0)->data.u64) == 8);
CHECK(sizeof(((qemu_plugin_mem_value *)0)->data.u128) == 16);
#else
NOT_DECLARED(QEMU_PLUGIN_MEM_VALUE_U8);
NOT_DECLARED(qemu_plugin_mem_value);
#endif

#if V >= 5
CHECK(sizeof(enum qemu_plugin_hwaddr_operation_result) == 4);
CHECK(QEMU_PLUGIN_HWADDR_OPERATION_OK == 0);
CHECK(QEMU_PLUGIN_HWADDR_OPERATION_ERROR == 1);
CHECK(QEMU_PLUGIN_HWADDR_OPERATION_DEVICE_ERROR == 2);
CHECK(QEMU_PLUGIN_HWADDR_OPERATION_ACCESS_DENIED == 3);
CHECK(QEMU_PLUGIN_HWADDR_OPERATION_INVALID_ADDRESS == 4);
CHECK(QEMU_PLUGIN_HWADDR_OPERATION_INVALID_ADDRESS_SPACE == 5);
CHECK(sizeof(enum qemu_plugin_discon_type) == 4);
CHECK(QEMU_PLUGIN_DISCON_INTERRUPT == 1);
CHECK(QEMU_PLUGIN_DISCON_EXCEPTION == 2);
CHECK(QEMU_PLUGIN_DISCON_HOSTCALL == 4);
CHECK(QEMU_PLUGIN_DISCON_ALL == -1);
#else
NOT_DECLARED(QEMU_PLUGIN_HWADDR_OPERATION_OK);
NOT_DECLARED(QEMU_PLUGIN_DISCON_ALL);
#endif

/* ---- Callback types ---- */

#if V < 7
TYPE(void, qemu_plugin_simple_cb_t, uint64_t);
TYPE(void, qemu_plugin_udata_cb_t, uint64_t, void *);
TYPE(void, qemu_plugin_vcpu_simple_cb_t, uint64_t, unsigned int);
TYPE(void, qemu_plugin_vcpu_tb_trans_cb_t, uint64_t, tb *);
TYPE(void, qemu_plugin_vcpu_syscall_cb_t, uint64_t, unsigned int, int64_t, uint64_t, uint64_t,
     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
TYPE(void, qemu_plugin_vcpu_syscall_ret_cb_t, uint64_t, unsigned int, int64_t, int64_t);
#else
NOT_DECLARED(qemu_plugin_simple_cb_t);
NOT_DECLARED(qemu_plugin_vcpu_simple_cb_t);
TYPE(void, qemu_plugin_udata_cb_t, void *);
TYPE(void, qemu_plugin_vcpu_tb_trans_cb_t, tb *, void *);
TYPE(void, qemu_plugin_vcpu_syscall_cb_t, unsigned int, int64_t, uint64_t, uint64_t, uint64_t,
     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, void *);
TYPE(void, qemu_plugin_vcpu_syscall_ret_cb_t, unsigned int, int64_t, int64_t, void *);
#endif
TYPE(void, qemu_plugin_vcpu_udata_cb_t, unsigned int, void *);
TYPE(void, qemu_plugin_vcpu_mem_cb_t, unsigned int, uint32_t, uint64_t, void *);
#if V >= 7
TYPE(void, qemu_plugin_vcpu_discon_cb_t, unsigned int, enum qemu_plugin_discon_type, uint64_t,
     uint64_t, void *);
TYPE(bool, qemu_plugin_vcpu_syscall_filter_cb_t, unsigned int, int64_t, uint64_t, uint64_t,
     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, int64_t *, void *);
#elif V >= 5
TYPE(void, qemu_plugin_vcpu_discon_cb_t, uint64_t, unsigned int, enum qemu_plugin_discon_type,
     uint64_t, uint64_t);
#else
NOT_DECLARED(qemu_plugin_vcpu_discon_cb_t);
#endif
#if V == 6
TYPE(bool, qemu_plugin_vcpu_syscall_filter_cb_t, uint64_t, unsigned int, int64_t, uint64_t,
     uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t *);
#elif V < 6
NOT_DECLARED(qemu_plugin_vcpu_syscall_filter_cb_t);
#endif

/* ---- What the plugin defines ---- */

int *address_of_qemu_plugin_version = &qemu_plugin_version;
FUNCTION(int, qemu_plugin_install, uint64_t, const qemu_info_t *, int, char **);

/* ---- Life cycle and events ---- */

#if V < 7
FUNCTION(void, qemu_plugin_uninstall, uint64_t, qemu_plugin_simple_cb_t);
FUNCTION(void, qemu_plugin_reset, uint64_t, qemu_plugin_simple_cb_t);
FUNCTION(void, qemu_plugin_register_flush_cb, uint64_t, qemu_plugin_simple_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_init_cb, uint64_t, qemu_plugin_vcpu_simple_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_exit_cb, uint64_t, qemu_plugin_vcpu_simple_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_idle_cb, uint64_t, qemu_plugin_vcpu_simple_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_resume_cb, uint64_t, qemu_plugin_vcpu_simple_cb_t);
FUNCTION(void, qemu_plugin_vcpu_for_each, uint64_t, qemu_plugin_vcpu_simple_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_tb_trans_cb, uint64_t, qemu_plugin_vcpu_tb_trans_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_syscall_cb, uint64_t, qemu_plugin_vcpu_syscall_cb_t);
FUNCTION(void, qemu_plugin_register_vcpu_syscall_ret_cb, uint64_t,
         qemu_plugin_vcpu_syscall_ret_cb_t);
#else
FUNCTION(void, qemu_plugin_uninstall, uint64_t, qemu_plugin_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_reset, uint64_t, qemu_plugin_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_register_flush_cb, uint64_t, qemu_plugin_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_init_cb, uint64_t, qemu_plugin_vcpu_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_exit_cb, uint64_t, qemu_plugin_vcpu_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_idle_cb, uint64_t, qemu_plugin_vcpu_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_resume_cb, uint64_t, qemu_plugin_vcpu_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_vcpu_for_each, uint64_t, qemu_plugin_vcpu_udata_cb_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_tb_trans_cb, uint64_t, qemu_plugin_vcpu_tb_trans_cb_t,
         void *);
FUNCTION(void, qemu_plugin_register_vcpu_syscall_cb, uint64_t, qemu_plugin_vcpu_syscall_cb_t,
         void *);
FUNCTION(void, qemu_plugin_register_vcpu_syscall_ret_cb, uint64_t,
         qemu_plugin_vcpu_syscall_ret_cb_t, void *);
#endif
FUNCTION(void, qemu_plugin_register_atexit_cb, uint64_t, qemu_plugin_udata_cb_t, void *);

#if V >= 7
FUNCTION(void, qemu_plugin_register_vcpu_syscall_filter_cb, uint64_t,
         qemu_plugin_vcpu_syscall_filter_cb_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_discon_cb, uint64_t, enum qemu_plugin_discon_type,
         qemu_plugin_vcpu_discon_cb_t, void *);
#elif V >= 5
FUNCTION(void, qemu_plugin_register_vcpu_discon_cb, uint64_t, enum qemu_plugin_discon_type,
         qemu_plugin_vcpu_discon_cb_t);
#else
NOT_DECLARED(qemu_plugin_register_vcpu_discon_cb);
#endif
#if V == 6
FUNCTION(void, qemu_plugin_register_vcpu_syscall_filter_cb, uint64_t,
         qemu_plugin_vcpu_syscall_filter_cb_t);
#elif V < 6
NOT_DECLARED(qemu_plugin_register_vcpu_syscall_filter_cb);
#endif

/* ---- Blocks and instructions ---- */

FUNCTION(size_t, qemu_plugin_tb_n_insns, const tb *);
FUNCTION(uint64_t, qemu_plugin_tb_vaddr, const tb *);
FUNCTION(insn *, qemu_plugin_tb_get_insn, const tb *, size_t);
#if V < 3
FUNCTION(const void *, qemu_plugin_insn_data, const insn *);
#else
FUNCTION(size_t, qemu_plugin_insn_data, const insn *, void *, size_t);
#endif
FUNCTION(size_t, qemu_plugin_insn_size, const insn *);
FUNCTION(uint64_t, qemu_plugin_insn_vaddr, const insn *);
FUNCTION(void *, qemu_plugin_insn_haddr, const insn *);
FUNCTION(char *, qemu_plugin_insn_disas, const insn *);
FUNCTION(const char *, qemu_plugin_insn_symbol, const insn *);

FUNCTION(void, qemu_plugin_register_vcpu_tb_exec_cb, tb *, qemu_plugin_vcpu_udata_cb_t, flags,
         void *);
FUNCTION(void, qemu_plugin_register_vcpu_insn_exec_cb, insn *, qemu_plugin_vcpu_udata_cb_t, flags,
         void *);
#if V >= 3
FUNCTION(void, qemu_plugin_register_vcpu_tb_exec_cond_cb, tb *, qemu_plugin_vcpu_udata_cb_t, flags,
         enum qemu_plugin_cond, qemu_plugin_u64, uint64_t, void *);
FUNCTION(void, qemu_plugin_register_vcpu_insn_exec_cond_cb, insn *, qemu_plugin_vcpu_udata_cb_t,
         flags, enum qemu_plugin_cond, qemu_plugin_u64, uint64_t, void *);
#else
NOT_DECLARED(qemu_plugin_register_vcpu_tb_exec_cond_cb);
NOT_DECLARED(qemu_plugin_register_vcpu_insn_exec_cond_cb);
#endif
FUNCTION(void, qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu, tb *, op, qemu_plugin_u64,
         uint64_t);
FUNCTION(void, qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu, insn *, op, qemu_plugin_u64,
         uint64_t);
FUNCTION(void, qemu_plugin_register_vcpu_mem_cb, insn *, qemu_plugin_vcpu_mem_cb_t, flags, rw,
         void *);
FUNCTION(void, qemu_plugin_register_vcpu_mem_inline_per_vcpu, insn *, rw, op, qemu_plugin_u64,
         uint64_t);
/* Gone with version 2. */
NOT_DECLARED(qemu_plugin_register_vcpu_tb_exec_inline);
NOT_DECLARED(qemu_plugin_register_vcpu_insn_exec_inline);
NOT_DECLARED(qemu_plugin_register_vcpu_mem_inline);
NOT_DECLARED(qemu_plugin_n_vcpus);
NOT_DECLARED(qemu_plugin_n_max_vcpus);

/* ---- Memory accesses ---- */

FUNCTION(unsigned int, qemu_plugin_mem_size_shift, uint32_t);
FUNCTION(bool, qemu_plugin_mem_is_sign_extended, uint32_t);
FUNCTION(bool, qemu_plugin_mem_is_big_endian, uint32_t);
FUNCTION(bool, qemu_plugin_mem_is_store, uint32_t);
#if V >= 4
FUNCTION(qemu_plugin_mem_value, qemu_plugin_mem_get_value, uint32_t);
#else
NOT_DECLARED(qemu_plugin_mem_get_value);
#endif
FUNCTION(hwaddr *, qemu_plugin_get_hwaddr, uint32_t, uint64_t);
FUNCTION(bool, qemu_plugin_hwaddr_is_io, const hwaddr *);
FUNCTION(uint64_t, qemu_plugin_hwaddr_phys_addr, const hwaddr *);
FUNCTION(const char *, qemu_plugin_hwaddr_device_name, const hwaddr *);

/* ---- Registers and memory ---- */

FUNCTION(GArray *, qemu_plugin_get_registers, void);
#if V >= 6
FUNCTION(bool, qemu_plugin_read_register, reg *, GByteArray *);
FUNCTION(bool, qemu_plugin_write_register, reg *, GByteArray *);
/* That it does not return is part of a type in C, so it is checked by a function that would warn. */
void (*address_of_qemu_plugin_set_pc)(uint64_t) = qemu_plugin_set_pc;
void never(void) __attribute__((noreturn));
void never(void) { qemu_plugin_set_pc(0); }
#else
FUNCTION(int, qemu_plugin_read_register, reg *, GByteArray *);
NOT_DECLARED(qemu_plugin_set_pc);
#endif
#if V == 5
FUNCTION(int, qemu_plugin_write_register, reg *, GByteArray *);
#elif V < 5
NOT_DECLARED(qemu_plugin_write_register);
#endif
#if V >= 4
FUNCTION(bool, qemu_plugin_read_memory_vaddr, uint64_t, GByteArray *, size_t);
#else
NOT_DECLARED(qemu_plugin_read_memory_vaddr);
#endif
#if V >= 5
FUNCTION(bool, qemu_plugin_write_memory_vaddr, uint64_t, GByteArray *);
FUNCTION(enum qemu_plugin_hwaddr_operation_result, qemu_plugin_read_memory_hwaddr, uint64_t,
         GByteArray *, size_t);
FUNCTION(enum qemu_plugin_hwaddr_operation_result, qemu_plugin_write_memory_hwaddr, uint64_t,
         GByteArray *);
FUNCTION(bool, qemu_plugin_translate_vaddr, uint64_t, uint64_t *);
#else
NOT_DECLARED(qemu_plugin_write_memory_vaddr);
NOT_DECLARED(qemu_plugin_read_memory_hwaddr);
NOT_DECLARED(qemu_plugin_write_memory_hwaddr);
NOT_DECLARED(qemu_plugin_translate_vaddr);
#endif

/* ---- Scoreboards ---- */

FUNCTION(scoreboard *, qemu_plugin_scoreboard_new, size_t);
FUNCTION(void, qemu_plugin_scoreboard_free, scoreboard *);
FUNCTION(void *, qemu_plugin_scoreboard_find, scoreboard *, unsigned int);
FUNCTION(void, qemu_plugin_u64_add, qemu_plugin_u64, unsigned int, uint64_t);
FUNCTION(void, qemu_plugin_u64_set, qemu_plugin_u64, unsigned int, uint64_t);
FUNCTION(uint64_t, qemu_plugin_u64_get, qemu_plugin_u64, unsigned int);
FUNCTION(uint64_t, qemu_plugin_u64_sum, qemu_plugin_u64);

struct element {
    uint64_t first;
    uint64_t second;
};
qemu_plugin_u64 whole(scoreboard *);
qemu_plugin_u64 whole(scoreboard *score) { return qemu_plugin_scoreboard_u64(score); }
qemu_plugin_u64 part(scoreboard *);
qemu_plugin_u64 part(scoreboard *score)
{
    return qemu_plugin_scoreboard_u64_in_struct(score, struct element, second);
}

/* ---- This and that ---- */

FUNCTION(int, qemu_plugin_num_vcpus, void);
FUNCTION(void, qemu_plugin_outs, const char *);
FUNCTION(bool, qemu_plugin_bool_parse, const char *, const char *, bool *);
FUNCTION(const char *, qemu_plugin_path_to_binary, void);
FUNCTION(uint64_t, qemu_plugin_start_code, void);
FUNCTION(uint64_t, qemu_plugin_end_code, void);
FUNCTION(uint64_t, qemu_plugin_entry_code, void);
#if V >= 3
FUNCTION(const void *, qemu_plugin_request_time_control, void);
FUNCTION(void, qemu_plugin_update_ns, const void *, int64_t);
#else
NOT_DECLARED(qemu_plugin_request_time_control);
NOT_DECLARED(qemu_plugin_update_ns);
#endif
