/* json.h - one JSON object per line of stdout, keys in the order they were put in.
 *
 * Running out of memory ends the program. Numbers that JSON has no word for become null.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_JSON_H
#define VISE_CLI_JSON_H

#include <jansson.h>
#include <stdint.h>

json_t *js_object(void);
json_t *js_array(void);
json_t *js_text(const char *s); // NULL: null; bytes that are not UTF-8 become '?'
json_t *js_count(uint64_t n);
json_t *js_real(double x); // printed with 9 digits
json_t *js_f32(float x);   // printed with as few digits as read back as the same f32

/* Both take v. */
void js_put(json_t *object, const char *key, json_t *v);
void js_add(json_t *array, json_t *v);

void js_print(json_t *v); // and a newline; takes v

#endif
