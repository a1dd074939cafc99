/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What kind of instruction a RISC-V encoding is: for statistics, so new extensions may be coarse.
 */
#ifndef PLUGINS_RISCV_H
#define PLUGINS_RISCV_H

#include <stddef.h>
#include <stdint.h>

/* name, how a plugin's argument spells it */
#define RISCV_CLASSES(CLASS)                                                                       \
    CLASS(LOAD, "Load", "load")                                                                    \
    CLASS(STORE, "Store", "store")                                                                 \
    CLASS(LR_SC, "Load reserved/store cond.", "lrsc")                                              \
    CLASS(AMO, "Atomic memory operation", "amo")                                                   \
    CLASS(ALU, "Integer arithmetic", "alu")                                                        \
    CLASS(SHIFT, "Shift", "shift")                                                                 \
    CLASS(CONSTANT, "Constant or address", "const")                                                \
    CLASS(MULTIPLY, "Multiply", "mul")                                                             \
    CLASS(DIVIDE, "Divide", "div")                                                                 \
    CLASS(BITS, "Bit manipulation", "bit")                                                         \
    CLASS(CRYPTO, "Cryptography", "crypto")                                                        \
    CLASS(BRANCH, "Conditional branch", "branch")                                                  \
    CLASS(JUMP, "Jump", "jump")                                                                    \
    CLASS(INDIRECT, "Indirect jump", "ijump")                                                      \
    CLASS(CALL, "Call", "call")                                                                    \
    CLASS(RETURN, "Return", "ret")                                                                 \
    CLASS(FP_LOAD, "FP load", "fload")                                                             \
    CLASS(FP_STORE, "FP store", "fstore")                                                          \
    CLASS(FP_ARITH, "FP arithmetic", "farith")                                                     \
    CLASS(FP_FUSED, "FP multiply-add", "fma")                                                      \
    CLASS(FP_DIVIDE, "FP divide or square root", "fdiv")                                           \
    CLASS(FP_COMPARE, "FP compare", "fcmp")                                                        \
    CLASS(FP_CONVERT, "FP convert", "fcvt")                                                        \
    CLASS(FP_MOVE, "FP move", "fmv")                                                               \
    CLASS(V_MEMORY, "Vector load or store", "vmem")                                                \
    CLASS(V_ARITH, "Vector arithmetic", "varith")                                                  \
    CLASS(V_CONFIG, "Vector configuration", "vset")                                                \
    CLASS(CSR, "CSR access", "csr")                                                                \
    CLASS(FENCE, "Fence", "fence")                                                                 \
    CLASS(CACHE_BLOCK, "Cache block", "cbo")                                                       \
    CLASS(SYSTEM, "System", "sys")                                                                 \
    CLASS(UNKNOWN, "Unclassified", "unknown")

enum riscv_class {
#define CLASS(id, name, option) CLASS_##id,
    RISCV_CLASSES(CLASS)
#undef CLASS
        CLASS_COUNT
};

static inline uint32_t riscv_field(uint32_t encoding, unsigned int low, unsigned int width)
{
    return encoding >> low & ((1u << width) - 1);
}

/* jal and jalr by the convention for return-address predictors: ra and t0 are link registers. */
static inline enum riscv_class riscv_jump(uint32_t rd, uint32_t rs1)
{
    if (rd == 1 || rd == 5) {
        return CLASS_CALL;
    } else if (rs1 == 1 || rs1 == 5) {
        return CLASS_RETURN;
    }
    return CLASS_INDIRECT;
}

static inline enum riscv_class riscv_class_compressed(uint32_t encoding)
{
    uint32_t rd = riscv_field(encoding, 7, 5), rs2 = riscv_field(encoding, 2, 5);
    uint32_t bit12 = riscv_field(encoding, 12, 1);
    switch (riscv_field(encoding, 0, 2) << 3 | riscv_field(encoding, 13, 3)) {
    case 000: /* c.addi4spn; zero is defined to be illegal */
        return encoding == 0 ? CLASS_UNKNOWN : CLASS_ALU;
    case 001: /* c.fld */
    case 021: /* c.fldsp */
        return CLASS_FP_LOAD;
    case 002: /* c.lw */
    case 003: /* c.ld */
    case 022: /* c.lwsp */
    case 023: /* c.ldsp */
        return CLASS_LOAD;
    case 004: /* c.lbu, c.lhu, c.lh, c.sb, c.sh */
        return riscv_field(encoding, 11, 1) ? CLASS_STORE : CLASS_LOAD;
    case 005: /* c.fsd */
    case 025: /* c.fsdsp */
        return CLASS_FP_STORE;
    case 006: /* c.sw */
    case 007: /* c.sd */
    case 026: /* c.swsp */
    case 027: /* c.sdsp */
        return CLASS_STORE;
    case 010: /* c.addi, c.nop */
    case 011: /* c.addiw */
        return CLASS_ALU;
    case 012: /* c.li */
        return CLASS_CONSTANT;
    case 013: /* c.addi16sp, c.lui */
        return rd == 2 ? CLASS_ALU : CLASS_CONSTANT;
    case 014:
        if (riscv_field(encoding, 10, 2) < 2) { /* c.srli, c.srai */
            return CLASS_SHIFT;
        } else if (riscv_field(encoding, 10, 2) == 3 && bit12 && riscv_field(encoding, 5, 2) == 2) {
            return CLASS_MULTIPLY; /* c.mul */
        } else if (riscv_field(encoding, 10, 2) == 3 && bit12 && riscv_field(encoding, 5, 2) == 3) {
            return CLASS_BITS; /* c.zext.b and the like */
        }
        return CLASS_ALU;
    case 015: /* c.j */
        return CLASS_JUMP;
    case 016: /* c.beqz */
    case 017: /* c.bnez */
        return CLASS_BRANCH;
    case 020: /* c.slli */
        return CLASS_SHIFT;
    case 024:
        if (rs2 != 0) { /* c.mv, c.add */
            return CLASS_ALU;
        } else if (rd == 0) { /* c.ebreak */
            return bit12 ? CLASS_SYSTEM : CLASS_UNKNOWN;
        }
        return riscv_jump(bit12, rd); /* c.jr, c.jalr, which links ra */
    default:
        return CLASS_UNKNOWN;
    }
}

/* Register with register; `funct7` tells the extensions apart. */
static inline enum riscv_class riscv_class_op(uint32_t encoding)
{
    uint32_t funct3 = riscv_field(encoding, 12, 3);
    switch (riscv_field(encoding, 25, 7)) {
    case 0x00:
        return funct3 == 1 || funct3 == 5 ? CLASS_SHIFT : CLASS_ALU;
    case 0x01:
        return funct3 < 4 ? CLASS_MULTIPLY : CLASS_DIVIDE;
    case 0x20: /* sub, sra; andn, orn, xnor */
        return funct3 == 0 ? CLASS_ALU : funct3 == 5 ? CLASS_SHIFT : CLASS_BITS;
    case 0x04: /* add.uw, zext.h, pack */
    case 0x05: /* min, max, clmul */
    case 0x07: /* czero */
    case 0x10: /* sh1add, sh2add, sh3add */
    case 0x14: /* bset */
    case 0x24: /* bclr, bext */
    case 0x30: /* rol, ror */
    case 0x34: /* binv */
        return CLASS_BITS;
    default: /* aes, sha512, sm3, sm4: bits 31-30 select a byte in some */
        return CLASS_CRYPTO;
    }
}

static inline enum riscv_class riscv_class_op_imm(uint32_t encoding)
{
    uint32_t funct3 = riscv_field(encoding, 12, 3);
    uint32_t funct6 = riscv_field(encoding, 26, 6);
    if (funct3 == 0 && riscv_field(encoding, 15, 5) == 0 && riscv_field(encoding, 7, 5) != 0) {
        return CLASS_CONSTANT; /* li */
    } else if (funct3 != 1 && funct3 != 5) {
        return CLASS_ALU;
    } else if (funct6 == 0 || (funct3 == 5 && funct6 == 0x10)) {
        return CLASS_SHIFT;
    } else if (funct3 == 1 && (funct6 == 0x04 || funct6 == 0x0c)) {
        return CLASS_CRYPTO; /* sha256, sha512, sm3, aes key schedule */
    }
    return CLASS_BITS;
}

static inline enum riscv_class riscv_class_fp(uint32_t encoding)
{
    switch (riscv_field(encoding, 27, 5)) {
    case 0x00: /* add, sub, mul, min, max */
    case 0x01:
    case 0x02:
    case 0x05:
        return CLASS_FP_ARITH;
    case 0x03:
    case 0x0b:
        return CLASS_FP_DIVIDE;
    case 0x14:
        return CLASS_FP_COMPARE;
    case 0x08:
    case 0x18:
    case 0x1a:
        return CLASS_FP_CONVERT;
    case 0x04: /* sign injection: mv, neg, abs */
    case 0x1c: /* to integer register, class */
    case 0x1e:
        return CLASS_FP_MOVE;
    default:
        return CLASS_UNKNOWN;
    }
}

/* `encoding` is zero-extended for an instruction of two bytes. */
static inline enum riscv_class riscv_class(uint32_t encoding)
{
    uint32_t funct3 = riscv_field(encoding, 12, 3);
    uint32_t rd = riscv_field(encoding, 7, 5), rs1 = riscv_field(encoding, 15, 5);
    if ((encoding & 3) != 3) {
        return riscv_class_compressed(encoding);
    }
    switch (encoding & 0x7f) {
    case 0x03:
        return CLASS_LOAD;
    case 0x23:
        return CLASS_STORE;
    case 0x07: /* element widths of vectors use the values that no scalar has */
        return funct3 >= 1 && funct3 <= 4 ? CLASS_FP_LOAD : CLASS_V_MEMORY;
    case 0x27:
        return funct3 >= 1 && funct3 <= 4 ? CLASS_FP_STORE : CLASS_V_MEMORY;
    case 0x0f:
        return funct3 == 2 ? CLASS_CACHE_BLOCK : CLASS_FENCE;
    case 0x13:
        return riscv_class_op_imm(encoding);
    case 0x1b: /* addiw, shifts; slli.uw, clzw, roriw */
        if (funct3 == 0) {
            return CLASS_ALU;
        }
        return (riscv_field(encoding, 25, 7) & 0x5f) == 0 ? CLASS_SHIFT : CLASS_BITS;
    case 0x17: /* auipc */
    case 0x37: /* lui */
        return CLASS_CONSTANT;
    case 0x2f:
        return (riscv_field(encoding, 27, 5) & ~1u) == 2 ? CLASS_LR_SC : CLASS_AMO;
    case 0x33:
    case 0x3b:
        return riscv_class_op(encoding);
    case 0x43:
    case 0x47:
    case 0x4b:
    case 0x4f:
        return CLASS_FP_FUSED;
    case 0x53:
        return riscv_class_fp(encoding);
    case 0x57:
        return funct3 == 7 ? CLASS_V_CONFIG : CLASS_V_ARITH;
    case 0x77:
        return CLASS_CRYPTO;
    case 0x63:
        return CLASS_BRANCH;
    case 0x67:
        return riscv_jump(rd, rs1);
    case 0x6f:
        return rd == 1 || rd == 5 ? CLASS_CALL : CLASS_JUMP;
    case 0x73: /* with funct3 4: loads and stores of the hypervisor */
        return funct3 == 0 || funct3 == 4 ? CLASS_SYSTEM : CLASS_CSR;
    default:
        return CLASS_UNKNOWN;
    }
}

static inline const char *riscv_class_name(enum riscv_class class)
{
    static const char *const names[] = {
#define CLASS(id, name, option) name,
        RISCV_CLASSES(CLASS)
#undef CLASS
    };
    return names[class];
}

static inline const char *riscv_class_option(enum riscv_class class)
{
    static const char *const options[] = {
#define CLASS(id, name, option) option,
        RISCV_CLASSES(CLASS)
#undef CLASS
    };
    return options[class];
}

#endif
