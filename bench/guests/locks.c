// Mutexes and condition variables: workers take jobs from a bounded queue, keep counts in
// lock-striped buckets, and hand batches of results back.
#include "threads.h"

enum { QUEUE = 64, STRIPES = 16, BUCKETS = 1024, JOB_WORK = 150 };

struct job {
    uint64_t number;
    int last;
};

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static struct job queue[QUEUE];
static unsigned queue_head, queue_count;

static pthread_mutex_t stripes[STRIPES];
static uint64_t buckets[BUCKETS];

static pthread_mutex_t total_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t total, jobs_done;

static void put(struct job job)
{
    pthread_mutex_lock(&queue_lock);
    while (queue_count == QUEUE)
        pthread_cond_wait(&not_full, &queue_lock);
    queue[(queue_head + queue_count++) % QUEUE] = job;
    pthread_cond_signal(&not_empty);
    pthread_mutex_unlock(&queue_lock);
}

static struct job take(void)
{
    pthread_mutex_lock(&queue_lock);
    while (queue_count == 0)
        pthread_cond_wait(&not_empty, &queue_lock);
    struct job job = queue[queue_head];
    queue_head = (queue_head + 1) % QUEUE;
    queue_count--;
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&queue_lock);
    return job;
}

static void count(uint64_t value)
{
    uint64_t bucket = value % BUCKETS;
    pthread_mutex_t *lock = &stripes[bucket % STRIPES];
    pthread_mutex_lock(lock);
    buckets[bucket] += value >> 40;
    pthread_mutex_unlock(lock);
}

static void *work(void *index)
{
    uint64_t batch = 0, batched = 0;
    (void)index;
    for (;;) {
        struct job job = take();
        if (!job.last) {
            uint64_t seed = job.number;
            for (int i = 0; i < JOB_WORK; i++) {
                uint64_t value = next_random(&seed);
                batch += value >> 32;
                if (i % 8 == 0)
                    count(value);
            }
            batched++;
        }
        if (batched == 32 || job.last) {
            pthread_mutex_lock(&total_lock);
            total += batch;
            jobs_done += batched;
            pthread_mutex_unlock(&total_lock);
            batch = batched = 0;
        }
        if (job.last)
            return NULL;
    }
}

static struct args args;

// Thread 0 feeds the others.
static void *feed_or_work(void *index)
{
    if ((uintptr_t)index != 0)
        return work(index);
    for (uint64_t i = scaled(args, 120000); i > 0; i--)
        put((struct job){.number = i});
    for (unsigned i = 0; i < args.threads; i++)
        put((struct job){.last = 1});
    return NULL;
}

int main(int argc, char **argv)
{
    args = parse_args(argc, argv);
    for (int i = 0; i < STRIPES; i++)
        pthread_mutex_init(&stripes[i], NULL);
    run_threads(args.threads + 1, feed_or_work);
    uint64_t sum = CHECKSUM_START;
    for (int i = 0; i < BUCKETS; i++)
        sum = checksum_add(sum, buckets[i]);
    printf("locks: %u workers, %llu jobs, total %llu, checksum %016llx\n", args.threads,
           (unsigned long long)jobs_done, (unsigned long long)total, (unsigned long long)sum);
    return 0;
}
