# A hart alone: the supervisor loads through an alias of memory and writes to the serial port; its call
# takes it to the machine level, which waits for the timer, takes its interrupt, and powers off.
    .option norelax
    .option norvc
    .text
    .globl _start
    .globl supervisor, load, send, call, handler, compare, wait, enable, after, interrupt, word
_start:
    lla     t0, handler
    csrw    mtvec, t0
    li      t0, -1
    csrw    pmpaddr0, t0
    li      t0, 0x1f                # all of memory, for all
    csrw    pmpcfg0, t0
    lla     t0, table
    srli    t0, t0, 12
    li      t1, 8 << 60             # Sv39
    or      t0, t0, t1
    csrw    satp, t0
    lla     t0, supervisor
    csrw    mepc, t0
    li      t0, 1 << 11             # previously the supervisor
    csrs    mstatus, t0
    mret
supervisor:
    lla     s0, word
    li      t0, 0x40000000
    sub     s0, s0, t0              # the alias
load:
    ld      a0, 0(s0)
    li      s1, 0x10000000
    li      a1, 0x48
send:
    sb      a1, 0(s1)
call:
    ecall

    .balign 4
handler:
    csrr    t0, mcause
    bltz    t0, interrupt
    csrr    t0, time
    li      t1, 3000000             # 0.3 s
    add     t0, t0, t1
    li      t1, 0x2004000
compare:
    sd      t0, 0(t1)
    li      t0, 0x80
    csrw    mie, t0
wait:
    wfi
enable:
    csrsi   mstatus, 8
after:
    j       after
interrupt:
    li      t1, 0x100000
    li      t2, 0x73333             # ends with 7
    sw      t2, 0(t1)
1:  j       1b

    .data
    .balign 8
word:
    .quad   0x1234
# Virtual gigabytes: 0 is devices, 1 an alias of memory, 2 memory. Valid, readable, writable, executable,
# accessed, dirty.
    .balign 4096
table:
    .quad   0 << 28 | 0xcf
    .quad   2 << 28 | 0xcf
    .quad   2 << 28 | 0xcf
    .zero   4096 - 24
