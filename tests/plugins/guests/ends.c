/*
 * Ends in several ways: return, group (another thread calls exit), last (the first thread ends before
 * the others), kill (a signal), spawn (a vfork child executes this program with "return"), exec (this
 * process does).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *forever(void *argument)
{
    for (volatile long i = 0; i >= 0; i++) {
    }
    return NULL;
}

static void *end_all(void *argument)
{
    exit(9);
}

static void *end_later(void *argument)
{
    usleep(20000);
    return NULL;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "return";
    pthread_t thread;
    char *const again[] = { argv[0], "return", NULL };
    char *const none[] = { NULL };
    if (strcmp(how, "group") == 0) {
        pthread_create(&thread, NULL, end_all, NULL);
        forever(NULL);
    }
    if (strcmp(how, "last") == 0) {
        pthread_create(&thread, NULL, end_later, NULL);
        syscall(SYS_exit, 4);
    }
    if (strcmp(how, "kill") == 0) {
        pthread_create(&thread, NULL, forever, NULL);
        raise(SIGTERM);
    }
    if (strcmp(how, "spawn") == 0) {
        pid_t child;
        int status = 0;
        if (posix_spawn(&child, argv[0], NULL, NULL, again, none) != 0) {
            return 1;
        }
        waitpid(child, &status, 0);
        return WEXITSTATUS(status);
    }
    if (strcmp(how, "exec") == 0) {
        execve(argv[0], again, none);
        return 1;
    }
    return 6;
}
