/* Calls firmware, and says what comes of it; what differs between firmware that is right is not said. */

typedef unsigned long u64;

struct result {
    long error;
    u64 value;
};

enum {
    BASE = 0x10,
    TIME = 0x54494d45,
    IPI = 0x735049,
    RFENCE = 0x52464e43,
    HSM = 0x48534d,
    SRST = 0x53525354,
    DBCN = 0x4442434e,
};

static struct result call(u64 extension, u64 function, u64 x0, u64 x1, u64 x2, u64 x3)
{
    register u64 a0 asm("a0") = x0;
    register u64 a1 asm("a1") = x1;
    register u64 a2 asm("a2") = x2;
    register u64 a3 asm("a3") = x3;
    register u64 a6 asm("a6") = function;
    register u64 a7 asm("a7") = extension;
    asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a6), "r"(a7) : "memory");
    return (struct result){(long)a0, a1};
}

static void put(const char *text)
{
    u64 length = 0;
    while (text[length])
        length++;
    while (length) {
        u64 done = call(DBCN, 0, length, (u64)text, 0, 0).value;
        text += done;
        length -= done;
    }
}

static void put_number(long number)
{
    char digits[24], *at = digits + 23;
    u64 rest = number < 0 ? -number : number;
    *at = 0;
    do
        *--at = '0' + rest % 10;
    while (rest /= 10);
    if (number < 0)
        *--at = '-';
    put(at);
}

static void say(const char *what, long number)
{
    put(what);
    put(": ");
    put_number(number);
    put("\n");
}

#define ERROR(extension, function, a0, a1, a2, a3) \
    say(#extension " " #function "(" #a0 ", " #a1 ", " #a2 ", " #a3 ")", \
        call(extension, function, a0, a1, a2, a3).error)

u64 interrupts;
static volatile u64 arrived, opaque, may_stop, counters_work;
void start_other(void);

static u64 now(void)
{
    u64 time;
    asm volatile("rdtime %0" : "=r"(time));
    return time;
}

#define wait_until(condition) \
    while (!(condition))      \
        asm volatile("" : : : "memory")

/* The other hart. */
void other(u64 hart, u64 a1)
{
    opaque = a1;
    asm volatile("csrsi sie, 2; csrsi sstatus, 2" : : : "memory");
    arrived++;
    while (!may_stop)
        asm volatile("wfi" : : : "memory");
    asm volatile("csrci sstatus, 2" : : : "memory");
    call(HSM, 1, 0, 0, 0, 0);
    put("a hart that has stopped goes on\n");
}

static void interrupt_other(u64 mask, u64 base)
{
    u64 before = *(volatile u64 *)&interrupts;
    ERROR(IPI, 0, mask, base, 0, 0);
    wait_until(*(volatile u64 *)&interrupts != before);
    say("interrupts", *(volatile u64 *)&interrupts - before);
}

void first(u64 me, u64 tree)
{
    u64 you = 1 - me, mine = 1ul << me, both = 3;
    put("\nbegin\n");
    say("version 2 at least", call(BASE, 0, 0, 0, 0, 0).value >= 0x2000000);
    u64 extensions[] = {BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, 0x12345};
    for (int n = 0; n < 8; n++)
        say("probe", call(BASE, 3, extensions[n], 0, 0, 0).value);
    ERROR(BASE, 99, 0, 0, 0, 0);
    ERROR(0x12345, 0, 0, 0, 0, 0);

    say("my state", call(HSM, 2, me, 0, 0, 0).value);
    say("your state", call(HSM, 2, you, 0, 0, 0).value);
    ERROR(HSM, 2, 99, 0, 0, 0);
    ERROR(HSM, 0, 99, 0x80200000, 0, 0);
    ERROR(HSM, 0, me, (u64)start_other, 0, 0);
    ERROR(HSM, 99, 0, 0, 0, 0);
    ERROR(HSM, 0, you, (u64)start_other, 1234567, 0);
    wait_until(arrived == 1);
    say("opaque", opaque);
    say("your state", call(HSM, 2, you, 0, 0, 0).value);
    ERROR(HSM, 0, you, (u64)start_other, 0, 0);

    interrupt_other(1ul << you, 0);
    interrupt_other(1, you);
    ERROR(IPI, 0, 1, 99, 0, 0);
    /* To all: this one has its interrupts off, and sees its own pending. */
    interrupt_other(0, -1);
    u64 pending;
    asm volatile("csrr %0, sip" : "=r"(pending));
    say("mine is pending", pending >> 1 & 1);
    asm volatile("csrci sip, 2");

    for (int n = 0; n < 200; n++)
        if (call(RFENCE, n % 3, both, 0, 0, -1).error)
            put("a fence fails\n");
    ERROR(RFENCE, 0, 0, -1, 0, 0);
    ERROR(RFENCE, 1, mine, 0, 0x1000, 0x1000);
    ERROR(RFENCE, 99, both, 0, 0, 0);

    u64 deadline = now() + 20000;
    ERROR(TIME, 0, deadline, 0, 0, 0);
    do
        asm volatile("csrr %0, sip" : "=r"(pending));
    while (!(pending >> 5 & 1));
    say("the timer is early", now() < deadline);
    ERROR(TIME, 0, -1, 0, 0, 0);
    asm volatile("csrr %0, sip" : "=r"(pending));
    say("the timer is pending", pending >> 5 & 1);

    may_stop = 1;
    call(IPI, 0, 1, you, 0, 0);
    wait_until(call(HSM, 2, you, 0, 0, 0).value == 1);
    put("it has stopped\n");
    ERROR(HSM, 0, you, (u64)start_other, 7654321, 0);
    wait_until(arrived == 2);
    say("opaque", opaque);

    ERROR(DBCN, 2, '!', 0, 0, 0);
    ERROR(DBCN, 99, 0, 0, 0, 0);
    ERROR(SRST, 0, 99, 0, 0, 0);
    put("end\n");
    call(SRST, 0, 0, 0, 0, 0);
}
