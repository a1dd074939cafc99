// Sorting through comparator pointers: the C library's qsort, an own quicksort with insertion
// sort below a cut-off, heap sort, and binary searches.
#include "bench.h"

enum { COUNT = 60000 };

struct record {
    uint32_t key;
    uint32_t group;
    int64_t weight;
};

typedef int compare_fn(const void *, const void *);

static struct record original[COUNT], work[COUNT];
static uint64_t compares;

static int by_key(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    compares++;
    return (x->key > y->key) - (x->key < y->key);
}

static int by_group_and_weight(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    compares++;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    return by_key(a, b);
}

static int by_weight_descending(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    compares++;
    if (x->weight == y->weight)
        return by_key(a, b);
    return x->weight > y->weight ? -1 : 1;
}

static inline void swap(struct record *a, struct record *b)
{
    struct record t = *a;
    *a = *b;
    *b = t;
}

static void insertion_sort(struct record *v, size_t n, compare_fn *compare)
{
    for (size_t i = 1; i < n; i++) {
        struct record r = v[i];
        size_t j = i;
        for (; j > 0 && compare(&r, &v[j - 1]) < 0; j--)
            v[j] = v[j - 1];
        v[j] = r;
    }
}

static void quicksort(struct record *v, size_t n, compare_fn *compare)
{
    while (n > 16) {
        size_t mid = n / 2, last = n - 1;
        if (compare(&v[mid], &v[0]) < 0)
            swap(&v[mid], &v[0]);
        if (compare(&v[last], &v[0]) < 0)
            swap(&v[last], &v[0]);
        if (compare(&v[last], &v[mid]) < 0)
            swap(&v[last], &v[mid]);
        struct record pivot = v[mid];
        size_t i = 0, j = last;
        for (;;) {
            while (compare(&v[i], &pivot) < 0)
                i++;
            while (compare(&pivot, &v[j]) < 0)
                j--;
            if (i >= j)
                break;
            swap(&v[i++], &v[j--]);
        }
        quicksort(v, j + 1, compare);
        v += j + 1;
        n -= j + 1;
    }
    insertion_sort(v, n, compare);
}

static void heap_sort(struct record *v, size_t n, compare_fn *compare)
{
    for (size_t start = n / 2, end = n; end > 1;) {
        if (start > 0)
            start--;
        else
            swap(&v[0], &v[--end]);
        for (size_t root = start, child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && compare(&v[child], &v[child + 1]) < 0)
                child++;
            if (compare(&v[root], &v[child]) >= 0)
                break;
            swap(&v[root], &v[child]);
        }
    }
}

static uint64_t search_all(const struct record *v, size_t n, compare_fn *compare)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i += 3) {
        size_t low = 0, high = n;
        while (low < high) {
            size_t mid = low + (high - low) / 2;
            if (compare(&v[mid], &original[i]) < 0)
                low = mid + 1;
            else
                high = mid;
        }
        sum = checksum_add(sum, low);
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    static compare_fn *const orders[] = {by_key, by_group_and_weight, by_weight_descending};
    uint64_t seed = 5, sum = CHECKSUM_START;
    size_t count = scaled(args, COUNT);
    if (count > COUNT)
        count = COUNT;

    for (size_t i = 0; i < count; i++) {
        original[i].key = (uint32_t)next_random(&seed);
        original[i].group = random_below(&seed, 50);
        original[i].weight = (int64_t)next_random(&seed) >> 44;
    }
    for (int method = 0; method < 3; method++) {
        for (int order = 0; order < 3; order++) {
            for (size_t i = 0; i < count; i++)
                work[i] = original[i];
            if (method == 0)
                qsort(work, count, sizeof work[0], orders[order]);
            else if (method == 1)
                quicksort(work, count, orders[order]);
            else
                heap_sort(work, count, orders[order]);
            sum = checksum_add(sum, search_all(work, count, orders[order]));
            for (size_t i = 0; i < count; i++)
                sum = checksum_add(sum, work[i].key);
        }
    }
    printf("sort: %llu compares, checksum %016llx\n", (unsigned long long)compares,
           (unsigned long long)sum);
    return 0;
}
