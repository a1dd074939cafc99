/*
 * For each byte that it reads, starts a thread, which stays, then a process by `vfork`, which ends; says
 * how that went: 0, or an error's number.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void *rest(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

static int start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 16);
    return pthread_create(&thread, &attributes, rest, NULL);
}

static int start_process(void)
{
    pid_t child = vfork();
    int status;

    if (child == 0) {
        _exit(3);
    }
    if (child < 0) {
        return errno;
    }
    return waitpid(child, &status, 0) != child || status != 3 << 8;
}

int main(void)
{
    char byte;

    while (read(0, &byte, 1) == 1) {
        int thread = start_thread(), process = start_process();

        printf("%d %d\n", thread, process);
        fflush(stdout);
    }
    return 7;
}
