/*
 * Makes qemu-riscv64 translate every word of a file, and run none of them.
 *
 * Each word lies in a slot of 16 bytes behind a load from address 0. The emulator translates the
 * block, which shows the word in its `-d in_asm` log; the load faults, and the handler goes on to
 * the next slot. Usage: guest FILE
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define SLOTS ((uint32_t *)0x10000000)
#define ROOM (1ul << 28)

/* As if the slot had returned: pc = ra. */
static void back(int signal, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    (void)signal;
    (void)info;
    interrupted->uc_mcontext.__gregs[0] = interrupted->uc_mcontext.__gregs[1];
}

int main(int argc, char **argv)
{
    const uint32_t load = 0x00003003, loop = 0x0000006f;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    uint32_t *slots = mmap(SLOTS, ROOM, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    if (!file || slots != SLOTS) {
        perror("guest");
        return 1;
    }
    struct sigaction action = {.sa_sigaction = back, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);

    uint32_t word;
    size_t count = 0;
    for (; fread(&word, sizeof word, 1, file) == 1; count++) {
        char *slot = (char *)(slots + count * 4);
        size_t length = (word & 3) == 3 ? 4 : 2;
        memcpy(slot, &load, 4);
        memcpy(slot + 4, &word, length);
        memcpy(slot + 4 + length, &loop, 4);
    }
    __builtin___clear_cache((char *)slots, (char *)(slots + count * 4));
    for (size_t at = 0; at < count; at++)
        ((void (*)(void))(slots + at * 4))();
    return 0;
}
