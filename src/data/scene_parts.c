/* scene_parts.c - shapes and textures of synthetic pictures, as signed distances
 * SPDX-License-Identifier: MIT */
#include "data/scene_parts.h"

#include <stdlib.h>

#define U(ten_thousandths) (((ten_thousandths)*VISE_UNIT + 5000) / 10000) // of at least 0

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* (a * x + b * y) / unit: a projection on the direction (a, b). */
static int32_t along(int32_t a, int32_t b, int32_t x, int32_t y)
{
    return (a * x + b * y) >> 12;
}

/* ---- shapes ---- */

/* A disc around (0, 0). (p^2 - r^2) / 2r is the distance to first order at the edge. */
static int32_t disc_of(int32_t x, int32_t y, int32_t r)
{
    return (x * x + y * y - r * r) / (2 * r);
}

static int32_t disc(int32_t x, int32_t y)
{
    return disc_of(x, y, U(8000));
}

static int32_t box_of(int32_t x, int32_t y, int32_t half_width, int32_t half_height)
{
    return most(abs(x) - half_width, abs(y) - half_height);
}

static int32_t square(int32_t x, int32_t y)
{
    return box_of(x, y, U(7000), U(7000));
}

static int32_t triangle(int32_t x, int32_t y)
{
    return most(-y, along(U(8660), U(5000), abs(x), y)) - U(5000);
}

static int32_t cross(int32_t x, int32_t y)
{
    return least(box_of(x, y, U(9400), U(3200)), box_of(x, y, U(3200), U(9400)));
}

/* Five tips, one of them at (0, 1); the angles between them at 0.45. Two reflections fold all onto
 * one side of one tip. */
static int32_t star(int32_t x, int32_t y)
{
    const int32_t a = U(8090), b = U(5878);
    x = abs(x);
    const int32_t right = most(along(a, -b, x, y), 0);
    x -= 2 * along(a, 0, right, 0);
    y += 2 * along(b, 0, right, 0);
    const int32_t left = most(along(-a, -b, x, y), 0);
    x += 2 * along(a, 0, left, 0);
    y += 2 * along(b, 0, left, 0);
    return along(U(9235), U(3843), abs(x), y) - U(3843);
}

static int32_t ring(int32_t x, int32_t y)
{
    return most(disc_of(x, y, U(9200)), -disc_of(x, y, U(4600)));
}

static int32_t crescent(int32_t x, int32_t y)
{
    return most(disc_of(x, y, U(9600)), -disc_of(x - U(5000), y, U(7000)));
}

/* Two discs, and below them what their tangents and chords enclose. */
static int32_t heart(int32_t x, int32_t y)
{
    x = abs(x);
    const int32_t side = along(U(7852), -U(6192), x, y) - U(5883);
    const int32_t top = along(U(4963), U(8682), x, y) - U(3907);
    return least(disc_of(x - U(4000), y - U(3000), U(4600)), most(side, top));
}

/* A head that points up, and a shaft that reaches into it. */
static int32_t arrow(int32_t x, int32_t y)
{
    const int32_t head = most(-y, along(U(7809), U(6247), abs(x), y) - U(6060));
    return least(head, box_of(x, y + U(4000), U(2700), U(5200)));
}

static int32_t hourglass(int32_t x, int32_t y)
{
    return most(abs(y) - U(7600), along(U(8000), -U(6000), abs(x), abs(y)) - U(600));
}

const vise_shape_part vise_shape_parts[VISE_SHAPES] = {
    {"disc", disc},   {"triangle", triangle},   {"cross", cross}, {"star", star},
    {"ring", ring},   {"square", square},       {"heart", heart}, {"crescent", crescent},
    {"arrow", arrow}, {"hourglass", hourglass},
};

/* ---- textures: about half of each is ink ---- */

static int32_t fraction(int32_t s) // 0 to 1
{
    return (int32_t)((uint32_t)s % VISE_UNIT);
}

/* Distance of s from the nearest half, so 0 in the middle of a period and 1/2 at its ends. */
static int32_t fold(int32_t s)
{
    return abs(fraction(s) - VISE_UNIT / 2);
}

static int32_t stripes(int32_t s, int32_t t)
{
    (void)t;
    return fold(s) - U(2500);
}

/* Every second row is shifted by half a period. */
static int32_t dots(int32_t s, int32_t t)
{
    const int32_t row = t >> 12;
    return disc_of(fold(s + (row & 1) * U(5000)), fold(t), U(3800));
}

static int32_t checks(int32_t s, int32_t t)
{
    const int32_t a = fold(s) - U(2500), b = fold(t) - U(2500), d = least(abs(a), abs(b));
    return (a < 0) == (b < 0) ? -d : d;
}

static int32_t grid(int32_t s, int32_t t)
{
    return least(fold(s), fold(t)) - U(1500);
}

static int32_t zigzag(int32_t s, int32_t t)
{
    return along(U(7071), 0, fold(s + fold(t)) - U(2500), 0);
}

static int32_t pennants(int32_t s, int32_t t)
{
    const int32_t a = fraction(s), b = fraction(t);
    return most(along(U(7071), U(7071), a, b) - U(7071), most(-a, -b));
}

static int32_t square_root(int32_t n) // rounded down
{
    int32_t root = 0;
    for (int32_t bit = 1 << 15; bit; bit >>= 1)
        if ((int64_t)(root + bit) * (root + bit) <= n) root += bit;
    return root;
}

static int32_t rings(int32_t s, int32_t t)
{
    s >>= 3; // squares of up to 11 periods fit; further out no piece reaches
    t >>= 3;
    if (abs(s) >= 11 * VISE_UNIT / 8 || abs(t) >= 11 * VISE_UNIT / 8) return VISE_UNIT;
    return fold(8 * square_root(s * s + t * t)) - U(2500);
}

/* Eight sectors between four lines. */
static int32_t rays(int32_t s, int32_t t)
{
    const int32_t a = (s + t) / 2, b = (s - t) / 2; // nearer than they are: hard to tell apart
    const int32_t d =
        least(least(abs(s), abs(t)), least(abs(a), abs(b)) + least(abs(a), abs(b)) / 2);
    return ((s < 0) ^ (t < 0) ^ (a < 0) ^ (b < 0)) ? -d : d;
}

static uint32_t knot(int32_t s, int32_t t)
{
    uint32_t h = (uint32_t)s * 0x9e3779b1u ^ (uint32_t)t * 0x85ebca77u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (h ^ h >> 13) * 0x297a2d39u >> 20; // 12 bits
}

int32_t vise_scene_noise(int32_t s, int32_t t)
{
    const int32_t i = s >> 12, j = t >> 12;
    int32_t a = fraction(s), b = fraction(t);
    a = ((a * a >> 12) * (3 * VISE_UNIT - 2 * a)) >> 12; // 3a^2 - 2a^3: no creases at the knots
    b = ((b * b >> 12) * (3 * VISE_UNIT - 2 * b)) >> 12;
    const int32_t p = (int32_t)knot(i, j), q = (int32_t)knot(i + 1, j);
    const int32_t r = (int32_t)knot(i, j + 1), z = (int32_t)knot(i + 1, j + 1);
    const int32_t above = p + ((q - p) * a >> 12), below = r + ((z - r) * a >> 12);
    return above + ((below - above) * b >> 12);
}

static int32_t blotches(int32_t s, int32_t t)
{
    return (vise_scene_noise(s + s / 2, t + t / 2) - VISE_UNIT / 2) / 2; // its slope is about 2
}

static int32_t plain(int32_t s, int32_t t)
{
    (void)s;
    (void)t;
    return VISE_UNIT;
}

/* Dots are fine and stripes are coarse, so that their spectra differ in more than direction: two
 * textures of equal contrast, share of ink and scale have the same second moments when they are
 * turned at random, and a small ViT had not begun to tell them apart after 30,000 pictures. */
const vise_texture_part vise_texture_parts[VISE_TEXTURES] = {
    {"stripes", 100, false, stripes},   {"dots", 70, false, dots},
    {"checks", 100, false, checks},     {"rays", 100, true, rays},
    {"blotches", 100, false, blotches}, {"rings", 100, true, rings},
    {"zigzag", 100, false, zigzag},     {"pennants", 100, false, pennants},
    {"grid", 100, false, grid},         {"plain", 100, false, plain},
};
