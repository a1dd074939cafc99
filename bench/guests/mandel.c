// The Mandelbrot set in double precision, with a smooth colour for the border.
#include "bench.h"
#include <math.h>

enum { WIDTH = 400, HEIGHT = 300, LIMIT = 150 };

struct escape {
    unsigned iterations;
    double radius;
};

static struct escape iterate(double cx, double cy)
{
    double x = 0, y = 0, xx = 0, yy = 0;
    unsigned n = 0;
    while (n < LIMIT && xx + yy <= 16) {
        y = 2 * x * y + cy;
        x = xx - yy + cx;
        xx = x * x;
        yy = y * y;
        n++;
    }
    return (struct escape){n, sqrt(xx + yy)};
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t sum = CHECKSUM_START, inside = 0;

    for (uint64_t frame = scaled(args, 4); frame > 0; frame--) {
        double zoom = 1 / (1 + 0.7 * (double)frame);
        for (int py = 0; py < HEIGHT; py++)
            for (int px = 0; px < WIDTH; px++) {
                double cx = -0.745 + (px - WIDTH / 2) * zoom * 3.2 / WIDTH;
                double cy = 0.1 + (py - HEIGHT / 2) * zoom * 2.4 / HEIGHT;
                struct escape e = iterate(cx, cy);
                inside += e.iterations == LIMIT;
                double shade = e.iterations + 4 / (1 + e.radius);
                sum = checksum_add(sum, (uint64_t)(shade * 1000));
            }
    }
    printf("mandel: %llu inside, checksum %016llx\n", (unsigned long long)inside,
           (unsigned long long)sum);
    return 0;
}
