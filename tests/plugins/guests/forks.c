/*
 * For each byte that it reads, forks 20 children, one after the other, that each call `step` and end;
 * says how many ended well.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long steps;

__attribute__((noinline)) void step(void)
{
    steps += 1;
}

int main(void)
{
    char byte;

    while (read(0, &byte, 1) == 1) {
        int good = 0;

        for (int i = 0; i < 20; i++) {
            pid_t child = fork();
            int status;

            if (child == 0) {
                step();
                _exit(3);
            }
            good += waitpid(child, &status, 0) == child && status == 3 << 8;
        }
        printf("%d\n", good);
        fflush(stdout);
    }
    return 7;
}
