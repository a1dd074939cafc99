# Two harts at the machine level. The first one polls the serial port, and never rests; the second one waits,
# and is woken by its timer each millisecond. For each byte that comes both step: the first a thousand times,
# then the second, when it is woken, half as often; then the first writes a line. `q` ends it, with 7.
    .option norelax
    .option norvc
    .text
    .globl _start, step, poll, behind

    .type _start, @function
_start:
    lla     s0, wanted
    bnez    a0, second
    li      s1, 0x10000000          # the serial port
poll:
    lbu     t0, 5(s1)
    andi    t0, t0, 1
    beqz    t0, poll
    lbu     t0, 0(s1)
    li      t1, 'q'
    beq     t0, t1, end
    li      a0, 1000
    jal     ra, steps
    li      t0, 1
    sd      t0, 0(s0)
1:
    ld      t0, 0(s0)
    bnez    t0, 1b
    li      t0, 'o'
    sb      t0, 0(s1)
    li      t0, 'k'
    sb      t0, 0(s1)
    li      t0, '\n'
    sb      t0, 0(s1)
    j       poll
end:
    li      t1, 0x100000
    li      t2, 0x73333             # ends with 7
    sw      t2, 0(t1)
1:
    j       1b
    .size _start, . - _start

    .type second, @function
second:
    li      t0, 0x80                # the timer wakes it, and is no trap
    csrw    mie, t0
    li      s1, 0x2004008           # its deadline
    li      s2, 10000
tick:
    csrr    t0, time
    add     t0, t0, s2
    sd      t0, 0(s1)
    wfi
    ld      t0, 0(s0)
    beqz    t0, tick
    li      a0, 500
    jal     ra, steps
    sd      zero, 0(s0)
    j       tick
    .size second, . - second

# Steps a0 times: 2 + 3 * a0 instructions.
    .type steps, @function
steps:
    mv      t6, ra
1:
    jal     ra, step
    addi    a0, a0, -1
    bnez    a0, 1b
    jr      t6
    .size steps, . - steps

# 2 instructions.
    .type step, @function
step:
    addi    s11, s11, 1
    ret
    .size step, . - step
behind:

    .data
    .balign 8
wanted:
    .quad   0
