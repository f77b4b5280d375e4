/* cmd_data.c - vise data: synthetic pictures as files
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "progress.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct data_opts {
    size_t count;
    opt_size size;
    uint32_t classes;
    const char *sheet;
} data_opts;

#define AT(field) offsetof(data_opts, field)

static const opt table[] = {
    {"count", OPT_COUNT, AT(count), "N", "pictures (default 1000)", 1},
    {"size", OPT_SIZE, AT(size), "HxW", "pixels, or N for a square (default 64)", 0},
    {"classes", OPT_U32, AT(classes), "N", "10, the default, or 100", 1},
    {"sheet", OPT_TEXT, AT(sheet), "FILE", "the first 100 pictures in one, too: a PPM", 0},
    {0},
};

enum {
    COLUMNS = 10, // of a sheet
    MOST_SHOWN = 100,
    GAP = 2,          // pixels between its pictures
    PATH = 4096 + 64, // bytes of a path in OUT
    MOST_OUT = 4000,  // bytes of OUT
};

/* A folder being written, under a name of its own until it is whole. */
typedef struct writer {
    vise_scenes scenes;
    size_t count, made;
    char temp[PATH];
    uint8_t *picture, *mask; // [height, width, 3], [height, width]
    FILE *labels, *boxes;
    uint8_t *sheet; // [sheet_height, sheet_width, 3], or NULL
    size_t sheet_height, sheet_width;
} writer;

static vise_status cannot(const char *what, const char *path, vise_err *e)
{
    return cli_fail(e, VISE_EIO, "%s: cannot %s: %s", path, what, strerror(errno));
}

/* "folder/name" in text, which has PATH bytes. */
static const char *name_in(char *text, const char *folder, const char *name)
{
    snprintf(text, PATH, "%.4080s/%.60s", folder, name);
    return text;
}

static vise_status close_file(FILE *f, const char *path, vise_err *e)
{
    const bool lost = ferror(f) != 0;
    if (fclose(f) || lost) return cannot("write", path, e);
    return VISE_OK;
}

/* A binary PPM or PGM. */
static vise_status write_pnm(const char *path, const uint8_t *data, const size_t extent[3],
                             vise_err *e)
{
    FILE *f = fopen(path, "wb");
    if (!f) return cannot("write", path, e);
    fprintf(f, "P%c\n%zu %zu\n255\n", extent[2] == 3 ? '6' : '5', extent[1], extent[0]);
    fwrite(data, 1, extent[0] * extent[1] * extent[2], f);
    return close_file(f, path, e);
}

static void put_on_sheet(writer *w, size_t i)
{
    const size_t row = 3 * w->scenes.width;
    const size_t x = i % COLUMNS * (w->scenes.width + GAP) + GAP;
    const size_t y = i / COLUMNS * (w->scenes.height + GAP) + GAP;
    for (size_t k = 0; k < w->scenes.height; k++)
        memcpy(w->sheet + 3 * ((y + k) * w->sheet_width + x), w->picture + k * row, row);
}

static vise_status write_one(writer *w, size_t i, vise_err *e)
{
    const size_t height = w->scenes.height, width = w->scenes.width;
    char name[40], path[PATH];
    vise_scene s;
    w->made = i + 1;
    TRY(vise_scene_draw(&s, w->picture, w->mask, &w->scenes, i, e));
    snprintf(name, sizeof name, "masks/%06zu.pgm", i);
    TRY(write_pnm(name_in(path, w->temp, name), w->mask, (size_t[]){height, width, 1}, e));
    snprintf(name, sizeof name, "images/%06zu.ppm", i);
    TRY(write_pnm(name_in(path, w->temp, name), w->picture, (size_t[]){height, width, 3}, e));
    fprintf(w->labels, "%s,%zu\n", name, s.label);
    fprintf(w->boxes, "%s,%zu,%zu,%zu,%zu,%zu\n", name, s.label, s.x0, s.y0, s.x1, s.y1);
    if (w->sheet && i < MOST_SHOWN) put_on_sheet(w, i);
    return VISE_OK;
}

/* The classes' names, one a line: the first pictures have each class once. */
static vise_status write_classes(const writer *w, vise_err *e)
{
    char path[PATH];
    FILE *f = fopen(name_in(path, w->temp, "classes.txt"), "w");
    if (!f) return cannot("write", path, e);
    for (size_t label = 0, i = 0; label < w->scenes.classes; label++) {
        vise_scene s;
        do
            vise_scene_draw(&s, NULL, NULL, &w->scenes, i++ % w->scenes.classes, NULL);
        while (s.label != label);
        fprintf(f, "%s %s\n", s.texture, s.shape);
    }
    return close_file(f, path, e);
}

static vise_status open_table(FILE **f, const writer *w, const char *name, const char *heading,
                              vise_err *e)
{
    char path[PATH];
    *f = fopen(name_in(path, w->temp, name), "w");
    if (!*f) return cannot("write", path, e);
    fputs(heading, *f);
    return VISE_OK;
}

static vise_status make_folder(const char *folder, const char *name, vise_err *e)
{
    char path[PATH];
    return mkdir(name_in(path, folder, name), 0777) ? cannot("make", path, e) : VISE_OK;
}

static vise_status write_all(writer *w, bool quiet, vise_err *e)
{
    progress p;
    TRY(make_folder(w->temp, "images", e));
    TRY(make_folder(w->temp, "masks", e));
    TRY(write_classes(w, e));
    TRY(open_table(&w->labels, w, "labels.csv", "path,label\n", e));
    TRY(open_table(&w->boxes, w, "boxes.csv", "path,class,x0,y0,x1,y1\n", e));
    vise_status s = VISE_OK;
    progress_begin(&p, quiet);
    for (size_t i = 0; !s && i < w->count; i++) {
        s = write_one(w, i, e);
        if (!s && !progress_step(&p, "pictures", i + 1, w->count))
            s = cli_fail(e, VISE_ECANCEL, "stopped after %zu pictures", i + 1);
    }
    progress_end(&p);
    return s;
}

/* Closes what is open; what was lost before shows here. */
static vise_status close_tables(writer *w, vise_status s, vise_err *e)
{
    if (w->labels) {
        const vise_status c = close_file(w->labels, "labels.csv", s ? NULL : e);
        if (!s) s = c;
    }
    if (w->boxes) {
        const vise_status c = close_file(w->boxes, "boxes.csv", s ? NULL : e);
        if (!s) s = c;
    }
    return s;
}

static void remove_all(const writer *w)
{
    static const char *const rest[] = {"classes.txt", "labels.csv", "boxes.csv",
                                       "images",      "masks",      ""};
    char name[40], path[PATH];
    for (size_t i = 0; i < w->made; i++) {
        snprintf(name, sizeof name, "images/%06zu.ppm", i);
        remove(name_in(path, w->temp, name));
        snprintf(name, sizeof name, "masks/%06zu.pgm", i);
        remove(name_in(path, w->temp, name));
    }
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        remove(name_in(path, w->temp, rest[i]));
}

/* OUT may be an empty folder or not there. */
static vise_status check_out(const char *out, vise_err *e)
{
    if (!*out || strlen(out) > MOST_OUT)
        return cli_fail(e, VISE_EARG, "a folder's name has 1 to %d bytes", MOST_OUT);
    DIR *d = opendir(out);
    if (!d && errno == ENOENT) return VISE_OK;
    if (!d) return cannot("list", out, e);
    const struct dirent *entry;
    bool empty = true;
    while (empty && (entry = readdir(d)))
        empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
    closedir(d);
    return empty ? VISE_OK : cli_fail(e, VISE_EARG, "%s: there are files in it already", out);
}

static vise_status allocate(writer *w, bool sheet, vise_err *e)
{
    const size_t height = w->scenes.height, width = w->scenes.width;
    const size_t shown = w->count < MOST_SHOWN ? w->count : MOST_SHOWN;
    const size_t columns = shown < COLUMNS ? shown : COLUMNS;
    w->picture = malloc(height * width * 3);
    w->mask = malloc(height * width);
    w->sheet_height = (shown + COLUMNS - 1) / COLUMNS * (height + GAP) + GAP;
    w->sheet_width = columns * (width + GAP) + GAP;
    if (sheet) w->sheet = malloc(w->sheet_height * w->sheet_width * 3);
    if (!w->picture || !w->mask || (sheet && !w->sheet))
        return cli_fail(e, VISE_ENOMEM, "out of memory: pictures of %zux%zu", height, width);
    if (sheet) memset(w->sheet, 255, w->sheet_height * w->sheet_width * 3);
    return VISE_OK;
}

/* Writes the folder under a temporary name, then gives it its own. */
static vise_status write_folder(writer *w, const cli_call *c, const char *out, vise_err *e)
{
    const data_opts *o = c->opts;
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        n--;
    TRY(allocate(w, o->sheet != NULL, e));
    snprintf(w->temp, sizeof w->temp, "%.*s.part", (int)n, out);
    if (mkdir(w->temp, 0777)) return cannot("make", w->temp, e);
    vise_status s = close_tables(w, write_all(w, c->quiet, e), e);
    if (!s && w->sheet)
        s = write_pnm(o->sheet, w->sheet, (size_t[]){w->sheet_height, w->sheet_width, 3}, e);
    if (!s && rename(w->temp, out)) s = cannot("rename", w->temp, e);
    if (s) remove_all(w);
    return s;
}

static void print_result(const cli_call *c, const writer *w)
{
    const vise_scenes *s = &w->scenes;
    if (!c->json) {
        printf("%s: %zu pictures of %zux%zu, %zu classes, seed %llu\n", c->args[1], w->count,
               s->height, s->width, s->classes, (unsigned long long)s->seed);
        return;
    }
    json_t *j = js_object();
    js_put(j, "out", js_text(c->args[1]));
    js_put(j, "pictures", js_count(w->count));
    js_put(j, "height", js_count(s->height));
    js_put(j, "width", js_count(s->width));
    js_put(j, "classes", js_count(s->classes));
    js_put(j, "seed", js_count(s->seed));
    js_print(j);
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const data_opts *o = c->opts;
    writer w = {.count = o->count};
    w.scenes = (vise_scenes){c->seed, o->size.height, o->size.width, o->classes};
    if (strcmp(c->args[0], "scenes"))
        return cli_fail(e, VISE_EARG, "data knows one kind of pictures, scenes, and not %s",
                        c->args[0]);
    TRY(vise_scene_draw(&(vise_scene){0}, NULL, NULL, &w.scenes, 0, e));
    TRY(check_out(c->args[1], e));
    const vise_status s = write_folder(&w, c, c->args[1], e);
    free(w.sheet);
    free(w.mask);
    free(w.picture);
    if (!s) print_result(c, &w);
    return s;
}

static const data_opts defaults = {.count = 1000, .size = {64, 64}, .classes = 10};

const cli_command cmd_data = {
    .name = "data",
    .args = "scenes OUT",
    .summary = "make a folder of synthetic pictures",
    .about =
        "OUT becomes a folder of images (PPM) with labels.csv, boxes.csv of each object, masks "
        "(PGM: 0 ground, 1 object, 2 clutter, 3 what stands before it) and classes.txt. Each "
        "picture shows one large object among clutter; its shape and its texture are the "
        "class. The same --seed gives the same pictures on every machine.\n\n"
        "No folder is needed to use them: --data scenes:count=1000,size=64,seed=0,classes=10 "
        "draws the same pictures when they are read, in every command.",
    .table = table,
    .defaults = &defaults,
    .opts_size = sizeof(data_opts),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
