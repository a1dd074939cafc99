// Big integers: 1024-bit modular exponentiation with Montgomery products, factorials, Fibonacci
// numbers, and conversion to decimal.
#include "bench.h"
#include <string.h>

enum { LIMBS = 16, LONG = 512 };

typedef unsigned __int128 uint128_t;

struct modulus {
    uint64_t n[LIMBS], square[LIMBS], inverse; // square = R^2 mod n, inverse = -1/n mod 2^64
};

static int at_least(const uint64_t *a, const uint64_t *b)
{
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a[i] != b[i])
            return a[i] > b[i];
    return 1;
}

static void subtract(uint64_t *a, const uint64_t *b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        uint64_t t = a[i] - b[i], r = t - borrow;
        borrow = (a[i] < b[i]) | (t < borrow);
        a[i] = r;
    }
}

static void double_mod(uint64_t *a, const uint64_t *n)
{
    uint64_t carry = a[LIMBS - 1] >> 63;
    for (int i = LIMBS - 1; i > 0; i--)
        a[i] = a[i] << 1 | a[i - 1] >> 63;
    a[0] <<= 1;
    if (carry || at_least(a, n))
        subtract(a, n);
}

static void prepare(struct modulus *m, uint64_t *seed)
{
    for (int i = 0; i < LIMBS; i++)
        m->n[i] = next_random(seed);
    m->n[0] |= 1;
    m->n[LIMBS - 1] |= (uint64_t)1 << 63;
    uint64_t x = 1;
    for (int i = 0; i < 6; i++)
        x *= 2 - m->n[0] * x;
    m->inverse = -x;
    memset(m->square, 0, sizeof m->square);
    m->square[0] = 1;
    for (int i = 0; i < 2 * 64 * LIMBS; i++)
        double_mod(m->square, m->n);
}

// out = a * b / R mod n
static void multiply(const struct modulus *m, uint64_t *out, const uint64_t *a, const uint64_t *b)
{
    uint64_t t[LIMBS + 2] = {0};
    for (int i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            uint128_t p = (uint128_t)a[i] * b[j] + t[j] + carry;
            t[j] = (uint64_t)p;
            carry = (uint64_t)(p >> 64);
        }
        uint128_t top = (uint128_t)t[LIMBS] + carry;
        t[LIMBS] = (uint64_t)top;
        t[LIMBS + 1] = (uint64_t)(top >> 64);

        uint64_t q = t[0] * m->inverse;
        carry = (uint64_t)(((uint128_t)q * m->n[0] + t[0]) >> 64);
        for (int j = 1; j < LIMBS; j++) {
            uint128_t p = (uint128_t)q * m->n[j] + t[j] + carry;
            t[j - 1] = (uint64_t)p;
            carry = (uint64_t)(p >> 64);
        }
        top = (uint128_t)t[LIMBS] + carry;
        t[LIMBS - 1] = (uint64_t)top;
        t[LIMBS] = t[LIMBS + 1] + (uint64_t)(top >> 64);
    }
    if (t[LIMBS] != 0 || at_least(t, m->n))
        subtract(t, m->n);
    memcpy(out, t, LIMBS * sizeof *out);
}

static void power(const struct modulus *m, uint64_t *out, const uint64_t *base, const uint64_t *e)
{
    uint64_t result[LIMBS] = {1}, b[LIMBS], one[LIMBS] = {1};
    multiply(m, b, base, m->square);
    multiply(m, result, one, m->square);
    for (int bit = 64 * LIMBS - 1; bit >= 0; bit--) {
        multiply(m, result, result, result);
        if (e[bit / 64] >> (bit % 64) & 1)
            multiply(m, result, result, b);
    }
    multiply(m, out, result, one);
}

// Numbers of any size up to LONG 32-bit limbs.
struct number {
    size_t length;
    uint32_t limb[LONG];
};

static void times_small(struct number *a, uint32_t factor)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < a->length; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0)
        a->limb[a->length++] = (uint32_t)carry;
}

static void add_to(struct number *a, const struct number *b)
{
    uint64_t carry = 0;
    for (size_t i = a->length; i < b->length; i++)
        a->limb[i] = 0;
    if (a->length < b->length)
        a->length = b->length;
    for (size_t i = 0; i < a->length; i++) {
        carry += (uint64_t)a->limb[i] + (i < b->length ? b->limb[i] : 0);
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0)
        a->limb[a->length++] = (uint32_t)carry;
}

static uint32_t divide_small(struct number *a, uint32_t divisor)
{
    uint64_t remainder = 0;
    for (size_t i = a->length; i-- > 0;) {
        remainder = remainder << 32 | a->limb[i];
        a->limb[i] = (uint32_t)(remainder / divisor);
        remainder %= divisor;
    }
    while (a->length > 0 && a->limb[a->length - 1] == 0)
        a->length--;
    return (uint32_t)remainder;
}

static uint64_t decimal_checksum(struct number a)
{
    uint64_t sum = CHECKSUM_START;
    while (a.length > 0)
        sum = checksum_add(sum, divide_small(&a, 1000000000));
    return sum;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 16, sum = CHECKSUM_START;
    static struct modulus m;

    for (uint64_t i = scaled(args, 60); i > 0; i--) {
        uint64_t base[LIMBS], exponent[LIMBS], result[LIMBS];
        prepare(&m, &seed);
        for (int k = 0; k < LIMBS; k++) {
            base[k] = next_random(&seed);
            exponent[k] = next_random(&seed);
        }
        if (at_least(base, m.n))
            subtract(base, m.n);
        power(&m, result, base, exponent);
        sum = checksum_bytes(sum, result, sizeof result);
    }
    static struct number factorial, a, b;
    for (uint64_t i = scaled(args, 40); i > 0; i--) {
        factorial.length = 1;
        factorial.limb[0] = 1;
        for (uint32_t k = 2; k <= 1500; k++)
            times_small(&factorial, k + (uint32_t)i);
        sum = checksum_add(sum, decimal_checksum(factorial));
        a = (struct number){.length = 1, .limb = {1}};
        b = a;
        for (int k = 0; k < 1000; k++) {
            add_to(&a, &b);
            add_to(&b, &a);
        }
        sum = checksum_add(sum, decimal_checksum(b));
    }
    printf("bigint: checksum %016llx\n", (unsigned long long)sum);
    return 0;
}
