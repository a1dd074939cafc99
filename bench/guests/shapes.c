// Virtual calls: objects with tables of function pointers, as a C++ compiler would lay them out.
#include "bench.h"

struct shape;

struct shape_class {
    const char *name;
    double (*area)(const struct shape *);
    int (*contains)(const struct shape *, double x, double y);
    void (*move)(struct shape *, double dx, double dy);
    int (*corners)(const struct shape *);
};

struct shape {
    const struct shape_class *class;
    double x, y;
};

struct circle {
    struct shape base;
    double radius;
};

struct box {
    struct shape base;
    double width, height;
};

struct triangle {
    struct shape base;
    double leg;
};

// All its calls go through to another shape.
struct scaled_shape {
    struct shape base;
    struct shape *inner;
    double factor;
};

static void move_base(struct shape *s, double dx, double dy)
{
    s->x += dx;
    s->y += dy;
}

static double circle_area(const struct shape *s)
{
    const struct circle *c = (const struct circle *)s;
    return 3.141592653589793 * c->radius * c->radius;
}

static int circle_contains(const struct shape *s, double x, double y)
{
    const struct circle *c = (const struct circle *)s;
    x -= s->x;
    y -= s->y;
    return x * x + y * y <= c->radius * c->radius;
}

static int circle_corners(const struct shape *s)
{
    (void)s;
    return 0;
}

static double box_area(const struct shape *s)
{
    const struct box *b = (const struct box *)s;
    return b->width * b->height;
}

static int box_contains(const struct shape *s, double x, double y)
{
    const struct box *b = (const struct box *)s;
    return x >= s->x && y >= s->y && x <= s->x + b->width && y <= s->y + b->height;
}

static int box_corners(const struct shape *s)
{
    (void)s;
    return 4;
}

static double triangle_area(const struct shape *s)
{
    const struct triangle *t = (const struct triangle *)s;
    return t->leg * t->leg / 2;
}

static int triangle_contains(const struct shape *s, double x, double y)
{
    const struct triangle *t = (const struct triangle *)s;
    return x >= s->x && y >= s->y && (x - s->x) + (y - s->y) <= t->leg;
}

static int triangle_corners(const struct shape *s)
{
    (void)s;
    return 3;
}

static double scaled_area(const struct shape *s)
{
    const struct scaled_shape *c = (const struct scaled_shape *)s;
    return c->factor * c->factor * c->inner->class->area(c->inner);
}

static int scaled_contains(const struct shape *s, double x, double y)
{
    const struct scaled_shape *c = (const struct scaled_shape *)s;
    return c->inner->class->contains(c->inner, x / c->factor, y / c->factor);
}

static void scaled_move(struct shape *s, double dx, double dy)
{
    struct scaled_shape *c = (struct scaled_shape *)s;
    move_base(s, dx, dy);
    c->inner->class->move(c->inner, dx / c->factor, dy / c->factor);
}

static int scaled_corners(const struct shape *s)
{
    const struct scaled_shape *c = (const struct scaled_shape *)s;
    return c->inner->class->corners(c->inner);
}

static const struct shape_class circle_class = {"circle", circle_area, circle_contains, move_base,
                                                circle_corners};
static const struct shape_class box_class = {"box", box_area, box_contains, move_base,
                                             box_corners};
static const struct shape_class triangle_class = {"triangle", triangle_area, triangle_contains,
                                                  move_base, triangle_corners};
static const struct shape_class scaled_class = {"scaled", scaled_area, scaled_contains,
                                                scaled_move, scaled_corners};

static struct shape *make_shape(uint64_t *seed, uint32_t kinds)
{
    struct shape base = {.x = random_unit(seed) * 80, .y = random_unit(seed) * 80};
    switch (random_below(seed, kinds)) {
    case 0: {
        struct circle *c = must_alloc(sizeof *c);
        base.class = &circle_class;
        *c = (struct circle){base, random_unit(seed) * 20};
        return &c->base;
    }
    case 1: {
        struct box *b = must_alloc(sizeof *b);
        base.class = &box_class;
        *b = (struct box){base, random_unit(seed) * 30, random_unit(seed) * 30};
        return &b->base;
    }
    case 2: {
        struct triangle *t = must_alloc(sizeof *t);
        base.class = &triangle_class;
        *t = (struct triangle){base, random_unit(seed) * 40};
        return &t->base;
    }
    default: {
        struct scaled_shape *s = must_alloc(sizeof *s);
        base.class = &scaled_class;
        *s = (struct scaled_shape){base, make_shape(seed, 3), 0.5 + random_unit(seed)};
        return &s->base;
    }
    }
}

int main(int argc, char **argv)
{
    enum { SHAPES = 500 };
    struct args args = parse_args(argc, argv);
    struct shape *shapes[SHAPES];
    uint64_t seed = 8, inside = 0, corners = 0;
    double area = 0;

    for (int i = 0; i < SHAPES; i++)
        shapes[i] = make_shape(&seed, 4);
    for (uint64_t i = scaled(args, 30000); i > 0; i--) {
        double x = random_unit(&seed) * 100, y = random_unit(&seed) * 100;
        struct shape *moved = shapes[random_below(&seed, SHAPES)];
        moved->class->move(moved, x / 64 - moved->x / 64, y / 64 - moved->y / 64);
        for (int k = 0; k < SHAPES; k++) {
            const struct shape *s = shapes[k];
            if (s->class->contains(s, x, y)) {
                inside++;
                area += s->class->area(s);
            } else {
                corners += (uint64_t)s->class->corners(s);
            }
        }
    }
    printf("shapes: %llu inside, %llu corners, area %.17g\n", (unsigned long long)inside,
           (unsigned long long)corners, area);
    return 0;
}
