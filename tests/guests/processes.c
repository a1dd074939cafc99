/* Processes that make processes, and all the ways in which these end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void report(const char *what, pid_t child)
{
    int status;
    pid_t waited;
    do {
        waited = waitpid(child, &status, 0);
    } while (waited == -1 && errno == EINTR);
    if (waited != child)
        printf("%s: lost\n", what);
    else if (WIFEXITED(status))
        printf("%s: exit %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: signal %d\n", what, WTERMSIG(status));
    fflush(stdout);
}

static pid_t start(void (*child)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        /* What is printed must not depend on where the guest runs: no message of a shell or of an
         * emulator. */
        if (!freopen("/dev/null", "w", stderr))
            _exit(99);
        child();
        exit(0);
    }
    return pid;
}

static void exit_7(void)
{
    exit(7);
}

static void be_killed(void)
{
    raise(SIGKILL);
}

static void be_terminated(void)
{
    kill(getpid(), SIGTERM);
}

static volatile char *nowhere;

static void fault(void)
{
    *nowhere = 1;
}

static void do_abort(void)
{
    abort();
}

static void *exit_elsewhere(void *argument)
{
    (void)argument;
    exit(9);
}

static void exit_from_thread(void)
{
    /* The first thread is stuck in a call that nothing ends. */
    pthread_t thread;
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        _exit(99);
    pthread_create(&thread, NULL, exit_elsewhere, NULL);
    for (;;) {
        if (read(ends[0], &byte, 1) == 1)
            _exit(98);
    }
}

static void *fault_elsewhere(void *argument)
{
    (void)argument;
    fault();
    return NULL;
}

static void fault_in_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, fault_elsewhere, NULL);
    pthread_join(thread, NULL);
}

static atomic_int spinning;

static void *spin(void *argument)
{
    (void)argument;
    spinning++;
    for (volatile unsigned i = 0; i != 1; i += 2)
        ;
    return NULL;
}

static void exit_while_others_compute(void)
{
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, spin, NULL);
    while (spinning != 4)
        sched_yield();
    exit(11);
}

static void *outlive(void *argument)
{
    pthread_join(*(pthread_t *)argument, NULL);
    printf("the last thread prints this\n");
    fflush(stdout);
    return NULL;
}

static pthread_t first;

static void first_thread_ends(void)
{
    pthread_t thread;
    first = pthread_self();
    pthread_create(&thread, NULL, outlive, &first);
    pthread_exit(NULL);
}

static int *shared, own = 1;

static void change_memory(void)
{
    *shared += 10;
    own += 10;
    pid_t grandchild = fork();
    if (grandchild == 0) {
        *shared += 100;
        own += 100;
        _exit(own == 111 ? 3 : 4);
    }
    report("grandchild", grandchild);
    exit(own);
}

static volatile sig_atomic_t died, died_how;

static void child_died(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    died = info->si_pid;
    died_how = info->si_status;
}

static void child_signal(void)
{
    struct sigaction action = {.sa_sigaction = child_died, .sa_flags = SA_SIGINFO}, old;
    sigset_t some, none;
    sigemptyset(&some);
    sigaddset(&some, SIGCHLD);
    sigprocmask(SIG_BLOCK, &some, &none);
    sigaction(SIGCHLD, &action, &old);
    pid_t child = start(exit_7);
    while (!died)
        sigsuspend(&none);
    printf("SIGCHLD: the child %d, status %d\n", died == child, (int)died_how);
    siginfo_t info;
    int waited = waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    printf("waitid: %d %d %d\n", waited, info.si_code == CLD_EXITED, info.si_status);
    struct rusage usage;
    int status;
    waited = wait4(child, &status, 0, &usage);
    printf("wait4: %d %d\n", waited == child, WEXITSTATUS(status));
    sigaction(SIGCHLD, &old, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static atomic_int busy, enough;

static void *allocate(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    void *held[64] = {0};
    busy++;
    while (!enough) {
        seed = seed * 1103515245 + 12345;
        void **slot = &held[seed >> 16 & 63];
        free(*slot);
        *slot = malloc((seed >> 8 & 0xffff) + 1);
        memset(*slot, 1, 8);
    }
    for (int i = 0; i < 64; i++)
        free(held[i]);
    return NULL;
}

static void *add(void *sum)
{
    for (int i = 0; i < 1000; i++)
        atomic_fetch_add((atomic_int *)sum, 1);
    return NULL;
}

static void threads_in_child(void)
{
    atomic_int sum = 0;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add, &sum);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *block = malloc(100000);
    memset(block, 1, 100000);
    exit(sum == 4000 && block[99999] == 1 ? 21 : 22);
}

static void *fork_here(void *argument)
{
    report(argument, start(threads_in_child));
    return NULL;
}

static void fork_among_threads(void)
{
    pthread_t allocators[3], forker;
    for (size_t i = 0; i < 3; i++)
        pthread_create(&allocators[i], NULL, allocate, (void *)i);
    while (busy != 3)
        sched_yield();
    for (int i = 0; i < 5; i++)
        report("fork among threads", start(threads_in_child));
    pthread_create(&forker, NULL, fork_here, "fork from a thread");
    pthread_join(forker, NULL);
    enough = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(allocators[i], NULL);
}

int main(void)
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    report("exit", start(exit_7));
    report("killed", start(be_killed));
    report("terminated", start(be_terminated));
    report("fault", start(fault));
    report("abort", start(do_abort));
    report("exit from a thread", start(exit_from_thread));
    report("fault in a thread", start(fault_in_thread));
    report("exit while others compute", start(exit_while_others_compute));
    report("the first thread ends first", start(first_thread_ends));
    report("memory", start(change_memory));
    printf("shared %d, own %d\n", *shared, own);
    child_signal();
    fork_among_threads();
    errno = 0;
    printf("no more children: %d\n", wait(NULL) == -1 && errno == ECHILD);
    return 0;
}
