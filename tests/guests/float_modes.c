/* Floating point with every rounding mode and every flag. NaNs are printed as such: their bits
 * differ between machines, and instruction tests look at those.
 *
 * @cflags -frounding-math
 */
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const int modes[] = { FE_TONEAREST, FE_TOWARDZERO, FE_UPWARD, FE_DOWNWARD };

static const double values[] = {
    0.0, -0.0, 1.0, -1.0, 0.1, -0.3, 1.5, 2.5, 3.0, 1e-310, -4.9e-324, 2.2250738585072014e-308,
    1e308, -1.7976931348623157e308, 4503599627370497.5, 2147483647.5, -2147483648.5, 1e19, -1e19,
    3.4028235677973366e38, 1e-46, INFINITY, -INFINITY, NAN,
};

enum { COUNT = sizeof values / sizeof *values };

static uint64_t hash = 0xcbf29ce484222325;

static void mix(uint64_t value)
{
    hash = (hash ^ value) * 0x100000001b3;
}

static void mix_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    mix(isnan(value) ? 1 : bits);
}

static void mix_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    mix(isnan(value) ? 1 : bits);
}

/* The flags that were raised, in an order of our own: FE_* differ between machines. */
static void mix_flags(void)
{
    static const int flags[] = { FE_INVALID, FE_DIVBYZERO, FE_OVERFLOW, FE_UNDERFLOW, FE_INEXACT };
    int raised = fetestexcept(FE_ALL_EXCEPT), own = 0;
    for (int i = 0; i < 5; i++)
        own |= !!(raised & flags[i]) << i;
    mix(own);
    feclearexcept(FE_ALL_EXCEPT);
}

static void doubles(volatile double a, volatile double b)
{
    volatile double result;
    result = a + b, mix_double(result), mix_flags();
    result = a - b, mix_double(result), mix_flags();
    result = a * b, mix_double(result), mix_flags();
    result = a / b, mix_double(result), mix_flags();
    result = sqrt(a), mix_double(result), mix_flags();
    mix(a < b), mix_flags();
    mix(a == b), mix_flags();
    mix(isless(a, b) + 2 * isgreaterequal(a, b)), mix_flags();
}

static void floats(volatile float a, volatile float b)
{
    volatile float result;
    mix_flags();
    result = a + b, mix_float(result), mix_flags();
    result = a - b, mix_float(result), mix_flags();
    result = a * b, mix_float(result), mix_flags();
    result = a / b, mix_float(result), mix_flags();
    result = sqrtf(a), mix_float(result), mix_flags();
    volatile double wide = a;
    mix_double(wide), mix_flags();
}

static void integers(volatile double a)
{
    /* Values that fit: what happens to others is not the same on all machines. */
    if (fabs(a) < 2147483648.0)
        mix((int)a), mix_flags();
    if (fabs(a) < 9e18) {
        mix((long)a), mix_flags();
        volatile long whole = (long)a;
        volatile float narrow = whole;
        volatile double back = whole;
        mix_float(narrow), mix_double(back), mix_flags();
        mix(llrint(a)), mix_flags();
    }
}

int main(void)
{
    for (unsigned mode = 0; mode < 4; mode++) {
        fesetround(modes[mode]);
        for (int i = 0; i < COUNT; i++) {
            integers(values[i]);
            for (int j = 0; j < COUNT; j++) {
                doubles(values[i], values[j]);
                floats(values[i], values[j]);
            }
        }
        fesetround(FE_TONEAREST);
        printf("mode %u: %#lx\n", mode, hash);
    }
    return 0;
}
