/* Dies in as many ways as there are: the emulator must die of the same signal.
 *
 * @args null-read
 * @args null-write
 * @args read-only
 * @args wild-jump
 * @args odd-data
 * @args stack-overflow
 * @args illegal
 * @args abort
 * @args kill
 * @args terminate
 * @args thread-null
 * @args exit
 * @args return
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the compiler may know nothing about. */
static volatile long *volatile nowhere;
static char data[64] = "this is no code, and no page of it is executable";

static int recurse(int depth)
{
    volatile char frame[4096];
    frame[0] = depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static void *read_null(void *unused)
{
    (void)unused;
    return (void *)*nowhere;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    printf("dying: %s\n", how);
    fflush(stdout);
    if (!strcmp(how, "null-read")) {
        return *nowhere;
    } else if (!strcmp(how, "null-write")) {
        *nowhere = 1;
    } else if (!strcmp(how, "read-only")) {
        *(volatile char *)"constant" = 'x';
    } else if (!strcmp(how, "wild-jump")) {
        ((void (*)(void))0x123450)();
    } else if (!strcmp(how, "odd-data")) {
        ((void (*)(void))data)();
    } else if (!strcmp(how, "stack-overflow")) {
        return recurse(0);
    } else if (!strcmp(how, "illegal")) {
#ifdef __riscv
        __asm__ volatile("unimp");
#else
        __asm__ volatile("ud2");
#endif
    } else if (!strcmp(how, "abort")) {
        abort();
    } else if (!strcmp(how, "kill")) {
        raise(SIGKILL);
    } else if (!strcmp(how, "terminate")) {
        raise(SIGTERM);
    } else if (!strcmp(how, "thread-null")) {
        pthread_t thread;
        pthread_create(&thread, NULL, read_null, NULL);
        pthread_join(thread, NULL);
    } else if (!strcmp(how, "exit")) {
        exit(300); /* the low eight bits count: 44 */
    } else if (!strcmp(how, "return")) {
        return 7;
    }
    return 99;
}
