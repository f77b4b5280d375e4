/* scenes.c - synthetic pictures: lots are drawn, then every pixel is composed of what lies there
 * SPDX-License-Identifier: MIT */
#include "data/scenes.h"

#include "base/rng.h"
#include "data/scene_parts.h"

/* Fractions of a side have 16 bits, as have fractions of a turn. */
#define PERCENT(n) ((n)*65536 / 100)

enum {
    MAX_CLUTTER = 5,
    MAX_LAYERS = MAX_CLUTTER + 2,
    GROUND = 0, // what a pixel shows, in a mask
    OBJECT = 1,
    CLUTTER = 2,
    FRONT = 3,
    BANDS = 3,       // of brightness: ground, one colour of a piece and the other have one each
    MOST_HIDDEN = 4, // 1 in so many pixels of the object may lie behind what stands before it
};

typedef struct rgb {
    int32_t v[3];
} rgb;

/* One piece: a shape with a texture somewhere. */
typedef struct layer {
    int32_t (*shape)(int32_t x, int32_t y), (*ink)(int32_t s, int32_t t);
    int32_t cx, cy;       // middle, in widths and heights
    int32_t dx, dy;       // and so many shorter sides further
    int32_t radius;       // its unit, in shorter sides
    int32_t period;       // its texture's, likewise
    uint32_t turn, grain; // of the shape, of the texture
    int32_t s, t;         // where the texture starts
    rgb colour[2];        // of its body, of its ink
    uint8_t what;         // OBJECT, ...
    bool endless;         // the shape does not end at 1 unit
} layer;

/* What is on a picture, whatever its size. */
typedef struct lots {
    layer piece[MAX_LAYERS];
    size_t count, object; // its place among the pieces; a later one lies on top
    layer ground;         // its ink is relief
    int32_t relief;       // of 256 levels of brightness
    uint32_t light_turn;
    int32_t light; // how much brighter an edge is than the middle, of VISE_UNIT
    int32_t grain; // of the sensor: a channel's deviation is 0.41 of it
    vise_rng sensor;
} lots;

/* ---- drawing lots ---- */

static uint32_t below(vise_rng *r, uint32_t n)
{
    return (uint32_t)((vise_rng_u64(r) >> 32) * n >> 32);
}

static int32_t between(vise_rng *r, int32_t low, int32_t high) // high is out
{
    return low + (int32_t)below(r, (uint32_t)(high - low));
}

static vise_rng stream(uint64_t seed, uint64_t index)
{
    vise_rng r = {seed};
    r.state = vise_rng_u64(&r) ^ index;
    r.state = vise_rng_u64(&r);
    return r;
}

/* A colour of a brightness band: low, middle or high, at least 40 of 256 apart; any hue. */
static rgb draw_colour(vise_rng *r, uint32_t band)
{
    static const int32_t low[BANDS] = {30, 110, 190};
    const int32_t y = between(r, low[band], low[band] + 40);
    const int32_t red = between(r, -70, 71), blue = between(r, -70, 71);
    rgb c = {{y + red, y - (77 * red + 29 * blue) / 150, y + blue}};
    for (size_t i = 0; i < 3; i++)
        c.v[i] = c.v[i] < 0 ? 0 : c.v[i] > 255 ? 255 : c.v[i];
    return c;
}

static void draw_texture(layer *l, vise_rng *r, uint32_t texture)
{
    const vise_texture_part *part = &vise_texture_parts[texture];
    const int32_t far = part->centred ? VISE_UNIT / 2 : 1 << 25;
    l->ink = part->distance;
    l->period = between(r, PERCENT(23) / 2, PERCENT(16)) * part->scale / 100;
    l->grain = below(r, 65536);
    l->s = between(r, -far, far);
    l->t = between(r, -far, far);
}

/* A piece in the two bands that the ground does not have. */
static void draw_colours(layer *l, vise_rng *r, const uint32_t band[BANDS])
{
    l->colour[0] = draw_colour(r, band[1]);
    l->colour[1] = draw_colour(r, band[2]);
}

/* Which bands the ground, the object and its ink have. In three pictures of five the ground is dark
 * and the object light: a network has something to start from that the sum over many pictures
 * shows. In the others any order is as likely. */
static void draw_bands(uint32_t band[BANDS], vise_rng *r)
{
    const bool usual = below(r, 5) < 3;
    const uint32_t ground = below(r, BANDS), swap = below(r, 2);
    band[0] = usual ? 0 : ground;
    band[1] = usual ? 2 : (ground + 1 + swap) % BANDS;
    band[2] = usual ? 1 : (ground + 2 - swap) % BANDS;
}

static layer draw_object(vise_rng *r, uint32_t shape, uint32_t texture, const uint32_t band[BANDS])
{
    layer l = {.what = OBJECT, .shape = vise_shape_parts[shape].distance};
    l.radius = between(r, PERCENT(45), PERCENT(75)) / 2;
    l.cx = between(r, l.radius, 65537 - l.radius);
    l.cy = between(r, l.radius, 65537 - l.radius);
    l.turn = below(r, 65536);
    draw_texture(&l, r, texture);
    draw_colours(&l, r, band);
    return l;
}

/* Another shape, at most half as large as the object; every second piece is plain. */
static layer draw_clutter(vise_rng *r, uint32_t shape, int32_t object_radius,
                          const uint32_t band[BANDS])
{
    const int32_t radius = between(r, PERCENT(12), PERCENT(22)) / 2;
    layer l = {.what = CLUTTER};
    l.radius = radius < object_radius / 2 ? radius : object_radius / 2;
    l.shape = vise_shape_parts[(shape + 1 + below(r, VISE_SHAPES - 1)) % VISE_SHAPES].distance;
    l.cx = between(r, 0, 65536);
    l.cy = between(r, 0, 65536);
    l.turn = below(r, 65536);
    draw_texture(&l, r, below(r, 2) ? VISE_PLAIN : below(r, VISE_TEXTURES));
    const uint32_t swap = below(r, 2);
    draw_colours(&l, r, (const uint32_t[]){band[0], band[1 + swap], band[2 - swap]});
    return l;
}

static int32_t bar(int32_t x, int32_t y)
{
    (void)y;
    return (x < 0 ? -x : x) - VISE_UNIT;
}

/* A bar across the picture, or a disc, over some part of the object. */
static layer draw_front(vise_rng *r, const layer *object)
{
    layer l = {.what = FRONT, .cx = object->cx, .cy = object->cy};
    l.endless = below(r, 2);
    l.shape = l.endless ? bar : vise_shape_parts[0].distance;
    l.radius = l.endless ? between(r, PERCENT(6), PERCENT(10)) / 2
                         : between(r, PERCENT(16), PERCENT(30)) / 2;
    l.dx = between(r, -object->radius, object->radius);
    l.dy = between(r, -object->radius, object->radius);
    l.turn = below(r, 65536);
    draw_texture(&l, r, VISE_PLAIN);
    l.colour[0] = draw_colour(r, below(r, BANDS));
    return l;
}

/* ---- from pixels to a piece's own coordinates ---- */

/* sin(turn), of 2^14: a polynomial of a quarter that meets both its ends. */
static int32_t sine(uint32_t turn)
{
    const uint32_t quarter = turn >> 14 & 3;
    int32_t z = (int32_t)(turn & 16383);
    if (quarter & 1) z = 16384 - z;
    const int32_t zz = z * z >> 14;
    const int32_t value = z * (25733 - (zz * (10539 - (zz * 1190 >> 14)) >> 14)) >> 14;
    return quarter & 2 ? -value : value;
}

/* x = (a * X + b * Y + p) >> 16, y = (-b * X + a * Y + q) >> 16, in 1/4096 of a unit; X and Y count
 * half pixels, so that the middle of the first is at 1. */
typedef struct affine {
    int64_t a, b, p, q;
    int64_t pixels; // of a unit, 16 bits of fraction
} affine;

/*   unit  of the coordinates, in shorter sides   size  height and width of the picture */
static affine place(const layer *l, int32_t unit, uint32_t turn, const size_t size[2])
{
    const int64_t height = (int64_t)size[0], width = (int64_t)size[1];
    const int64_t side = height < width ? height : width;
    const int64_t cx = 2 * (l->cx * width + l->dx * side); // half pixels, 16 bits of fraction
    const int64_t cy = 2 * (l->cy * height + l->dy * side);
    affine f = {.pixels = unit * side};
    f.a = sine(turn + 16384) * ((int64_t)1 << 29) / f.pixels;
    f.b = sine(turn) * ((int64_t)1 << 29) / f.pixels;
    f.p = -(f.a * cx + f.b * cy) / 65536;
    f.q = -(f.a * cy - f.b * cx) / 65536;
    return f;
}

static void locate(int32_t *x, int32_t *y, const affine *f, int64_t half_x, int64_t half_y)
{
    *x = (int32_t)((f->a * half_x + f->b * half_y + f->p) >> 16);
    *y = (int32_t)((f->a * half_y - f->b * half_x + f->q) >> 16);
}

/* How much of a pixel lies inside, of 256: its edge is straight and goes by at that distance. */
static int32_t coverage(int32_t distance, const affine *f)
{
    const int64_t cover = 128 - (distance * f->pixels >> 20);
    return cover < 0 ? 0 : cover > 256 ? 256 : (int32_t)cover;
}

/* Is no more than its share of the object hidden? Counted on a picture of 64x64, so that the answer
 * is the same for every size. */
static bool shows_enough(const layer *object, const layer *front)
{
    const size_t size[2] = {64, 64};
    const affine o = place(object, object->radius, object->turn, size);
    const affine f = place(front, front->radius, front->turn, size);
    size_t all = 0, hidden = 0;
    for (int64_t i = 0; i < 64 * 64; i++) {
        int32_t x, y;
        locate(&x, &y, &o, 2 * (i % 64) + 1, 2 * (i / 64) + 1);
        if (x <= -VISE_UNIT || x >= VISE_UNIT || y <= -VISE_UNIT || y >= VISE_UNIT) continue;
        if (object->shape(x, y) >= 0) continue;
        all++;
        locate(&x, &y, &f, 2 * (i % 64) + 1, 2 * (i / 64) + 1);
        if (!front->endless && (x * (int64_t)x + y * (int64_t)y > VISE_UNIT * VISE_UNIT)) continue;
        hidden += front->shape(x, y) < 0;
    }
    return hidden * MOST_HIDDEN <= all;
}

/* ---- a scene ---- */

/* 10 classes are 5 shapes by 2 textures, 100 are 10 by 10. */
static uint32_t textures_of(const vise_scenes *s)
{
    return s->classes == 100 ? 10 : 2;
}

static void draw_lots(lots *out, const vise_scenes *s, size_t index)
{
    const uint32_t label = (uint32_t)vise_scene_label(s, index);
    const uint32_t shape = label / textures_of(s), texture = label % textures_of(s);
    vise_rng r = stream(s->seed, index);
    *out = (lots){0};
    uint32_t band[BANDS];
    draw_bands(band, &r);
    const layer object = draw_object(&r, shape, texture, band);
    out->object = (size_t)below(&r, MAX_CLUTTER - 1) + 2;
    for (size_t i = 0; i < out->object; i++)
        out->piece[i] = draw_clutter(&r, shape, object.radius, band);
    out->piece[out->object] = object;
    out->count = out->object + 1;
    if (below(&r, 2)) {
        const layer front = draw_front(&r, &object);
        if (shows_enough(&object, &front)) out->piece[out->count++] = front;
    }
    draw_texture(&out->ground, &r, VISE_PLAIN);
    out->ground.period *= 3;
    out->ground.colour[0] = draw_colour(&r, band[0]);
    out->relief = between(&r, 0, 48);
    out->light_turn = below(&r, 65536);
    out->light = between(&r, 0, VISE_UNIT / 4);
    out->grain = between(&r, 6, 20);
    out->sensor = r;
}

/* ---- pixels ---- */

/* A piece on a picture of some size. */
typedef struct placed {
    const layer *from;
    affine shape, ink;
    int64_t x0, y0, x1, y1; // pixels that it may touch; x1, y1 are out
} placed;

/* A picture being made. */
typedef struct canvas {
    const lots *lots;
    placed piece[MAX_LAYERS];
    affine ground;
    int64_t light_x, light_y; // brightness of half a pixel, 30 bits below VISE_UNIT's
    int64_t height, width;
    vise_rng sensor;
} canvas;

static placed place_layer(const layer *l, const size_t size[2])
{
    const int64_t height = (int64_t)size[0], width = (int64_t)size[1];
    const int64_t side = height < width ? height : width;
    placed p = {.from = l,
                .shape = place(l, l->radius, l->turn, size),
                .ink = place(l, l->period, l->grain, size),
                .x1 = width,
                .y1 = height};
    if (l->endless) return p;
    const int64_t r = l->radius * side, x = l->cx * width + l->dx * side,
                  y = l->cy * height + l->dy * side;
    const int64_t x0 = ((x - r) >> 16) - 1, x1 = ((x + r) >> 16) + 2;
    const int64_t y0 = ((y - r) >> 16) - 1, y1 = ((y + r) >> 16) + 2;
    p.x0 = x0 > 0 ? x0 : 0;
    p.y0 = y0 > 0 ? y0 : 0;
    p.x1 = x1 < width ? x1 : width;
    p.y1 = y1 < height ? y1 : height;
    return p;
}

static void set_up(canvas *c, const lots *from, const size_t size[2])
{
    const layer centre = {.cx = 32768, .cy = 32768};
    c->lots = from;
    c->height = (int64_t)size[0];
    c->width = (int64_t)size[1];
    c->sensor = from->sensor;
    c->ground = place(&centre, from->ground.period, from->ground.grain, size);
    c->light_x = (int64_t)from->light * sine(from->light_turn + 16384) * 65536 / c->width;
    c->light_y = (int64_t)from->light * sine(from->light_turn) * 65536 / c->height;
    for (size_t i = 0; i < from->count; i++)
        c->piece[i] = place_layer(&from->piece[i], size);
}

static int32_t mix(int32_t under, int32_t over, int32_t cover)
{
    return under + ((over - under) * cover >> 8);
}

/* Lays a piece over a pixel. True if it covers most of it. */
static bool lay(rgb *pixel, const placed *p, int64_t half_x, int64_t half_y)
{
    int32_t x, y;
    locate(&x, &y, &p->shape, half_x, half_y);
    const int32_t cover = coverage(p->from->shape(x, y), &p->shape);
    if (!cover) return false;
    locate(&x, &y, &p->ink, half_x, half_y);
    const int32_t ink = coverage(p->from->ink(x + p->from->s, y + p->from->t), &p->ink);
    for (size_t i = 0; i < 3; i++) {
        const int32_t own = mix(p->from->colour[0].v[i], p->from->colour[1].v[i], ink);
        pixel->v[i] = mix(pixel->v[i], own, cover);
    }
    return cover >= 128;
}

/* Colour of a pixel before light and sensor; returns what it shows. */
static uint8_t compose(rgb *pixel, const canvas *c, int64_t x, int64_t y)
{
    const layer *ground = &c->lots->ground;
    const int64_t half_x = 2 * x + 1, half_y = 2 * y + 1;
    uint8_t what = GROUND;
    int32_t s, t;
    locate(&s, &t, &c->ground, half_x, half_y);
    const int32_t relief =
        (vise_scene_noise(s + ground->s, t + ground->t) - VISE_UNIT / 2) * c->lots->relief >> 12;
    for (size_t i = 0; i < 3; i++)
        pixel->v[i] = ground->colour[0].v[i] + relief;
    for (size_t i = 0; i < c->lots->count; i++) {
        const placed *p = &c->piece[i];
        if (x < p->x0 || x >= p->x1 || y < p->y0 || y >= p->y1) continue;
        if (lay(pixel, p, half_x, half_y)) what = p->from->what;
    }
    return what;
}

/* Light falls on it, and the sensor adds two random bytes less their mean to each channel. */
static void expose(uint8_t out[3], const rgb *pixel, canvas *c, int64_t x, int64_t y)
{
    const int64_t light =
        c->light_x * (2 * x + 1 - c->width) + c->light_y * (2 * y + 1 - c->height);
    const int32_t gain = VISE_UNIT + (int32_t)(light >> 30);
    uint64_t bits = vise_rng_u64(&c->sensor);
    for (size_t i = 0; i < 3; i++, bits >>= 16) {
        const int32_t grain = (int32_t)(bits & 255) + (int32_t)(bits >> 8 & 255) - 255;
        const int32_t v = (pixel->v[i] * gain >> 12) + (grain * c->lots->grain >> 8);
        out[i] = v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
    }
}

static void grow(vise_scene *box, size_t x, size_t y)
{
    if (x < box->x0) box->x0 = x;
    if (y < box->y0) box->y0 = y;
    if (x >= box->x1) box->x1 = x + 1;
    if (y >= box->y1) box->y1 = y + 1;
}

/* ---- the interface ---- */

vise_status vise_scenes_check(const vise_scenes *s, vise_err *e)
{
    const size_t side[2] = {s->height, s->width};
    for (size_t i = 0; i < 2; i++)
        if (side[i] < VISE_SCENE_MIN_SIDE || side[i] > VISE_SCENE_MAX_SIDE)
            return vise_fail(e, VISE_EARG, "a %s of %zu pixels, not %d to %d",
                             i ? "width" : "height", side[i], VISE_SCENE_MIN_SIDE,
                             VISE_SCENE_MAX_SIDE);
    if (s->classes != 10 && s->classes != 100)
        return vise_fail(e, VISE_EARG, "classes=%zu, there are 10 or 100", s->classes);
    return VISE_OK;
}

size_t vise_scene_label(const vise_scenes *s, size_t index)
{
    vise_rng r = stream(~s->seed, index / s->classes);
    return (index % s->classes + below(&r, (uint32_t)s->classes)) % s->classes;
}

vise_status vise_scene_draw(vise_scene *out, uint8_t *picture, uint8_t *mask, const vise_scenes *s,
                            size_t index, vise_err *e)
{
    lots what;
    canvas c;
    VISE_TRY(vise_scenes_check(s, e));
    const size_t label = vise_scene_label(s, index);
    *out = (vise_scene){.label = label,
                        .shape = vise_shape_parts[label / textures_of(s)].name,
                        .texture = vise_texture_parts[label % textures_of(s)].name};
    if (!picture) return VISE_OK;
    draw_lots(&what, s, index);
    set_up(&c, &what, (const size_t[]){s->height, s->width});
    out->x0 = s->width;
    out->y0 = s->height;
    for (size_t y = 0; y < s->height; y++) {
        for (size_t x = 0; x < s->width; x++) {
            rgb pixel;
            const uint8_t shows = compose(&pixel, &c, (int64_t)x, (int64_t)y);
            expose(picture + (y * s->width + x) * 3, &pixel, &c, (int64_t)x, (int64_t)y);
            if (shows == OBJECT) grow(out, x, y);
            if (mask) mask[y * s->width + x] = shows;
        }
    }
    return VISE_OK;
}
