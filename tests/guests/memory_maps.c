/* What programs do with their address space, and what happens when they use what is not there.
 *
 * @no-qemu it cannot map shared memory twice with mremap
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { P = 4096 };

static sigjmp_buf escape;
static volatile int seen_signal, seen_code;
static char *volatile seen_address;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen_signal = signal;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    siglongjmp(escape, 1);
}

/* What one access does. */
static void try_access(const char *what, volatile char *address, int write)
{
    if (sigsetjmp(escape, 1) == 0) {
        if (write)
            *address = 1;
        else
            (void)*address;
        printf("%s: ok\n", what);
    } else {
        printf("%s: signal %d, code %d, address %s\n", what, seen_signal, seen_code,
               seen_address == address ? "right" : "wrong");
    }
}

static const char *error(long result)
{
    return result == -1 ? strerror(errno) : "ok";
}

static char *map(size_t pages, int protection, int flags)
{
    char *at = mmap(NULL, pages * P, protection, flags | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        exit(1);
    return at;
}

static char *rw(size_t pages)
{
    return map(pages, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

static void protection(void)
{
    char *at = rw(4);
    at[0] = at[3 * P] = 7;
    mprotect(at + P, P, PROT_NONE);
    mprotect(at + 2 * P, P, PROT_READ);
    munmap(at + 3 * P, P);
    try_access("read-write", at, 1);
    try_access("no access", at + P + 5, 0);
    try_access("read only, read", at + 2 * P, 0);
    try_access("read only, write", at + 2 * P + 8, 1);
    try_access("unmapped, read", at + 3 * P, 0);
    try_access("unmapped, write", at + 3 * P, 1);
    try_access("null", NULL, 0);
    printf("mprotect over a hole: %s\n", error(mprotect(at, 4 * P, PROT_READ)));
    printf("mprotect odd: %s\n", error(mprotect(at + 1, P, PROT_READ)));
    printf("munmap nothing: %s\n", error(munmap(at + 3 * P, P)));
    printf("munmap odd: %s\n", error(munmap(at + 1, P)));
    printf("munmap length 0: %s\n", error(munmap(at, 0)));
    mprotect(at, 3 * P, PROT_READ | PROT_WRITE);
    printf("kept %d\n", at[0]);
    munmap(at, 3 * P);
}

static void places(void)
{
    char *area = map(16, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
    char *inside = mmap(area + 4 * P, P, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("fixed: %d\n", inside == area + 4 * P);
    inside[0] = 1;
    char *not_over = mmap(area + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0);
    printf("not over: %s\n", not_over == MAP_FAILED ? strerror(errno) : "mapped");
    char *hint = mmap(area + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("hint taken by another: %d, kept %d\n", hint != area + 4 * P, inside[0]);
    munmap(area, 16 * P);
    hint = mmap(area + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("hint free: %d\n", hint == area + 4 * P);
    munmap(hint, P);
    struct {
        const char *what;
        void *at;
        size_t length;
        int flags, fd;
        off_t offset;
    } bad[] = {
        {"length 0", NULL, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
        {"huge", NULL, (size_t)1 << 62, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
        {"endless", NULL, -1UL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
        {"fixed odd", area + 1, P, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0},
        {"neither private nor shared", NULL, P, MAP_ANONYMOUS, -1, 0},
        {"no file", NULL, P, MAP_PRIVATE, 999, 0},
        {"fd -1", NULL, P, MAP_PRIVATE, -1, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *at = mmap(bad[i].at, bad[i].length, PROT_READ, bad[i].flags, bad[i].fd, bad[i].offset);
        printf("%s: %s\n", bad[i].what, at == MAP_FAILED ? strerror(errno) : "mapped");
    }
}

static void files(void)
{
    char name[] = "/tmp/maps-guest-XXXXXX", page[P];
    int file = mkstemp(name);
    unlink(name);
    for (int i = 0; i < 3; i++) {
        memset(page, 'a' + i, P);
        if (write(file, page, i == 2 ? 100 : P) < 0)
            exit(1);
    }
    char *shared = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *private = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, P);
    printf("contents %c %c %c %d\n", shared[0], shared[P], shared[2 * P], shared[2 * P + 100]);
    shared[P] = 'X';
    printf("through the other mapping: %c\n", private[0]);
    private[0] = 'Y';
    shared[P] = 'Z';
    printf("own copy: %c\n", private[0]);
    if (pread(file, page, 1, P) == 1)
        printf("in the file: %c\n", page[0]);
    printf("msync: %s\n", error(msync(shared, 3 * P, MS_SYNC)));
    try_access("beyond the end of the file", shared + 3 * P, 0);
    if (ftruncate(file, P) == 0)
        try_access("cut off", shared + P, 0);
    try_access("own copy is cut off too", private + P, 0);
    /* The second half of a mapping is unmapped, the first one keeps its place in the file. */
    munmap(shared + P, 3 * P);
    printf("still %c\n", shared[P - 1]);
    int read_only = open("/proc/self/exe", O_RDONLY);
    char *refused = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0);
    printf("shared for writing: %s\n", refused == MAP_FAILED ? strerror(errno) : "mapped");
    char *allowed = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE, read_only, 0);
    allowed[0] = 'x';
    printf("private for writing: %.3s\n", allowed + 1);
    munmap(shared, P), munmap(private, 2 * P), munmap(allowed, P);
    close(file), close(read_only);
}

static int all(const char *at, size_t length, char value)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] != value)
            return 0;
    return 1;
}

static void moving(void)
{
    char *at = rw(4);
    memset(at, 5, 4 * P);
    char *blocker = mmap(at + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *moved = mremap(at, 4 * P, 100 * P, MREMAP_MAYMOVE);
    printf("grown: %d\n", all(moved, 4 * P, 5) && all(moved + 4 * P, 96 * P, 0));
    if (moved != at)
        try_access("left", at, 0);
    char *same = mremap(moved, 100 * P, 2 * P, 0);
    printf("shrunk: %d\n", same == moved && all(same, 2 * P, 5));
    try_access("given back", moved + 2 * P, 0);
    char *target = rw(4);
    target[3 * P] = 9;
    char *fixed = mremap(same, 2 * P, 3 * P, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    printf("put there: %d\n", fixed == target && all(fixed, 2 * P, 5) && target[3 * P] == 9);
    printf("not mapped: %s\n", error((long)mremap(same, P, 2 * P, MREMAP_MAYMOVE)));
    printf("overlapping: %s\n",
           error((long)mremap(target, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, target + P)));
    char *shared = map(2, PROT_READ | PROT_WRITE, MAP_SHARED);
    shared[0] = 3;
    char *twin = mremap(shared, 0, 2 * P, MREMAP_MAYMOVE);
    twin[0]++;
    printf("twice: %d\n", shared[0]);
    munmap(twin, 2 * P), munmap(shared, 2 * P), munmap(target, 4 * P), munmap(blocker, P);

    /* realloc of large blocks moves pages. */
    size_t size = 1 << 20;
    char *block = malloc(size);
    memset(block, 1, size);
    for (int i = 0; i < 5; i++) {
        block = realloc(block, size * 2);
        memset(block + size, i + 2, size);
        size *= 2;
    }
    printf("realloc: %d %d %d\n", block[0], block[size / 2 - 1], block[size - 1]);
    free(block);
}

static void advice(void)
{
    char *at = rw(4);
    memset(at, 5, 4 * P);
    printf("madvise: %s\n", error(madvise(at + P, P, MADV_DONTNEED)));
    printf("dropped: %d %d %d\n", at[0], at[P], at[2 * P]);
    unsigned char in_core[4] = {0};
    printf("mincore: %s\n", error(mincore(at, 4 * P, in_core)));
    printf("in core: %d\n", in_core[0] & 1);
    munmap(at + 2 * P, P);
    printf("over a hole: %s\n", error(madvise(at, 4 * P, MADV_DONTNEED)));
    printf("dropped: %d %d\n", at[0], at[3 * P]);
    printf("mincore over a hole: %s\n", error(mincore(at, 4 * P, in_core)));
    printf("msync over a hole: %s\n", error(msync(at, 4 * P, MS_ASYNC)));
    printf("unknown advice: %s\n", error(madvise(at, P, 12345)));
    printf("mlock: %s\n", error(mlock(at, P)));
    printf("mlock over a hole: %s\n", error(mlock(at, 4 * P)));
    printf("munlock: %s\n", error(munlock(at, P)));
    munmap(at, 4 * P);
}

static void the_break(void)
{
    char *start = sbrk(0);
    char *old = sbrk(10 * P);
    printf("grown: %d\n", old == start);
    memset(start, 3, 10 * P);
    sbrk(-10 * P);
    printf("back: %d\n", (char *)sbrk(0) == start);
    sbrk(10 * P);
    printf("zero again: %d\n", start[9 * P]);
    printf("absurd: %s\n", sbrk((intptr_t)1 << 60) == (void *)-1 ? strerror(errno) : "?");
    sbrk(-10 * P);
}

static void shared_with_a_child(void)
{
    int *shared = (int *)map(1, PROT_READ | PROT_WRITE, MAP_SHARED);
    int *private = (int *)rw(1);
    int id = shmget(IPC_PRIVATE, 3 * P, IPC_CREAT | 0600);
    int *segment = shmat(id, NULL, 0);
    fflush(stdout);
    if (fork() == 0) {
        shared[0] = private[0] = segment[0] = 6;
        _exit(0);
    }
    wait(NULL);
    printf("child wrote: %d %d %d\n", shared[0], private[0], segment[0]);
    int *again = shmat(id, NULL, SHM_RDONLY);
    printf("attached twice: %d\n", again[0]);
    try_access("attached for reading", (char *)again, 1);
    struct shmid_ds info;
    shmctl(id, IPC_STAT, &info);
    printf("attached %d\n", (int)info.shm_nattch);
    printf("detach: %s\n", error(shmdt(again)));
    printf("detach again: %s\n", error(shmdt(again)));
    shmctl(id, IPC_STAT, &info);
    printf("attached %d\n", (int)info.shm_nattch);
    try_access("detached", (char *)again, 0);
    shmdt(segment);
    shmctl(id, IPC_RMID, NULL);
}

/* Many small mappings in all states of repair, against a table of what should be there. */
static void many(void)
{
    enum { PAGES = 200 };
    char *area = map(PAGES, PROT_NONE, MAP_PRIVATE);
    static char want[PAGES];
    uint32_t seed = 1;
    int wrong = 0;
    memset(want, 0, sizeof want);
    for (int round = 0; round < 2000; round++) {
        seed = seed * 1664525 + 1013904223;
        int from = (seed >> 8) % PAGES, count = 1 + (seed >> 20) % 8;
        if (from + count > PAGES)
            count = PAGES - from;
        char *at = area + from * P;
        switch (seed >> 29) {
        case 0:
        case 1:
            munmap(at, count * P);
            mmap(at, count * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            memset(want + from, 0, count);
            break;
        case 2:
        case 3:
        case 4:
            mmap(at, count * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            for (int i = 0; i < count; i++)
                want[from + i] = at[i * P] = 1 + round % 100;
            break;
        default:
            for (int i = 0; i < count; i++)
                mprotect(at + i * P, P, want[from + i] ? PROT_READ : PROT_NONE);
            for (int i = 0; i < count; i++)
                if (want[from + i] && at[i * P] != want[from + i])
                    wrong++;
        }
    }
    for (int i = 0; i < PAGES; i++) {
        volatile char *at = area + i * P;
        if (sigsetjmp(escape, 1) == 0)
            wrong += *at != want[i] || !want[i];
        else
            wrong += want[i] != 0 || seen_signal != SIGSEGV || seen_code != SEGV_ACCERR;
    }
    printf("wrong pages: %d\n", wrong);
    munmap(area, PAGES * P);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    protection();
    places();
    files();
    moving();
    advice();
    the_break();
    shared_with_a_child();
    many();
    return 0;
}
