// Linear algebra in double precision: matrix product, LU decomposition with pivoting, and a
// fast Fourier transform.
#include "bench.h"
#include <math.h>

enum { N = 128, POINTS = 1 << 13 };

static double a[N][N], b[N][N], c[N][N];
static double real[POINTS], imaginary[POINTS], cosines[POINTS / 2], sines[POINTS / 2];

static void product(double out[N][N], double x[N][N], double y[N][N])
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += x[i][k] * y[k][j];
            out[i][j] = sum;
        }
}

// Decomposes `m` in place and returns its determinant.
static double decompose(double m[N][N])
{
    double determinant = 1;
    for (int k = 0; k < N; k++) {
        int pivot = k;
        for (int i = k + 1; i < N; i++)
            if (fabs(m[i][k]) > fabs(m[pivot][k]))
                pivot = i;
        if (pivot != k) {
            for (int j = 0; j < N; j++) {
                double t = m[k][j];
                m[k][j] = m[pivot][j];
                m[pivot][j] = t;
            }
            determinant = -determinant;
        }
        determinant *= m[k][k];
        for (int i = k + 1; i < N; i++) {
            double factor = m[i][k] / m[k][k];
            m[i][k] = factor;
            for (int j = k + 1; j < N; j++)
                m[i][j] -= factor * m[k][j];
        }
    }
    return determinant;
}

// Roots of unity by halving the angle: cos(t/2) = sqrt((1 + cos t) / 2).
static void make_roots(void)
{
    double cosine = -1, sine = 0; // of pi
    cosines[0] = 1;
    sines[0] = 0;
    for (int step = POINTS / 4; step > 0; step /= 2) {
        double half = sqrt((1 + cosine) / 2);
        sine = cosine == -1 ? 1 : sine / (2 * half);
        cosine = half;
        for (int k = 0; k < POINTS / 2; k += 2 * step) {
            cosines[k + step] = cosines[k] * cosine - sines[k] * sine;
            sines[k + step] = sines[k] * cosine + cosines[k] * sine;
        }
    }
}

static void transform(int inverse)
{
    for (unsigned i = 1, j = 0; i < POINTS; i++) {
        unsigned bit = POINTS >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            double t = real[i];
            real[i] = real[j];
            real[j] = t;
            t = imaginary[i];
            imaginary[i] = imaginary[j];
            imaginary[j] = t;
        }
    }
    for (unsigned len = 2; len <= POINTS; len *= 2)
        for (unsigned start = 0; start < POINTS; start += len)
            for (unsigned k = 0; k < len / 2; k++) {
                double wr = cosines[k * (POINTS / len)];
                double wi = inverse ? -sines[k * (POINTS / len)] : sines[k * (POINTS / len)];
                unsigned low = start + k, high = low + len / 2;
                double tr = real[high] * wr - imaginary[high] * wi;
                double ti = real[high] * wi + imaginary[high] * wr;
                real[high] = real[low] - tr;
                imaginary[high] = imaginary[low] - ti;
                real[low] += tr;
                imaginary[low] += ti;
            }
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 11, sum = CHECKSUM_START;
    double determinant = 0, error = 0;

    for (uint64_t round = scaled(args, 36); round > 0; round--) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                a[i][j] = random_unit(&seed) - 0.5;
                b[i][j] = random_unit(&seed) / 4;
            }
        product(c, a, b);
        determinant += decompose(c);
        for (int i = 0; i < N; i++)
            sum = checksum_add(sum, double_bits(c[i][N - 1 - i]));
    }
    make_roots();
    for (int i = 0; i < POINTS; i++) {
        real[i] = random_unit(&seed);
        imaginary[i] = 0;
    }
    double first = real[1];
    for (uint64_t round = scaled(args, 100); round > 0; round--) {
        transform(0);
        sum = checksum_add(sum, double_bits(real[round]));
        transform(1);
        for (int i = 0; i < POINTS; i++) {
            real[i] /= POINTS;
            imaginary[i] /= POINTS;
        }
        error += fabs(real[1] - first);
    }
    printf("linalg: determinants %.17g, error %.3g, checksum %016llx\n", determinant, error,
           (unsigned long long)sum);
    return 0;
}
