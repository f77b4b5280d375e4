/* kl.h - how far apart two rows of logits are.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_KL_H
#define VISE_DATA_KL_H

#include <stddef.h>

/* KL(softmax(p) || softmax(q)) in nats.   p, q  in  [n], n >= 1 */
double vise_kl(const float *p, const float *q, size_t n);

#endif
