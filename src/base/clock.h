/* clock.h - a clock that only moves forward.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_CLOCK_H
#define VISE_BASE_CLOCK_H

double vise_seconds(void); // since some moment in the past

#endif
