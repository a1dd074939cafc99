/* Threads with all that the C library offers them: locks of every kind, also ones whose owner dies,
 * cancellation, thread-local storage, and signals for one thread among many.
 *
 * @threads
 * @no-qemu it leaves the robust locks of the dead alone
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, ROUNDS = 2000 };

static int threads;

static void run(const char *what, void *(*work)(void *), long (*result)(void))
{
    pthread_t all[MOST];
    long returned = 0;
    for (long i = 0; i < threads; i++)
        if (pthread_create(&all[i], NULL, work, (void *)i) != 0)
            exit(1);
    for (int i = 0; i < threads; i++) {
        void *value;
        pthread_join(all[i], &value);
        returned += (long)value;
    }
    /* The same however many there are. */
    printf("%s: %ld %ld\n", what, returned / threads, result() / threads);
}

static long counter;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static long take_counter(void)
{
    long value = counter;
    counter = 0;
    return value;
}

static void *lock_and_count(void *argument)
{
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return (void *)ROUNDS;
}

static void mutex_of_kind(int kind, int protocol, const char *what)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, kind);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutex_init(&mutex, &attributes);
    run(what, lock_and_count, take_counter);
    pthread_mutex_destroy(&mutex);
}

static pthread_barrier_t barrier;
static atomic_long serial;

static void *meet(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++)
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            serial++;
    return (void *)1;
}

static long take_serial(void)
{
    return atomic_exchange(&serial, 0) * threads;
}

/* A queue with a condition variable: every thread produces and consumes. */
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static int queue;

static void *produce_and_consume(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&mutex);
        queue++;
        pthread_cond_signal(&filled);
        pthread_mutex_unlock(&mutex);
        pthread_mutex_lock(&mutex);
        while (queue == 0)
            pthread_cond_wait(&filled, &mutex);
        queue--;
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;

static void *read_and_write(void *argument)
{
    (void)argument;
    for (int i = 0; i < 500; i++) {
        if (i % 4 == 0) {
            pthread_rwlock_wrlock(&rwlock);
            counter++;
        } else {
            pthread_rwlock_rdlock(&rwlock);
        }
        pthread_rwlock_unlock(&rwlock);
        sem_wait(&semaphore);
        sem_post(&semaphore);
    }
    return NULL;
}

static __thread long local = 5;
static __thread char zeroed[3000];
static pthread_key_t key;
static atomic_long destroyed;

static void destroy(void *value)
{
    destroyed += (long)value;
}

static void *use_locals(void *argument)
{
    long sum = 0;
    for (size_t i = 0; i < sizeof zeroed; i++)
        sum += zeroed[i];
    memset(zeroed, 1, sizeof zeroed);
    local += (long)argument;
    pthread_setspecific(key, (void *)3);
    sched_yield();
    return (void *)(local - (long)argument + sum);
}

static long take_destroyed(void)
{
    return atomic_exchange(&destroyed, 0);
}

/* Cancellation, which the C library does with a signal of its own. */
static void cleaned(void *argument)
{
    atomic_fetch_add((atomic_long *)argument, 1);
}

static atomic_long cleanups, started;

static void *wait_forever(void *argument)
{
    int *ends = argument;
    char byte;
    pthread_cleanup_push(cleaned, &cleanups);
    started++;
    while (read(ends[0], &byte, 1) == 1)
        ;
    pthread_cleanup_pop(0);
    return NULL;
}

static void *compute_forever(void *argument)
{
    (void)argument;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    started++;
    for (volatile unsigned i = 0; i != 1; i += 2)
        ;
    return NULL;
}

static void cancellation(void)
{
    pthread_t all[MOST];
    int ends[2], cancelled = 0;
    if (pipe(ends) != 0)
        exit(1);
    for (int i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, wait_forever, ends);
    for (int i = 0; i < threads; i++) {
        void *value;
        pthread_cancel(all[i]);
        pthread_join(all[i], &value);
        cancelled += value == PTHREAD_CANCELED;
    }
    printf("cancelled in a call: %d, cleaned up as often as started: %d\n", cancelled / threads,
           cleanups == started);
    started = 0;
    cancelled = 0;
    pthread_create(&all[0], NULL, compute_forever, NULL);
    while (!started)
        sched_yield();
    void *value;
    pthread_cancel(all[0]);
    pthread_join(all[0], &value);
    printf("cancelled while computing: %d\n", value == PTHREAD_CANCELED);
    close(ends[0]), close(ends[1]);
}

/* The owner of a robust mutex dies: as a thread, as a process, by a signal. */
static pthread_mutex_t *robust;

static void *lock_and_die(void *argument)
{
    (void)argument;
    pthread_mutex_lock(robust);
    return NULL;
}

static void inherit(const char *what)
{
    int result = pthread_mutex_lock(robust);
    printf("%s: %s", what, strerror(result));
    if (result == EOWNERDEAD)
        printf(", made good: %s", strerror(pthread_mutex_consistent(robust)));
    pthread_mutex_unlock(robust);
    printf("\n");
    fflush(stdout);
}

static void robust_mutex(void)
{
    pthread_mutexattr_t attributes;
    pthread_t thread;
    robust = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(robust, &attributes);
    pthread_create(&thread, NULL, lock_and_die, NULL);
    pthread_join(thread, NULL);
    inherit("owner thread dead");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(robust);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    inherit("owner process dead");
    child = fork();
    if (child == 0) {
        pthread_mutex_lock(robust);
        raise(SIGTERM);
    }
    waitpid(child, NULL, 0);
    inherit("owner killed");
}

static void timeouts(void)
{
    struct timespec soon;
    pthread_mutex_lock(&mutex);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 3000000;
    if (soon.tv_nsec >= 1000000000)
        soon.tv_sec++, soon.tv_nsec -= 1000000000;
    int waited = pthread_cond_timedwait(&filled, &mutex, &soon);
    pthread_mutex_unlock(&mutex);
    sem_t empty;
    sem_init(&empty, 0, 0);
    int taken = sem_timedwait(&empty, &soon);
    printf("timeouts: %s, %s\n", strerror(waited), taken == -1 ? strerror(errno) : "taken");
}

/* Signals for single threads. */
static __thread volatile sig_atomic_t mine;
static atomic_int ready, told;

static void for_me(int signal)
{
    (void)signal;
    mine++;
}

static void *be_told(void *argument)
{
    sigset_t some, none;
    (void)argument;
    sigemptyset(&none);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &some, &none);
    ready++;
    while (mine < 20) {
        int before = mine;
        sigsuspend(&none);
        told += mine - before;
    }
    return (void *)(long)mine;
}

static void signals(void)
{
    pthread_t all[MOST];
    struct sigaction action = {.sa_handler = for_me};
    sigaction(SIGUSR2, &action, NULL);
    for (long i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, be_told, NULL);
    while (ready != threads)
        sched_yield();
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < threads; i++)
            pthread_kill(all[i], SIGUSR2);
        while (told < (round + 1) * threads)
            sched_yield();
    }
    long sum = 0;
    for (int i = 0; i < threads; i++) {
        void *value;
        pthread_join(all[i], &value);
        sum += (long)value;
    }
    printf("told: %ld each, the first thread %d\n", sum / threads, (int)mine);
}

static void *big_stack(void *argument)
{
    char frame[3 << 20];
    memset(frame, 1, sizeof frame);
    long sum = 0;
    for (size_t i = 0; i < sizeof frame; i += 4096)
        sum += frame[i];
    (void)argument;
    return (void *)sum;
}

static void attributes(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *value;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 4 << 20);
    pthread_create(&thread, &attributes, big_stack, NULL);
    pthread_join(thread, &value);
    printf("big stack: %ld\n", (long)value);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    started = 0;
    pthread_attr_setstacksize(&attributes, 1 << 16);
    for (int i = 0; i < 100; i++) {
        int result;
        while ((result = pthread_create(&thread, &attributes, meet, NULL)) == EAGAIN)
            sched_yield();
        (void)result;
    }
    while (serial < 50 * 100)
        sched_yield();
    printf("detached: %ld\n", (long)serial);
}

int main(int argc, char **argv)
{
    threads = argc > 1 ? atoi(argv[1]) : 4;
    if (threads < 1 || threads > MOST)
        return 1;
    run("mutex", lock_and_count, take_counter);
    mutex_of_kind(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, "recursive mutex");
    mutex_of_kind(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, "checking mutex");
    mutex_of_kind(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, "priority-inheriting mutex");
    pthread_mutex_init(&mutex, NULL);
    pthread_barrier_init(&barrier, NULL, threads);
    run("barrier", meet, take_serial);
    run("condition", produce_and_consume, take_counter);
    sem_init(&semaphore, 0, 2);
    run("rwlock and semaphore", read_and_write, take_counter);
    pthread_key_create(&key, destroy);
    run("locals", use_locals, take_destroyed);
    cancellation();
    robust_mutex();
    timeouts();
    signals();
    pthread_barrier_init(&barrier, NULL, 1);
    attributes();
    return 0;
}
