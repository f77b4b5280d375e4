/* edit.h - files of a test, and .vise files whose header text is changed
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_EDIT_H
#define TESTS_EDIT_H

#include "shared.h"

#include <string.h>

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

/* Bytes of a .vise file's header text. */
static inline size_t header_bytes(const vise_map *m)
{
    return (size_t)m->data[0] | (size_t)m->data[1] << 8 | (size_t)m->data[2] << 16;
}

/* out becomes in with the first `from` in its header replaced; all else stays as it is. */
static inline void edit_file(const char *in, const char *out, const char *from, const char *to)
{
    vise_err e;
    vise_map a;
    MUST(vise_map_open(&a, in, &e));
    const size_t header = header_bytes(&a);
    char *text = calloc(1, header + 1);
    assert_non_null(text);
    memcpy(text, a.data + 8, header);
    char *at = strstr(text, from);
    if (!at) fail_msg("the header has no %s", from);
    const size_t head = (size_t)(at - text), len = header - strlen(from) + strlen(to);
    FILE *f = fopen(out, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(len >> 8 * i & 255), f);
    fwrite(text, 1, head, f);
    fputs(to, f);
    fputs(at + strlen(from), f);
    fwrite(a.data + 8 + header, 1, a.size - 8 - header, f);
    assert_int_equal(fclose(f), 0);
    free(text);
    vise_map_close(&a);
}

#endif
