/* Ten faults that become signals, out of the middle of a block. */
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static sigjmp_buf back;

static void handler(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

__attribute__((noipa)) static long faulting(volatile long *at)
{
    long before = (long)at + 1;
    return before + *at + 1;
}

int main(void)
{
    struct sigaction action = { .sa_handler = handler };
    volatile int faults = 0;
    sigaction(SIGSEGV, &action, NULL);
    while (faults < 10) {
        if (sigsetjmp(back, 1) == 0) {
            faulting(NULL);
            return 1;
        }
        faults++;
    }
    return 0;
}
