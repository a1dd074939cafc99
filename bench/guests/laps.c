// Works in laps until it is killed, and says in shared memory when each one ended.
//
//   laps FILE THREADS [crowd]
//
// Each thread writes to FILE, which it finds large enough, a `struct lane` of its own. A lap takes
// some hundred microseconds and goes through code of many blocks. In a crowd the first two threads
// make no laps: one waits in a system call that nobody ends, one spins in a loop of one instruction.
#include "threads.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 14, PAD = 64 };

struct lap {
    uint64_t wall, cpu;
};

// `laps` counts those that ended; lap `n` is at `n % RING`.
struct lane {
    _Atomic uint64_t laps;
    char pad[PAD - sizeof(uint64_t)];
    struct lap ring[RING];
};

static struct lane *lanes;
static int is_crowd;
static int silent[2];

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Each piece of work is small, so that its code counts for something.

static uint64_t sorts(uint64_t *seed)
{
    uint32_t values[160];
    for (int i = 0; i < 160; i++)
        values[i] = (uint32_t)next_random(seed);
    for (int gap = 80; gap > 0; gap /= 2)
        for (int i = gap; i < 160; i++) {
            uint32_t value = values[i];
            int at = i;
            for (; at >= gap && values[at - gap] > value; at -= gap)
                values[at] = values[at - gap];
            values[at] = value;
        }
    return values[80];
}

static uint64_t prints(uint64_t *seed)
{
    char text[200];
    uint64_t sum = CHECKSUM_START;
    for (int i = 0; i < 12; i++) {
        uint32_t number = (uint32_t)next_random(seed);
        int length = snprintf(text, sizeof text, "%08x %-12u|%+d %s %5.1f%%", number, number >> 7,
                              (int)(number >> 3), number & 1 ? "odd" : "even", number / 1e8);
        sum = checksum_bytes(sum, text, (size_t)length);
        sum += strtoul(text + 9, NULL, 10);
    }
    return sum;
}

static uint64_t machine(uint64_t *seed)
{
    unsigned char code[64];
    uint64_t stack[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t i = 0; i < sizeof code; i++)
        code[i] = (unsigned char)random_below(seed, 10);
    for (int round = 0; round < 40; round++)
        for (size_t i = 0; i < sizeof code; i++) {
            uint64_t *a = &stack[i & 7], b = stack[(i + round) & 7];
            switch (code[i]) {
            case 0: *a += b; break;
            case 1: *a -= b; break;
            case 2: *a ^= b << 3; break;
            case 3: *a *= b | 1; break;
            case 4: *a = *a >> 7 | *a << 57; break;
            case 5: if (*a > b) *a = ~b; break;
            case 6: *a &= b | 0xff; break;
            case 7: *a |= b >> 9; break;
            case 8: *a = checksum_add(*a, b); break;
            default: i += *a & 3; break;
            }
        }
    return stack[0] ^ stack[5];
}

static uint64_t searches(uint64_t *seed)
{
    static const char *const words[] = {"hart", "block", "plugin", "epoch", "arena", "guest"};
    char text[300];
    uint64_t found = 0;
    text[0] = '\0';
    while (strlen(text) < 280)
        strncat(text, words[random_below(seed, 6)], 12);
    for (int i = 0; i < 6; i++)
        for (const char *at = text; (at = strstr(at, words[i])) != NULL; at++)
            found = checksum_add(found, (uint64_t)(at - text));
    return found + (uint64_t)memcmp(text, text + 7, 200);
}

static void *run(void *argument)
{
    uintptr_t index = (uintptr_t)argument;
    struct lane *lane = &lanes[index];
    uint64_t seed = index, sum = 0;
    char byte;

    if (is_crowd && index == 0)
        return (void *)read(silent[0], &byte, 1);
    if (is_crowd && index == 1)
        for (;;)
            __asm__ volatile("");
    for (uint64_t lap = 0;; lap++) {
        for (int i = 0; i < 4; i++)
            sum += sorts(&seed) + prints(&seed) + machine(&seed) + searches(&seed);
        lane->ring[lap % RING] =
            (struct lap){now(CLOCK_MONOTONIC), now(CLOCK_THREAD_CPUTIME_ID) + (sum == 1)};
        atomic_store_explicit(&lane->laps, lap + 1, memory_order_release);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned threads = arg_number(argc, argv, 2, 1);
    int file = argc < 3 ? -1 : open(argv[1], O_RDWR);
    is_crowd = argc > 3 && strcmp(argv[3], "crowd") == 0;
    lanes = mmap(NULL, threads * sizeof *lanes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (lanes == MAP_FAILED || pipe(silent) != 0) {
        fprintf(stderr, "usage: %s FILE THREADS [crowd]\n", argv[0]);
        return 2;
    }
    run_threads(threads, run);
    return 0;
}
