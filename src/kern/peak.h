/* peak.h - loops that keep the multipliers of a CPU level busy from registers alone: what a matrix
 * product is measured against.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_KERN_PEAK_H
#define VISE_KERN_PEAK_H

#include <stddef.h>

typedef enum vise_peak_type {
    VISE_PEAK_F32,
    VISE_PEAK_BF16,
    VISE_PEAK_S8,
    VISE_PEAK_TYPES
} vise_peak_type;

enum { VISE_PEAK_LOOPS = 8 };

typedef struct vise_peak {
    const char *name; // the instruction
    double ops;       // of one turn: 2 per multiplication and addition
    /* Runs the loop; the result depends on x, so that no compiler drops the work. */
    float (*run)(size_t turns, float x);
} vise_peak;

/* The loops of a mask of levels. Which is fastest is the processor's affair: measure. */
typedef struct vise_peaks {
    vise_peak loop[VISE_PEAK_TYPES][VISE_PEAK_LOOPS];
    size_t n[VISE_PEAK_TYPES];
} vise_peaks;

void vise_peaks_init(vise_peaks *p, unsigned cpu);
void vise_peaks_add(vise_peaks *p, vise_peak_type type, vise_peak loop);

/* One function per level, each adding its loops. */
void vise_peak_avx2(vise_peaks *p);
void vise_peak_avx512(vise_peaks *p);
void vise_peak_vnni(vise_peaks *p);
void vise_peak_bf16(vise_peaks *p);
void vise_peak_amx(vise_peaks *p);
void vise_peak_neon(vise_peaks *p);
void vise_peak_dotprod(vise_peaks *p);
void vise_peak_i8mm(vise_peaks *p);

#endif
