/* Code whose page is mapped over, moved, dropped, re-protected or shared: what is executed is what
 * is mapped at that moment. Nobody executes fence.i where the kernel sees to it.
 *
 * @only riscv64
 * @no-qemu it sees neither other mappings, nor dropped pages, nor the end of a file
 * @expect not executable: -1102
 * @expect mapped over: 100 101 102 103 104 105 106 107 100 101 102 103 104 105 106 107 100 101 102 103 104 105 106 107
 * @expect unmapped: -1101
 * @expect back again: 103
 * @expect only readable: -1102
 * @expect executable again: 103
 * @expect moved: 103, left behind: -1101
 * @expect across pages: 55 106 -1101
 * @expect through another mapping: 100 66 77
 * @expect own copy: 101 88 dropped: 101
 * @expect in the file: 107, cut off: -702
 * @expect in data: -1102 99 rewritten: 187036
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { P = 4096, RX = PROT_READ | PROT_EXEC, RW = PROT_READ | PROT_WRITE };

/* li a0, value; ret */
static void write_function(void *at, int value)
{
    uint32_t code[2] = {0x00000513u | (uint32_t)value << 20, 0x00008067};
    memcpy(at, code, sizeof code);
}

static int file_of_functions(void)
{
    int file = memfd_create("code", 0);
    char page[P];
    for (int i = 0; i < 8; i++) {
        memset(page, 0, P);
        write_function(page, 100 + i);
        if (write(file, page, P) != P)
            exit(1);
    }
    return file;
}

static sigjmp_buf escape;
static volatile int code;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    code = signal * 100 + info->si_code;
    siglongjmp(escape, 1);
}

static int call(void *at)
{
    if (sigsetjmp(escape, 1))
        return -code;
    return ((int (*)(void))at)();
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    int file = file_of_functions();
    char *area = mmap(NULL, 16 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    printf("not executable: %d\n", call(area));
    printf("mapped over:");
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 8; i++) {
            mmap(area, P, RX, MAP_PRIVATE | MAP_FIXED, file, i * P);
            printf(" %d", call(area));
        }
    printf("\n");

    munmap(area, P);
    printf("unmapped: %d\n", call(area));
    mmap(area, P, RX, MAP_SHARED | MAP_FIXED, file, 3 * P);
    printf("back again: %d\n", call(area));
    mprotect(area, P, PROT_READ);
    printf("only readable: %d\n", call(area));
    mprotect(area, P, RX);
    printf("executable again: %d\n", call(area));

    char *moved = mremap(area, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, area + 4 * P);
    printf("moved: %d, left behind: %d\n", call(moved), call(area));

    /* A block that goes on in the next page, which is then another one. */
    char *two = mmap(area, 2 * P, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    uint32_t nop = 0x00000013;
    memcpy(two + P - 4, &nop, 4);
    write_function(two + P, 55);
    mprotect(two, 2 * P, RX);
    printf("across pages: %d", call(two + P - 4));
    mmap(two + P, P, RX, MAP_PRIVATE | MAP_FIXED, file, 6 * P);
    printf(" %d", call(two + P - 4));
    munmap(two + P, P);
    printf(" %d\n", call(two + P - 4));

    /* Written through another mapping, and by the kernel: here fence.i is due. */
    char *code_view = mmap(area + 8 * P, P, RX, MAP_SHARED | MAP_FIXED, file, 0);
    char *data_view = mmap(area + 9 * P, P, RW, MAP_SHARED | MAP_FIXED, file, 0);
    printf("through another mapping: %d", call(code_view));
    write_function(data_view, 66);
    __builtin___clear_cache(code_view, code_view + 8);
    printf(" %d", call(code_view));
    uint32_t words[2];
    write_function(words, 77);
    if (pwrite(file, words, 8, 0) != 8)
        exit(1);
    __builtin___clear_cache(code_view, code_view + 8);
    printf(" %d\n", call(code_view));

    /* Private and writable code that is dropped is zero, which is no instruction. */
    char *dropped = mmap(area + 10 * P, P, RW | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, P);
    printf("own copy: %d", call(dropped));
    write_function(dropped, 88);
    __builtin___clear_cache(dropped, dropped + 8);
    printf(" %d", call(dropped));
    madvise(dropped, P, MADV_DONTNEED);
    __builtin___clear_cache(dropped, dropped + 8);
    printf(" dropped: %d\n", call(dropped));

    /* The file is cut off under the code. */
    char *cut = mmap(area + 12 * P, P, RX, MAP_SHARED | MAP_FIXED, file, 7 * P);
    printf("in the file: %d", call(cut));
    if (ftruncate(file, 7 * P) != 0)
        exit(1);
    __builtin___clear_cache(cut, cut + 8);
    printf(", cut off: %d\n", call(cut));

    /* Code on the stack, in the heap, in data: executable only if made so. */
    static char data[2 * P] __attribute__((aligned(P)));
    write_function(data, 99);
    printf("in data: %d", call(data));
    mprotect(data, P, RW | PROT_EXEC);
    __builtin___clear_cache(data, data + 8);
    printf(" %d", call(data));
    long sum = 0;
    for (int i = 0; i < 500; i++) {
        write_function(data, i);
        data[1000] = (char)i;
        __builtin___clear_cache(data, data + 8);
        sum += call(data) + data[1000];
    }
    printf(" rewritten: %ld\n", sum);
    return 0;
}
