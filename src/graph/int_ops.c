/* int_ops.c - what the operators of integer networks share
 * SPDX-License-Identifier: MIT */
#include "graph/int_ops.h"

#include <math.h>

void vise_fixed_of(int32_t *mult, int32_t *shift, float f)
{
    enum { MANTISSA = 24, LEAST = -37, MOST = 15 };
    int exponent;
    const float part = frexpf(f, &exponent); // in [1/2, 1)
    const bool fits = f > 0 && isfinite(f) && exponent > LEAST && exponent <= MOST;
    *mult = fits ? (int32_t)ldexpf(part, MANTISSA) : 0;
    *shift = fits ? MANTISSA - exponent : MANTISSA;
}

void vise_int_read(int32_t *to, const float *from, size_t n, int32_t lo, int32_t hi)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] < (float)hi ? from[i] > (float)lo ? (int32_t)from[i] : lo : hi;
}

vise_requant vise_requant_read(int32_t *room, const float *bias, const float *mult, size_t n,
                               int64_t lo, int64_t hi)
{
    for (size_t i = 0; i < n; i++) {
        room[i] = 0;
        vise_fixed_of(&room[n + i], &room[2 * n + i], mult[i]);
    }
    if (bias) vise_int_read(room, bias, n, -VISE_INT_BIAS, VISE_INT_BIAS);
    return (vise_requant){room, room + n, room + 2 * n, (int32_t)lo, (int32_t)hi};
}

int vise_int_exponent(const float *x, size_t n, int exponents)
{
    enum { LANES = 8 }; // side by side: this runs for every row of a network
    float most[LANES] = {0}, all = 0;
    size_t i = 0;
    int r = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            most[k] = fabsf(x[i + k]) > most[k] ? fabsf(x[i + k]) : most[k];
    for (; i < n; i++)
        most[0] = fabsf(x[i]) > most[0] ? fabsf(x[i]) : most[0];
    for (size_t k = 0; k < LANES; k++)
        all = most[k] > all ? most[k] : all;
    while (r < exponents && all > (float)(VISE_INT_CODE << r))
        r++;
    return r;
}

vise_status vise_int_check_range(const vise_sig *s, int64_t lo, int64_t hi, vise_err *e)
{
    if (lo <= hi) return VISE_OK;
    return vise_fail(e, VISE_EFORMAT, "%s: results from %lld to %lld", s->name, (long long)lo,
                     (long long)hi);
}
