/* image_pnm.c - binary PGM (P5) and PPM (P6), 8 and 16 bit
 * SPDX-License-Identifier: MIT */
#include "data/image.h"

#include <string.h>

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next decimal number of the header, behind spaces and comments; 0 if there is none. Numbers
 * stop growing at 10^9: larger than any limit. */
static size_t take_number(cursor *c)
{
    while (c->p < c->end && (is_space(*c->p) || *c->p == '#')) {
        const bool comment = *c->p == '#';
        while (comment && c->p < c->end && *c->p != '\n')
            c->p++;
        if (c->p < c->end) c->p++;
    }
    size_t n = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        if (n < 1000000000) n = n * 10 + (size_t)(*c->p - '0');
    return n;
}

/* n samples of 0..max, big endian if they take two bytes, as 0..255. 16-bit samples of full range
 * keep their high byte; other ranges are scaled and rounded. */
static void to_bytes(uint8_t *out, const uint8_t *in, size_t n, size_t max)
{
    if (max == 255) memcpy(out, in, n);
    if (max == 255) return;
    const size_t bytes = max > 255 ? 2 : 1;
    for (size_t i = 0; i < n; i++, in += bytes) {
        size_t v = bytes == 2 ? (size_t)in[0] << 8 | in[1] : in[0];
        if (v > max) v = max;
        out[i] = (uint8_t)(max == 65535 ? v >> 8 : (v * 255 + max / 2) / max);
    }
}

vise_status vise_image_pnm(vise_image *out, const uint8_t *bytes, size_t size,
                           const vise_image_opts *opts, vise_err *e)
{
    const size_t channels = bytes[1] == '6' ? 3 : 1;
    cursor c = {bytes + 2, bytes + size};
    const size_t width = take_number(&c), height = take_number(&c), max = take_number(&c);
    if (c.p == c.end || !is_space(*c.p))
        return vise_fail(e, VISE_EFORMAT, "damaged PPM: the header does not end in a space");
    c.p++;
    if (!max || max > 65535)
        return vise_fail(e, VISE_EFORMAT, "damaged PPM: a largest value of %zu, not 1 to 65535",
                         max);
    VISE_TRY(vise_image_check(height, width, opts, e));
    const size_t samples = height * width * channels, need = samples * (max > 255 ? 2 : 1);
    if (need > (size_t)(c.end - c.p))
        return vise_fail(e, VISE_EFORMAT,
                         "incomplete PPM: %zu x %zu pixels take %zu bytes, the file has %zu", width,
                         height, need, (size_t)(c.end - c.p));
    VISE_TRY(vise_image_new(out, height, width, channels, opts, e));
    to_bytes(out->data, c.p, samples, max);
    return VISE_OK;
}
