// Bytes stored side by side, as compilers for riscv64 copy unaligned words: every offset, every
// length, and runs that leave the mapped page in the middle: the bytes before the edge are stored,
// and the fault is that of the first byte beyond it.
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;
static unsigned char *volatile fault_at;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    fault_at = info->si_addr;
    siglongjmp(back, 1);
}

// Volatile, so that each assignment is one byte store, in this order.
__attribute__((noinline)) static void eight(volatile unsigned char *p, uint64_t v)
{
    unsigned char a = v, b = v >> 8, c = v >> 16, d = v >> 24;
    unsigned char e = v >> 32, f = v >> 40, g = v >> 48, h = v >> 56;
    p[0] = a, p[1] = b, p[2] = c, p[3] = d, p[4] = e, p[5] = f, p[6] = g, p[7] = h;
}

__attribute__((noinline)) static void six(volatile unsigned char *p, uint64_t v)
{
    unsigned char a = v, b = v >> 8, c = v >> 16, d = v >> 24, e = v >> 32;
    p[0] = a, p[1] = b, p[2] = c, p[3] = d, p[4] = e, p[5] = 0;
}

int main(void)
{
    long size = sysconf(_SC_PAGESIZE);
    unsigned char *page =
        mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || mprotect(page + size, size, PROT_NONE) != 0)
        return 1;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);

    uint64_t sum = 0;
    for (int i = 0; i < 64; i++) {
        uint64_t word, v = 0x0123456789abcdef * (uint64_t)(2 * i + 1);
        eight(page + i, v);
        six(page + 100 + i, v);
        memcpy(&word, page + i, sizeof word);
        sum = sum * 31 + word;
        memcpy(&word, page + 100 + i, sizeof word);
        sum = sum * 31 + word;
    }
    printf("%016llx\n", (unsigned long long)sum);

    for (int room = 0; room <= 8; room++)
        for (int length = 6; length <= 8; length += 2) {
            memset(page + size - 16, 0xee, 16);
            fault_at = NULL;
            if (sigsetjmp(back, 1) == 0)
                (length == 8 ? eight : six)(page + size - room, 0x1122334455667788);
            printf("%d bytes, room for %d: ", length, room);
            if (fault_at == NULL)
                printf("no fault,");
            else
                printf("fault at edge + %ld,", (long)(fault_at - (page + size)));
            for (int i = 16; i > 0; i--)
                printf(" %02x", page[size - i]);
            puts("");
        }
    return 0;
}
