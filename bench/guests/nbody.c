// Gravity between bodies in double precision: square roots, divisions, dependent chains.
#include "bench.h"
#include <math.h>

enum { BODIES = 6 };

struct body {
    double position[3], velocity[3], mass;
};

static double energy(const struct body *b)
{
    double e = 0;
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++)
            e += b[i].mass * b[i].velocity[k] * b[i].velocity[k] / 2;
        for (int j = i + 1; j < BODIES; j++) {
            double square = 0;
            for (int k = 0; k < 3; k++) {
                double d = b[i].position[k] - b[j].position[k];
                square += d * d;
            }
            e -= b[i].mass * b[j].mass / sqrt(square);
        }
    }
    return e;
}

static void step(struct body *b, double dt)
{
    for (int i = 0; i < BODIES; i++)
        for (int j = i + 1; j < BODIES; j++) {
            double dx = b[i].position[0] - b[j].position[0];
            double dy = b[i].position[1] - b[j].position[1];
            double dz = b[i].position[2] - b[j].position[2];
            double square = dx * dx + dy * dy + dz * dz + 1e-9;
            double pull = dt / (square * sqrt(square));
            b[i].velocity[0] -= dx * b[j].mass * pull;
            b[i].velocity[1] -= dy * b[j].mass * pull;
            b[i].velocity[2] -= dz * b[j].mass * pull;
            b[j].velocity[0] += dx * b[i].mass * pull;
            b[j].velocity[1] += dy * b[i].mass * pull;
            b[j].velocity[2] += dz * b[i].mass * pull;
        }
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++)
            b[i].position[k] += dt * b[i].velocity[k];
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    struct body bodies[BODIES];
    uint64_t seed = 9;

    for (int i = 0; i < BODIES; i++) {
        double distance = i * (1 + 0.3 * i);
        bodies[i].mass = i == 0 ? 40 : 0.001 + 0.05 * random_unit(&seed);
        for (int k = 0; k < 3; k++) {
            bodies[i].position[k] = distance * (k == i % 3 ? 1 : 0.1 * random_unit(&seed));
            bodies[i].velocity[k] = i == 0 || k != (i + 1) % 3 ? 0 : sqrt(40 / distance);
        }
    }
    double before = energy(bodies);
    for (uint64_t i = scaled(args, 600000); i > 0; i--)
        step(bodies, 0.0005);
    printf("nbody: energy %.17g before, %.17g after, at %.17g\n", before, energy(bodies),
           bodies[1].position[0]);
    return 0;
}
