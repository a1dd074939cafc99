// Strings: own string functions, splitting a text into words, counting them in a chained hash
// table, substring search, edit distance, and case and number conversion.
#include "bench.h"

enum { TEXT = 256 * 1024, BUCKETS = 4096, VOCABULARY = 3000 };

struct word {
    struct word *next;
    uint32_t count;
    char text[];
};

static char text[TEXT + 1];
static char *vocabulary[VOCABULARY];
static struct word *buckets[BUCKETS];

static size_t length(const char *s)
{
    const char *p = s;
    while (*p != '\0')
        p++;
    return (size_t)(p - s);
}

static int compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

static char *copy(char *to, const char *from)
{
    while ((*to = *from++) != '\0')
        to++;
    return to;
}

static int is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const char *find(const char *haystack, const char *needle)
{
    for (; *haystack != '\0'; haystack++) {
        if (*haystack != *needle)
            continue;
        size_t i = 1;
        while (needle[i] != '\0' && haystack[i] == needle[i])
            i++;
        if (needle[i] == '\0')
            return haystack;
    }
    return NULL;
}

static void make_vocabulary(uint64_t *seed)
{
    static const char vowels[] = "aeiouy", consonants[] = "bcdfghjklmnpqrstvwxz";
    for (int i = 0; i < VOCABULARY; i++) {
        size_t len = 2 + random_below(seed, 9);
        char *word = must_alloc(len + 1);
        for (size_t k = 0; k < len; k++)
            word[k] = k % 2 == 0 ? consonants[random_below(seed, sizeof consonants - 1)]
                                 : vowels[random_below(seed, sizeof vowels - 1)];
        word[len] = '\0';
        vocabulary[i] = word;
    }
}

static void make_text(uint64_t *seed)
{
    char *p = text;
    unsigned in_sentence = 0;
    while (p < text + TEXT - 32) {
        // Squaring makes some words much more frequent than others.
        uint32_t r = random_below(seed, VOCABULARY);
        char *start = p;
        p = copy(p, vocabulary[(uint64_t)r * r / VOCABULARY]);
        if (in_sentence++ == 0)
            *start = (char)(*start - 'a' + 'A');
        if (random_below(seed, 12) == 0) {
            *p++ = '.';
            in_sentence = 0;
        }
        *p++ = random_below(seed, 15) == 0 ? '\n' : ' ';
    }
    *p = '\0';
}

static void count_word(const char *word)
{
    uint32_t h = 5381;
    for (const char *p = word; *p != '\0'; p++)
        h = h * 33 + (unsigned char)*p;
    struct word **link = &buckets[h % BUCKETS];
    for (; *link != NULL; link = &(*link)->next)
        if (compare((*link)->text, word) == 0) {
            (*link)->count++;
            return;
        }
    struct word *w = must_alloc(sizeof *w + length(word) + 1);
    w->next = NULL;
    w->count = 1;
    copy(w->text, word);
    *link = w;
}

static unsigned count_words(const char *p)
{
    unsigned words = 0;
    char word[64];
    while (*p != '\0') {
        while (*p != '\0' && !is_letter(*p))
            p++;
        size_t len = 0;
        for (; is_letter(*p); p++)
            if (len < sizeof word - 1)
                word[len++] = lower(*p);
        word[len] = '\0';
        if (len > 0) {
            count_word(word);
            words++;
        }
    }
    return words;
}

static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t m = length(b);
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

static uint64_t numbers_round_trip(uint64_t *seed, uint64_t count)
{
    uint64_t sum = 0;
    for (; count > 0; count--) {
        char digits[24], *p = digits + sizeof digits;
        uint64_t n = next_random(seed) >> random_below(seed, 40);
        *--p = '\0';
        do
            *--p = (char)('0' + n % 10);
        while ((n /= 10) != 0);
        uint64_t back = 0;
        for (; *p != '\0'; p++)
            back = back * 10 + (uint64_t)(*p - '0');
        sum += back;
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 6, sum = CHECKSUM_START;
    unsigned words = 0;

    make_vocabulary(&seed);
    for (uint64_t i = scaled(args, 30); i > 0; i--) {
        make_text(&seed);
        words += count_words(text);
        sum = checksum_add(sum, length(text));
    }
    for (uint64_t i = scaled(args, 160); i > 0; i--) {
        const char *at = find(text, vocabulary[VOCABULARY - 1 - i % 500]);
        sum = checksum_add(sum, at == NULL ? 0 : (uint64_t)(at - text));
    }
    for (uint64_t i = scaled(args, 300000); i > 0; i--)
        sum = checksum_add(sum, edit_distance(vocabulary[i % VOCABULARY],
                                              vocabulary[i * 7 % VOCABULARY]));
    sum = checksum_add(sum, numbers_round_trip(&seed, scaled(args, 300000)));
    for (int i = 0; i < BUCKETS; i++)
        for (struct word *w = buckets[i]; w != NULL; w = w->next)
            sum = checksum_add(sum, w->count + length(w->text));
    printf("strings: %u words, checksum %016llx\n", words, (unsigned long long)sum);
    return 0;
}
