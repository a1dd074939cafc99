# Rounds 2.5, in one block: by the dynamic mode at `point`, then by a mode of its own; exits with what came
# out and the mode that it finds: result | frm << 2 | other result << 4. No library.
#
# Nobody changes the mode: 2 | 0 << 2 | 2 << 4 = 34. Upwards at `point`: 3 | 3 << 2 | 2 << 4 = 47.

    .option norelax
    .text

    .globl _start
_start:
    li      t0, 5
    fcvt.d.l fa0, t0
    li      t0, 2
    fcvt.d.l fa1, t0
    li      t0, 3
    fcvt.d.l fa2, t0
    fdiv.d  fa2, fa0, fa2       # inexact: from here on that traps no more
    fdiv.d  fa0, fa0, fa1
    .globl point
    .type point, @function
point:
    fcvt.w.d a0, fa0, dyn
    frrm    a1
    fcvt.w.d a2, fa0, rne
    slli    a1, a1, 2
    slli    a2, a2, 4
    or      a0, a0, a1
    or      a0, a0, a2
    li      a7, 94
    ecall
    .size point, . - point
