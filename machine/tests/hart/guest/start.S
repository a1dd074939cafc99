# What all programs begin with, and how they try things at other levels.

        .option norvc
        .section .text.start
        .globl _start
_start: csrr    t0, mhartid
        bnez    t0, others
        la      sp, stack_top
        la      t0, on_machine_trap
        csrw    mtvec, t0
        la      t0, on_supervisor_trap
        csrw    stvec, t0
        # All memory for all levels.
        li      t0, -1
        csrw    pmpaddr0, t0
        li      t0, 0x1f
        csrw    pmpcfg0, t0
        call    main
        # main's result ends the machine.
        .globl finish
finish: li      t0, 0x100000
        beqz    a0, 1f
        slli    a0, a0, 16
        li      t1, 0x3333
        or      a0, a0, t1
        sw      a0, (t0)
        j       park
1:      li      t1, 0x5555
        sw      t1, (t0)
park:   wfi
        j       park

# The other harts run what a program has for them, if it has anything.
others: la      t1, other
        beqz    t1, park
        la      sp, stacks
        slli    t2, t0, 12
        add     sp, sp, t2
        mv      a0, t0
        call    other
        j       park
        .weak   other

# struct trap *try(unsigned long level, void (*code)(), unsigned long a0, unsigned long a1)
#
# Runs code at a level until it traps; what ends it by itself is an ecall.
        .globl  try
try:    addi    sp, sp, -128
        sd      ra, 0(sp)
        sd      s0, 8(sp)
        sd      s1, 16(sp)
        sd      s2, 24(sp)
        sd      s3, 32(sp)
        sd      s4, 40(sp)
        sd      s5, 48(sp)
        sd      s6, 56(sp)
        sd      s7, 64(sp)
        sd      s8, 72(sp)
        sd      s9, 80(sp)
        sd      s10, 88(sp)
        sd      s11, 96(sp)
        sd      gp, 104(sp)
        sd      tp, 112(sp)
        csrw    mscratch, sp
        la      t0, trapped
        sd      zero, 0(t0)
        li      t1, 3 << 11
        csrc    mstatus, t1
        slli    t0, a0, 11
        csrs    mstatus, t0
        csrw    mepc, a1
        mv      a0, a2
        mv      a1, a3
        mret

        .balign 4
        .globl on_machine_trap
on_machine_trap:
        la      t0, trapped
        csrr    t1, mcause
        sd      t1, 8(t0)
        csrr    t1, mepc
        sd      t1, 16(t0)
        csrr    t1, mtval
        sd      t1, 24(t0)
        csrr    t1, mstatus
        sd      t1, 32(t0)
        sd      a0, 40(t0)
        sd      a1, 48(t0)
        # Memory is as the machine level sees it.
        li      t1, 1 << 17
        csrc    mstatus, t1
        csrr    sp, mscratch
        ld      ra, 0(sp)
        ld      s0, 8(sp)
        ld      s1, 16(sp)
        ld      s2, 24(sp)
        ld      s3, 32(sp)
        ld      s4, 40(sp)
        ld      s5, 48(sp)
        ld      s6, 56(sp)
        ld      s7, 64(sp)
        ld      s8, 72(sp)
        ld      s9, 80(sp)
        ld      s10, 88(sp)
        ld      s11, 96(sp)
        ld      gp, 104(sp)
        ld      tp, 112(sp)
        addi    sp, sp, 128
        la      a0, trapped
        ret

# A trap to the supervisor is noted, and goes on to the machine level.
        .balign 4
        .globl on_supervisor_trap
on_supervisor_trap:
        ecall
        .balign 4

        .bss
        .balign 4096
        .globl  trapped
trapped: .space 64
        .balign 4096
        .space  65536
stack_top:
        # Of a page each, growing downwards; the first is nobody's.
stacks: .space  8 * 4096
