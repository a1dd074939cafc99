/* System calls with wild arguments: pointers that are NULL, odd, protected, beyond the address space;
 * sizes and descriptors that are negative or huge. Nothing may crash the emulator, or hang it: a timer
 * interrupts what waits. What the calls answer differs from kernel to kernel and is not looked at.
 *
 * Nothing may hurt the machine either: no call is made that changes other processes or what belongs to
 * nobody; the calls are made without privileges, in a directory that is gone, with descriptors of
 * memory only.
 *
 * @only riscv64
 * @no-qemu not made to survive this
 * @expect survived
 * @timeout 60
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const short calls[] = {
    5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 32,
    33, 34, 35, 36, 37, 43, 44, 45, 48, 49, 50, 56, 57, 59, 61, 62, 63, 64, 65, 66, 67, 68, 69,
    70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 95, 96,
    98, 99, 100, 101, 102, 107, 108, 109, 110, 111, 113, 114, 115, 120, 121, 123, 124, 125, 126,
    127, 132, 133, 134, 135, 136, 137, 141, 148, 150, 153, 155, 156, 158, 160, 163, 165, 167, 168,
    169, 172, 173, 174, 175, 176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 198, 199, 200, 201,
    202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 216, 222, 223, 227, 228, 229, 232,
    233, 242, 243, 258, 259, 260, 264, 265, 268, 269, 275, 276, 278, 279, 281, 283, 285, 286, 287,
    291, 293, 434, 435, 436, 437, 438, 439, 441, 449,
};

static void on_alarm(int number)
{
    (void)number;
}

/* Makes the calls from `first` on, in a process of its own, as some of them close descriptors or
 * unmap memory. */
static void child(int first, int last, uint64_t *seed, const uint64_t *values, int count)
{
    /* What fills memory or disk is refused. */
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, 1 << 20});
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 2000}, {0, 2000}};
    for (int i = first; i < last; i++) {
        for (int round = 0; round < 500; round++) {
            uint64_t args[6];
            for (int k = 0; k < 6; k++) {
                *seed = *seed * 6364136223846793005u + 1442695040888963407u;
                args[k] = values[(*seed >> 33) % count];
            }
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            setitimer(ITIMER_REAL, &often, NULL);
            syscall(calls[i], args[0], args[1], args[2], args[3], args[4], args[5]);
        }
    }
}

int main(void)
{
    char directory[] = "/tmp/hartscope-wild-XXXXXX";
    if (!mkdtemp(directory) || chdir(directory) != 0 || rmdir(directory) != 0)
        return 1;
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *some = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(some + 4096, 4096);
    int file = memfd_create("wild", 0);
    const uint64_t values[] = {
        0,
        1,
        8,
        16,
        4096,
        (uint64_t)-1,
        (uint64_t)-4096,
        1ul << 62,
        1ul << 38,
        (1ul << 38) - 4,
        1ul << 31,
        (uint64_t)none,
        (uint64_t)only,
        (uint64_t)some,
        (uint64_t)some + 4090,
        1000,
    };
    const int total = sizeof calls / sizeof *calls, step = 24;
    uint64_t seed = 1;
    for (int first = 0; first < total; first += step) {
        pid_t pid = fork();
        if (pid == 0) {
            int last = first + step < total ? first + step : total;
            for (int fd = 0; fd < 3; fd++)
                dup2(file, fd);
            close_range(3, ~0, 0);
            if (getuid() == 0 && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
                _exit(1);
            seed += first;
            child(first, last, &seed, values, sizeof values / sizeof *values);
            _exit(0);
        }
        int status;
        /* A child that has unmapped its own stack dies by SIGSEGV, as it should. */
        if (waitpid(pid, &status, 0) != pid
            || (status != 0 && WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS))
            printf("calls from %d on: status %x\n", calls[first], status);
    }
    printf("survived\n");
    return 0;
}
