/* json.c - results as JSON lines, by jansson
 * SPDX-License-Identifier: MIT */
#include "json.h"
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *got(json_t *v)
{
    if (!v) cli_no_memory();
    return v;
}

json_t *js_object(void)
{
    return got(json_object());
}

json_t *js_array(void)
{
    return got(json_array());
}

json_t *js_text(const char *s)
{
    if (!s) return json_null();
    json_t *v = json_string(s);
    if (v) return v;

    char *ascii = cli_alloc(strlen(s) + 1, 1); // not UTF-8, and JSON takes nothing else
    for (size_t i = 0; s[i]; i++)
        ascii[i] = (char)((unsigned char)s[i] < 0x80 ? s[i] : '?');
    v = got(json_string(ascii));
    free(ascii);
    return v;
}

json_t *js_count(uint64_t n)
{
    return got(json_integer((json_int_t)n));
}

json_t *js_real(double x)
{
    return isfinite(x) ? got(json_real(x)) : json_null();
}

json_t *js_f32(float x)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) break;
    }
    return js_real(strtod(text, NULL));
}

void js_put(json_t *object, const char *key, json_t *v)
{
    if (json_object_set_new(object, key, v)) cli_no_memory();
}

void js_add(json_t *array, json_t *v)
{
    if (json_array_append_new(array, v)) cli_no_memory();
}

void js_print(json_t *v)
{
    char *line = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (!line) cli_no_memory();
    puts(line);
    free(line);
    json_decref(v);
}
