# Every kind of memory access, a known number of times. No library: what runs is what stands here.
#
# Instructions of `_start` .. `done` (each executed once unless it says otherwise):
#
#   prologue                        4
#   plain                          14
#   float                           6
#   atomic                          8
#   page                            5
#   loop     2 + 10 * 6          = 62
#   call     1 + 2               =  3
#   fail                            4    (an sc that cannot succeed: no access)
#   exit                            3
#   sum                           109
#
# Loads:  plain 7, float 2, atomic lr, sc and 3 amo = 5, page 2, loop 10       = 26
# Stores: plain 4, float 2, atomic sc and 3 amo = 4, page 2, loop 10           = 22
#
# (An sc that tries to store is a load and a store.)

    .option norelax
    .text
    .globl _start
    .type _start, @function
    .globl bytes
_start:
    # prologue: 4 (lla is two instructions)
    lla     s0, bytes
    lla     s1, end_of_page

plain:  # 14
    li      t0, -2
    sd      t0, 0(s0)
    lb      t1, 0(s0)
    lbu     t1, 1(s0)
    lh      t1, 2(s0)
    lhu     t1, 4(s0)
    lw      t1, 0(s0)
    lwu     t1, 4(s0)
    ld      t1, 0(s0)
    sb      t0, 8(s0)
    sh      t0, 10(s0)
    sw      t0, 12(s0)
    nop
    nop

float:  # 6
    fcvt.d.w fa0, t0
    fsd     fa0, 16(s0)
    fld     fa1, 16(s0)
    fcvt.s.d fa2, fa1
    fsw     fa2, 24(s0)
    flw     fa3, 24(s0)

atomic: # 8
    addi    t2, s0, 32
    li      t3, 5
    lr.d    t4, (t2)
    sc.d    t5, t3, (t2)
    amoadd.d t4, t3, (t2)
    amoswap.w t4, t3, (t2)
    amomax.d t4, t3, (t2)
    fence

page:   # 5: across the end of a page
    sd      t3, -4(s1)
    ld      t4, -4(s1)
    sw      t3, -2(s1)
    lwu     t4, -2(s1)
    nop

    # loop: 2 + 10 * 6
    li      t0, 10
    mv      t1, s0
loop:
    ld      t2, 40(t1)
    addi    t2, t2, 3
    sd      t2, 40(t1)
    addi    t0, t0, -1
    mv      t3, t0
    bnez    t0, loop

    # call: 1 + 2
    jal     ra, leaf

fail:   # 4: no reservation is left after the first sc
    addi    t2, s0, 32
    li      t3, 1
    sc.d    t5, t3, (t2)
    nop

    # exit: 3
    li      a0, 0
    li      a7, 94
done:
    ecall

leaf:
    nop
    ret
    .size _start, . - _start

    .bss
    .balign 4096
bytes:
    .space 4096
end_of_page:
    .space 4096
