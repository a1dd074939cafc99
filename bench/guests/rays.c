// A small ray tracer in single precision: spheres over a chequered floor, shadows, mirrors.
#include "bench.h"
#include <math.h>

enum { WIDTH = 160, HEIGHT = 120, SPHERES = 12, MAX_DEPTH = 4 };

struct vector {
    float x, y, z;
};

struct sphere {
    struct vector centre;
    float radius, mirror;
    struct vector colour;
};

static struct sphere spheres[SPHERES];
static struct vector light;

static struct vector add(struct vector a, struct vector b)
{
    return (struct vector){a.x + b.x, a.y + b.y, a.z + b.z};
}

static struct vector sub(struct vector a, struct vector b)
{
    return (struct vector){a.x - b.x, a.y - b.y, a.z - b.z};
}

static struct vector times(struct vector a, float f)
{
    return (struct vector){a.x * f, a.y * f, a.z * f};
}

static float dot(struct vector a, struct vector b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static struct vector normalise(struct vector a)
{
    return times(a, 1.0f / sqrtf(dot(a, a)));
}

// Distance along the ray, or a negative number.
static float hit_sphere(const struct sphere *s, struct vector origin, struct vector direction)
{
    struct vector to_centre = sub(s->centre, origin);
    float along = dot(to_centre, direction);
    float under_root = along * along - dot(to_centre, to_centre) + s->radius * s->radius;
    if (under_root <= 0)
        return -1;
    float root = sqrtf(under_root);
    return along - root > 1e-3f ? along - root : along + root > 1e-3f ? along + root : -1;
}

static const struct sphere *nearest(struct vector origin, struct vector direction, float *distance)
{
    const struct sphere *found = NULL;
    *distance = 1e30f;
    for (int i = 0; i < SPHERES; i++) {
        float d = hit_sphere(&spheres[i], origin, direction);
        if (d > 0 && d < *distance) {
            *distance = d;
            found = &spheres[i];
        }
    }
    return found;
}

static float brightness(struct vector point, struct vector normal)
{
    struct vector to_light = sub(light, point);
    float distance = sqrtf(dot(to_light, to_light)), blocked;
    struct vector direction = times(to_light, 1.0f / distance);
    float facing = dot(normal, direction);
    if (facing <= 0)
        return 0.1f;
    if (nearest(point, direction, &blocked) != NULL && blocked < distance)
        return 0.1f;
    return 0.1f + 0.9f * facing;
}

static struct vector trace(struct vector origin, struct vector direction, int depth)
{
    float distance;
    const struct sphere *s = nearest(origin, direction, &distance);
    if (s == NULL) {
        if (direction.y >= -1e-3f)
            return (struct vector){0.4f, 0.5f, 0.6f + 0.4f * direction.y};
        float t = -origin.y / direction.y;
        struct vector point = add(origin, times(direction, t));
        if (!(t > 1e-3f) || t > 200.0f)
            return (struct vector){0.3f, 0.3f, 0.3f};
        int odd = ((int)(point.x + 1000) + (int)(point.z + 1000)) & 1;
        float b = brightness(point, (struct vector){0, 1, 0}) * (odd ? 0.9f : 0.3f);
        return (struct vector){b, b, b};
    }
    struct vector point = add(origin, times(direction, distance));
    struct vector normal = times(sub(point, s->centre), 1.0f / s->radius);
    struct vector colour = times(s->colour, brightness(point, normal));
    if (depth == 0 || s->mirror == 0)
        return colour;
    struct vector bounce = sub(direction, times(normal, 2 * dot(normal, direction)));
    struct vector seen = trace(point, normalise(bounce), depth - 1);
    return add(times(colour, 1 - s->mirror), times(seen, s->mirror));
}

static unsigned to_byte(float f)
{
    return f <= 0 ? 0 : f >= 1 ? 255 : (unsigned)(f * 255.0f);
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 10, sum = CHECKSUM_START;

    for (int i = 0; i < SPHERES; i++) {
        float radius = 0.4f + (float)random_unit(&seed);
        spheres[i] = (struct sphere){
            {(float)(random_unit(&seed) * 10 - 5), radius, (float)(random_unit(&seed) * 10 + 2)},
            radius,
            i % 3 == 0 ? 0 : 0.2f + 0.1f * (float)(i % 5),
            {(float)random_unit(&seed), (float)random_unit(&seed), (float)random_unit(&seed)},
        };
    }
    for (uint64_t frame = 0; frame < scaled(args, 50); frame++) {
        light = (struct vector){(float)frame - 5, 8, -3};
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                struct vector direction = normalise((struct vector){
                    (float)(x - WIDTH / 2) / WIDTH, (float)(HEIGHT / 2 - y) / WIDTH, 0.8f});
                struct vector c = trace((struct vector){0, 1.5f, -6}, direction, MAX_DEPTH);
                sum = checksum_add(sum, to_byte(c.x) << 16 | to_byte(c.y) << 8 | to_byte(c.z));
            }
    }
    printf("rays: checksum %016llx\n", (unsigned long long)sum);
    return 0;
}
