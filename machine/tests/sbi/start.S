# A kernel's first steps, on whichever hart firmware likes; and those of the other one.

        .option norvc
        .section .text.start
        .globl _start
_start: la      sp, first_stack
        la      t0, on_trap
        csrw    stvec, t0
        call    first
1:      wfi
        j       1b

        .balign 4
        .globl  start_other
start_other:
        la      sp, other_stack
        la      t0, on_trap
        csrw    stvec, t0
        call    other
1:      wfi
        j       1b

# The only traps are software interrupts, each of which is counted once.
        .balign 4
on_trap:
        addi    sp, sp, -16
        sd      t0, 0(sp)
        sd      t1, 8(sp)
        csrci   sip, 2
        la      t0, interrupts
        li      t1, 1
        amoadd.d zero, t1, (t0)
        ld      t0, 0(sp)
        ld      t1, 8(sp)
        addi    sp, sp, 16
        sret

        .bss
        .balign 16
        .space  8192
first_stack:
        .space  8192
other_stack:
