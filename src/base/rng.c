/* rng.c - splitmix64
 * SPDX-License-Identifier: MIT */
#include "base/rng.h"

vise_rng vise_rng_named(uint64_t seed, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; // FNV-1a
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    vise_rng r = {seed};
    r.state = vise_rng_u64(&r) ^ h;
    return r;
}

uint64_t vise_rng_u64(vise_rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float vise_rng_uniform(vise_rng *r)
{
    return (float)(vise_rng_u64(r) >> 40) * 0x1p-24f;
}

float vise_rng_normal(vise_rng *r)
{
    float sum = -6;
    for (int i = 0; i < 12; i++)
        sum += vise_rng_uniform(r);
    return sum;
}

void vise_rng_shuffle(vise_rng *r, uint32_t *x, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        const size_t k = (size_t)(vise_rng_u64(r) % (i + 1));
        const uint32_t was = x[i];
        x[i] = x[k];
        x[k] = was;
    }
}
