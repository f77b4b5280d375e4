/* distort.c - colours by tables and blends, geometry by one affine map
 * SPDX-License-Identifier: MIT */
#include "data/distort.h"

#include "data/preprocess.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

enum { ONE = 1 << 16 }; // a pixel, in fixed point

/* base + factor * (v - base), factor in 1/256 */
static uint8_t blend(int base, int v, int factor)
{
    const int x = base * 256 + factor * (v - base) + 128;
    return (uint8_t)(x < 0 ? 0 : x >= 255 * 256 ? 255 : x / 256);
}

static void keep_spare(vise_canvas *v)
{
    uint8_t *p = v->p;
    v->p = v->spare;
    v->spare = p;
}

/* ---- one value at a time ---- */

static void stretch(uint8_t to[256], const size_t count[256])
{
    int lo = 0, hi = 255;
    while (lo < 255 && !count[lo])
        lo++;
    while (hi > lo && !count[hi])
        hi--;
    for (int i = lo; i <= hi && lo < hi; i++) // the others do not occur
        to[i] = (uint8_t)((2 * (i - lo) * 255 + (hi - lo)) / (2 * (hi - lo)));
}

/* As Pillow: each output value takes a step of the pixels that are not of the brightest colour. */
static void even_out(uint8_t to[256], const size_t count[256])
{
    size_t all = 0, last = 0;
    for (size_t i = 0; i < 256; i++) {
        all += count[i];
        if (count[i]) last = count[i];
    }
    const size_t step = (all - last) / 255;
    size_t before = step / 2;
    for (size_t i = 0; i < 256 && step; before += count[i++])
        to[i] = before / step > 255 ? 255 : (uint8_t)(before / step);
}

/* What every value of channel c becomes; base: what is blended with. */
static void make_table(uint8_t to[256], const vise_canvas *v, size_t c, vise_distortion what,
                       double amount, int base)
{
    const int factor = (int)lround(256 * (1 + 0.9 * amount));
    const int mask = 0xff & ~((1 << lround(4 * fabs(amount))) - 1);
    const int bright = (int)lround(256 - 256 * fabs(amount));
    size_t count[256] = {0};
    for (int i = 0; i < 256; i++) {
        to[i] = (uint8_t)i;
        if (what == VISE_BRIGHTNESS || what == VISE_CONTRAST) to[i] = blend(base, i, factor);
        if (what == VISE_POSTERIZE) to[i] = (uint8_t)(i & mask);
        if (what == VISE_SOLARIZE && i >= bright) to[i] = (uint8_t)(255 - i);
    }
    if (what != VISE_AUTOCONTRAST && what != VISE_EQUALIZE) return;
    for (size_t i = 0; i < v->height * v->width; i++)
        count[v->p[i * v->channels + c]]++;
    (what == VISE_EQUALIZE ? even_out : stretch)(to, count);
}

static int mean_luma(const vise_canvas *v)
{
    const size_t n = v->height * v->width;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v->channels == 1 ? v->p[i] : vise_luma(v->p + 3 * i);
    return n ? (int)((sum + n / 2) / n) : 0;
}

static void by_tables(vise_canvas *v, vise_distortion what, double amount)
{
    const int base = what == VISE_CONTRAST ? mean_luma(v) : 0;
    uint8_t to[256];
    for (size_t c = 0; c < v->channels; c++) {
        make_table(to, v, c, what, amount, base);
        uint8_t *p = v->p + c;
        for (size_t i = 0; i < v->height * v->width; i++, p += v->channels)
            *p = to[*p];
    }
}

/* ---- a pixel, or its neighbours ---- */

static void saturate(vise_canvas *v, double amount)
{
    const int factor = (int)lround(256 * (1 + 0.9 * amount));
    uint8_t *p = v->p;
    for (size_t i = 0; v->channels == 3 && i < v->height * v->width; i++, p += 3) {
        const int grey = vise_luma(p);
        for (size_t c = 0; c < 3; c++)
            p[c] = blend(grey, p[c], factor);
    }
}

/* Blends with the picture under Pillow's smoothing filter: 5 in the middle, 1 around, of 13. The
 * border stays. */
static void sharpen(vise_canvas *v, double amount)
{
    const int factor = (int)lround(256 * (1 + 0.9 * amount));
    const size_t step = v->channels, row = v->width * step;
    memcpy(v->spare, v->p, v->height * row);
    for (size_t y = 1; y + 1 < v->height; y++)
        for (size_t x = step; x + step < row; x++) {
            const uint8_t *p = v->p + y * row + x, *up = p - row, *down = p + row;
            const int sum = up[0] + *(up - step) + up[step] + down[0] + *(down - step) +
                            down[step] + *(p - step) + p[step] + 5 * p[0];
            v->spare[y * row + x] = blend((sum + 6) / 13, p[0], factor);
        }
    keep_spare(v);
}

/* ---- geometry ---- */

/* The picture at (x, y), both in fixed point and moved by ONE, so that they are not negative. */
static void sample(uint8_t *out, const vise_canvas *v, uint64_t x, uint64_t y)
{
    const size_t left = x / ONE, top = y / ONE;
    const uint32_t fx = x % ONE / 32, fy = y % ONE / 32; // of 2048: products fill 22 bits
    const uint32_t w[4] = {(2048 - fx) * (2048 - fy), fx * (2048 - fy), (2048 - fx) * fy, fx * fy};
    const uint8_t *p[4];
    for (size_t k = 0; k < 4; k++) {
        const size_t px = left + k % 2 - 1, py = top + k / 2 - 1; // wraps outside
        const bool inside = px < v->width && py < v->height;
        p[k] = inside ? v->p + (py * v->width + px) * v->channels : v->fill;
    }
    for (size_t c = 0; c < v->channels; c++) {
        const uint32_t sum = w[0] * p[0][c] + w[1] * p[1][c] + w[2] * p[2][c] + w[3] * p[3][c];
        out[c] = (uint8_t)((sum + (1u << 21)) >> 22);
    }
}

/* Every pixel takes what lies at m * (x, y) + move; both are counted from the middle. */
static void map(vise_canvas *v, const double m[4], double move_x, double move_y)
{
    const double cx = (double)(v->width - 1) / 2, cy = (double)(v->height - 1) / 2;
    const int64_t dx = llround(m[0] * ONE), dy = llround(m[2] * ONE);
    const int64_t w = ((int64_t)v->width + 1) * ONE, h = ((int64_t)v->height + 1) * ONE;
    uint8_t *out = v->spare;
    for (size_t i = 0; i < v->height; i++) {
        const double down = (double)i - cy;
        int64_t x = llround((cx - m[0] * cx + m[1] * down + move_x + 1) * ONE);
        int64_t y = llround((cy - m[2] * cx + m[3] * down + move_y + 1) * ONE);
        for (size_t j = 0; j < v->width; j++, x += dx, y += dy, out += v->channels) {
            if (x >= 0 && y >= 0 && x < w && y < h)
                sample(out, v, (uint64_t)x, (uint64_t)y);
            else
                memcpy(out, v->fill, v->channels);
        }
    }
    keep_spare(v);
}

void vise_distort(vise_canvas *v, vise_distortion what, double amount)
{
    const double angle = amount * PI / 6, c = cos(angle), s = sin(angle);
    const double move = 0.45 * amount, shear = 0.3 * amount, none[4] = {1, 0, 0, 1};
    switch (what) {
    case VISE_SATURATION:
        saturate(v, amount);
        return;
    case VISE_SHARPNESS:
        sharpen(v, amount);
        return;
    case VISE_SHEAR_X:
        map(v, (const double[]){1, shear, 0, 1}, 0, 0);
        return;
    case VISE_SHEAR_Y:
        map(v, (const double[]){1, 0, shear, 1}, 0, 0);
        return;
    case VISE_TRANSLATE_X:
        map(v, none, move * (double)v->width, 0);
        return;
    case VISE_TRANSLATE_Y:
        map(v, none, 0, move * (double)v->height);
        return;
    case VISE_ROTATE:
        map(v, (const double[]){c, -s, s, c}, 0, 0);
        return;
    default:
        by_tables(v, what, amount);
    }
}
