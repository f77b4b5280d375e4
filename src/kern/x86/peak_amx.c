/* peak_amx.c - peak loops of amx
 * SPDX-License-Identifier: MIT */
#include "kern/peak.h"

#include <immintrin.h>
#include <stdint.h>

enum { SUMS = 6 }; // of a turn; 16 cycles each, more than their latency together

/* Eight tiles of 16 rows of 64 bytes, full of zeros: with other data the clock may fall. */
static void tiles_start(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (size_t i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}

static float tiles_end(void)
{
    float out[16 * 16];
    _tile_stored(0, out, 64);
    _tile_release();
    return out[0];
}

static float tdpbssd(size_t turns, float x)
{
    tiles_start();
    for (size_t t = 0; t < turns; t++) {
        _tile_dpbssd(0, 6, 7);
        _tile_dpbssd(1, 6, 7);
        _tile_dpbssd(2, 6, 7);
        _tile_dpbssd(3, 6, 7);
        _tile_dpbssd(4, 6, 7);
        _tile_dpbssd(5, 6, 7);
    }
    return tiles_end() + x;
}

static float tdpbf16ps(size_t turns, float x)
{
    tiles_start();
    for (size_t t = 0; t < turns; t++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    return tiles_end() + x;
}

void vise_peak_amx(vise_peaks *p)
{
    vise_peaks_add(p, VISE_PEAK_S8, (vise_peak){"tdpbssd", SUMS * 2 * 16 * 16 * 64, tdpbssd});
    vise_peaks_add(p, VISE_PEAK_BF16, (vise_peak){"tdpbf16ps", SUMS * 2 * 16 * 16 * 32, tdpbf16ps});
}
