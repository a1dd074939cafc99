/* Forks, from the first thread and from another one; each child makes a call and exits with 3. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int in_child(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        sched_yield();
        _exit(3);
    }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void *thread(void *argument)
{
    *(int *)argument = in_child();
    return NULL;
}

int main(int argc, char **argv)
{
    int first = in_child(), second = 0;
    pthread_t other;
    pthread_create(&other, NULL, thread, &second);
    pthread_join(other, NULL);
    printf("%d %d\n", first, second);
    return 0;
}
