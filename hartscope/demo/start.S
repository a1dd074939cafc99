# Entry points of the guests that are built in: where the first hart and the others begin.
#
# There is no C library. Linux enters the first hart at _start with argc,
# argv, envp and the auxiliary vector on the stack; every other hart begins
# inside spawn(), as the child side of its clone call.

    .text

    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    ld      a0, 0(sp)               # argc
    addi    a1, sp, 8               # argv
    andi    sp, sp, -16
    call    guest_main
    li      a7, 94                  # exit_group
    ecall
    unimp
    .size _start, . - _start

# long spawn(struct hart *hart, void *stack_top, int *tid,
#            void (*entry)(struct hart *))
#
# Starts a hart that runs entry(hart) and exits. The kernel writes the hart's
# thread id to *tid, clears it when the hart has gone and wakes the futex there.
# Returns the thread id or a negative errno. A system call changes a0 only, so
# the child finds its arguments in the registers of its parent.
    .globl spawn
    .type spawn, @function
spawn:
    mv      t0, a0
    mv      t1, a2
    mv      t2, a3
    # CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | SETTLS
    #   | PARENT_SETTID | CHILD_CLEARTID
    li      a0, 0x3d0f00
    mv      a2, t1                  # a1 is the stack already; a2: parent's tid word
    mv      a3, t0                  # tls: tp of the new hart is its struct hart
    mv      a4, t1                  # child's tid word
    li      a7, 220                 # clone
    ecall
    beqz    a0, 1f
    ret
1:  mv      a0, tp
    jalr    t2
    li      a0, 0
    li      a7, 93                  # exit
    ecall
    unimp
    .size spawn, . - spawn

    .section .note.GNU-stack, "", @progbits
