// Mixed work: writes a JSON-like document with decimal numbers, parses it into a tree, sorts and
// sums its records, and writes it out again.
#include "bench.h"
#include <string.h>

enum { RECORDS = 2000, TEXT = 1 << 20 };

enum kind { NUMBER, STRING, LIST, OBJECT };

struct value {
    enum kind kind;
    uint32_t length;     // STRING: bytes
    const char *name;    // inside an OBJECT: the key, not terminated
    uint32_t name_length;
    double number;
    const char *string;  // not terminated
    struct value *first; // LIST, OBJECT
    struct value *next;  // the next of the same parent
};

static char text[TEXT], output[TEXT];
static struct value *pool;
static size_t pool_used, pool_size;

static struct value *new_value(enum kind kind)
{
    if (pool_used == pool_size) {
        fprintf(stderr, "pool is full\n");
        exit(1);
    }
    struct value *v = &pool[pool_used++];
    memset(v, 0, sizeof *v);
    v->kind = kind;
    return v;
}

// Writes a number with six decimals, trailing zeros removed.
static char *put_number(char *p, double number)
{
    if (number < 0) {
        *p++ = '-';
        number = -number;
    }
    uint64_t millionths = (uint64_t)(number * 1e6 + 0.5);
    uint64_t whole = millionths / 1000000, fraction = millionths % 1000000;
    char digits[24];
    int n = 0;
    do
        digits[n++] = (char)('0' + whole % 10);
    while ((whole /= 10) != 0);
    while (n > 0)
        *p++ = digits[--n];
    if (fraction == 0)
        return p;
    *p++ = '.';
    for (uint64_t unit = 100000; fraction != 0; unit /= 10) {
        *p++ = (char)('0' + fraction / unit);
        fraction %= unit;
    }
    return p;
}

static char *put_string(char *p, const char *s, size_t length)
{
    *p++ = '"';
    for (size_t i = 0; i < length; i++) {
        if (s[i] == '"' || s[i] == '\\')
            *p++ = '\\';
        *p++ = s[i];
    }
    *p++ = '"';
    return p;
}

static char *put_literal(char *p, const char *s)
{
    size_t length = strlen(s);
    memcpy(p, s, length);
    return p + length;
}

static void generate(uint64_t *seed)
{
    char *p = text;
    *p++ = '[';
    for (int i = 0; i < RECORDS; i++) {
        p = put_literal(p, i == 0 ? "\n  {\"id\": " : ",\n  {\"id\": ");
        p = put_number(p, i);
        p = put_literal(p, ", \"name\": ");
        char name[12];
        size_t length = 3 + random_below(seed, 9);
        for (size_t k = 0; k < length; k++)
            name[k] = "abcdefghijklmnop\"rstuvw\\yz "[random_below(seed, 27)];
        p = put_string(p, name, length);
        p = put_literal(p, ", \"price\": ");
        p = put_number(p, random_unit(seed) * 2000 - 500);
        p = put_literal(p, ", \"sizes\": [");
        for (uint32_t k = random_below(seed, 6); k > 0; k--) {
            p = put_number(p, random_unit(seed) * 10);
            p = put_literal(p, k > 1 ? ", " : "");
        }
        p = put_literal(p, "], \"at\": {\"x\": ");
        p = put_number(p, random_unit(seed));
        p = put_literal(p, ", \"y\": ");
        p = put_number(p, -random_unit(seed) * 100);
        p = put_literal(p, "}}");
    }
    p = put_literal(p, "\n]");
    *p = '\0';
}

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\n')
        p++;
    return p;
}

static const char *parse_number(const char *p, double *number)
{
    int negative = *p == '-';
    uint64_t mantissa = 0;
    double divisor = 1;
    for (p += negative; *p >= '0' && *p <= '9'; p++)
        mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++) {
            mantissa = mantissa * 10 + (uint64_t)(*p - '0');
            divisor *= 10;
        }
    *number = (negative ? -(double)mantissa : (double)mantissa) / divisor;
    return p;
}

static const char *parse_string(const char *p, const char **string, uint32_t *length)
{
    const char *start = ++p;
    for (; *p != '"'; p++)
        if (*p == '\\')
            p++;
    *string = start;
    *length = (uint32_t)(p - start);
    return p + 1;
}

static const char *parse(const char *p, struct value **out)
{
    p = skip_space(p);
    if (*p == '"') {
        *out = new_value(STRING);
        return parse_string(p, &(*out)->string, &(*out)->length);
    }
    if (*p != '[' && *p != '{') {
        *out = new_value(NUMBER);
        return parse_number(p, &(*out)->number);
    }
    int object = *p == '{';
    struct value *parent = *out = new_value(object ? OBJECT : LIST), **link = &parent->first;
    p = skip_space(p + 1);
    while (*p != ']' && *p != '}') {
        const char *name = NULL;
        uint32_t name_length = 0;
        if (object)
            p = skip_space(parse_string(p, &name, &name_length)) + 1;
        p = skip_space(parse(p, link));
        (*link)->name = name;
        (*link)->name_length = name_length;
        link = &(*link)->next;
        if (*p == ',')
            p = skip_space(p + 1);
    }
    return p + 1;
}

static const struct value *member(const struct value *object, const char *name)
{
    size_t length = strlen(name);
    for (const struct value *v = object->first; v != NULL; v = v->next)
        if (v->name_length == length && memcmp(v->name, name, length) == 0)
            return v;
    fprintf(stderr, "no member %s\n", name);
    exit(1);
}

static char *put_value(char *p, const struct value *v)
{
    switch (v->kind) {
    case NUMBER:
        return put_number(p, v->number);
    case STRING:
        *p++ = '"';
        memcpy(p, v->string, v->length);
        p += v->length;
        *p++ = '"';
        return p;
    case LIST:
    case OBJECT:
        *p++ = v->kind == LIST ? '[' : '{';
        for (const struct value *child = v->first; child != NULL; child = child->next) {
            if (v->kind == OBJECT) {
                *p++ = '"';
                memcpy(p, child->name, child->name_length);
                p += child->name_length;
                *p++ = '"';
                *p++ = ':';
            }
            p = put_value(p, child);
            if (child->next != NULL)
                *p++ = ',';
        }
        *p++ = v->kind == LIST ? ']' : '}';
        return p;
    }
    return p;
}

static int by_price(const void *a, const void *b)
{
    double x = member(*(struct value *const *)a, "price")->number;
    double y = member(*(struct value *const *)b, "price")->number;
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    const struct value *x = member(*(struct value *const *)a, "name");
    const struct value *y = member(*(struct value *const *)b, "name");
    uint32_t shorter = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->string, y->string, shorter);
    return order != 0 ? (order > 0) - (order < 0) : (x->length > y->length) - (x->length < y->length);
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 12, sum = CHECKSUM_START;
    double total = 0;
    static struct value *records[RECORDS];

    pool_size = RECORDS * 16;
    pool = must_alloc(pool_size * sizeof *pool);
    for (uint64_t round = scaled(args, 50); round > 0; round--) {
        generate(&seed);
        pool_used = 0;
        struct value *document;
        parse(text, &document);
        size_t count = 0;
        for (struct value *v = document->first; v != NULL; v = v->next)
            records[count++] = v;
        qsort(records, count, sizeof records[0], round % 2 == 0 ? by_price : by_name);
        for (size_t i = 0; i < count; i++) {
            for (const struct value *v = member(records[i], "sizes")->first; v; v = v->next)
                total += v->number;
            records[i]->next = i + 1 < count ? records[i + 1] : NULL;
        }
        document->first = records[0];
        char *end = put_value(output, document);
        sum = checksum_bytes(sum, output, (size_t)(end - output));
    }
    printf("json: total %.17g, checksum %016llx\n", total, (unsigned long long)sum);
    return 0;
}
