/* part.c: a turned steel washer on a mat, and plain-woven cloth. Coordinates run over [-1,1], y down. */
#include "data/part.h"

#include "data/texture.h"

#include <math.h>

typedef struct rgb { float r, g, b; } rgb;

/* Everything that is drawn once for a picture. */
typedef struct scene {
    float    pixel;                          /* one pixel in coordinates */
    uint32_t seed;
    float    cx, cy, turn, light;            /* position, angle, brightness */
    float    shade_x, shade_y;               /* direction from which light falls */
    /* the defect: */
    int      kind;                           /* -1: none */
    float    dx, dy, size, along_x, along_y, bend;
    uint32_t defect_seed;
} scene;

enum { SCRATCH, CHIP, RUST };                /* of the washer */
enum { HOLE, LOOSE_THREAD, STAIN };          /* of the cloth */
static const float outer = 0.72f, inner = 0.34f, thread = 0.125f;

const diffad_part diffad_parts[DIFFAD_PARTS] = {
    { "washer", { "scratch", "chip", "rust" } },
    { "cloth", { "hole", "loose_thread", "stain" } },
};

static rgb mix(rgb a, rgb b, float t)
{
    return (rgb){ a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b) };
}
static rgb scaled(rgb a, float f) { return (rgb){ a.r * f, a.g * f, a.b * f }; }

/* 1 inside (distance below 0), 0 outside, one pixel wide in between. */
static float cover(const scene *s, float distance)
{
    const float t = 0.5f - distance / (s->pixel * 1.5f);
    return t < 0 ? 0 : t > 1 ? 1 : t;
}

/* How far outside a spot with a ragged edge (x, y) lies. */
static float blob(const scene *s, float x, float y)
{
    const float u = x - s->dx, v = y - s->dy;
    const float ragged = diffad_fractal_noise(s->defect_seed, u / s->size * 2, v / s->size * 2, 3) - 0.5f;
    return sqrtf(u * u + v * v) - s->size * (1 + 0.7f * ragged);
}

/* How far outside a slightly bent stroke from the defect's place along its direction. */
static float stroke(const scene *s, float x, float y, float width)
{
    const float u = (x - s->dx) * s->along_x + (y - s->dy) * s->along_y,
                v = (y - s->dy) * s->along_x - (x - s->dx) * s->along_y;
    const float across = fabsf(v - s->bend * (u * u - s->size * s->size)) - fmaxf(width, 0.7f * s->pixel);
    return fmaxf(across, fabsf(u) - s->size);
}

static rgb mat(const scene *s, float x, float y)
{
    const float n = diffad_fractal_noise(s->seed + 7, x * 24, y * 24, 3);
    return scaled((rgb){ 0.22f, 0.26f, 0.30f }, 0.75f + 0.5f * n);
}

static rgb steel(const scene *s, float x, float y)
{
    const float rx = x - s->cx, ry = y - s->cy, radius = sqrtf(rx * rx + ry * ry), angle = atan2f(ry, rx) + s->turn;
    const float lathe = diffad_smooth_noise(s->seed + 1, radius * 70, angle * 1.5f) - 0.5f;
    const float gloss = cosf(2 * (angle - s->turn) - 2 * atan2f(s->shade_y, s->shade_x));
    const float slope = (rx * s->shade_x + ry * s->shade_y) / fmaxf(radius, 0.01f);
    const float rim = fmaxf(0, 1 - (outer - radius) / 0.05f) - fmaxf(0, 1 - (radius - inner) / 0.05f);
    return scaled((rgb){ 0.66f, 0.67f, 0.69f }, 1 + 0.10f * lathe + 0.13f * gloss + 0.35f * slope * rim);
}

static rgb washer(const scene *s, float x, float y, float *defect)
{
    const float rx = x - s->cx, ry = y - s->cy, radius = sqrtf(rx * rx + ry * ry);
    float metal = cover(s, fmaxf(radius - outer, inner - radius));
    const float ux = rx + 0.03f * s->shade_x, uy = ry + 0.03f * s->shade_y,
                shadow_radius = sqrtf(ux * ux + uy * uy);
    const float shadow = fmaxf(0, 1 - fabsf(shadow_radius - (shadow_radius > 0.5f ? outer : inner)) / 0.06f);
    const rgb below = scaled(mat(s, x, y), 1 - 0.5f * shadow);
    rgb top = steel(s, x, y);
    if (s->kind == SCRATCH) {
        *defect = cover(s, stroke(s, x, y, 0.018f)) * metal;
        top = mix(top, (rgb){ 0.93f, 0.93f, 0.91f }, 0.85f * *defect);
    } else if (s->kind == RUST) {
        *defect = cover(s, blob(s, x, y)) * metal;
        const float n = diffad_fractal_noise(s->defect_seed + 3, x * 14, y * 14, 3);
        top = mix(top, scaled((rgb){ 0.55f, 0.29f, 0.12f }, 0.6f + 0.8f * n), 0.9f * *defect);
    } else if (s->kind == CHIP) {
        *defect = cover(s, blob(s, x, y)) * metal;
        metal *= 1 - *defect;
    }
    return mix(below, top, metal);
}

/* Threads in both directions, each over and under in turn; a pulled-out stretch of one shows the dark ground. */
static rgb cloth(const scene *s, float x, float y, float *defect)
{
    const float c = cosf(s->turn), d = sinf(s->turn);
    const float u = (x * c + y * d + s->cx) / thread, v = (y * c - x * d + s->cy) / thread;
    const float fu = u - floorf(u), fv = v - floorf(v);
    const int checker = ((int)floorf(u) + (int)floorf(v)) & 1;
    const float across = checker ? fu : fv, along = checker ? fv : fu;
    const float round = sinf(3.1416f * across) * (0.7f + 0.3f * sinf(3.1416f * along));
    const float fibre = diffad_fractal_noise(s->seed + 5, checker ? u * 8 : u * 2, checker ? v * 2 : v * 8, 2);
    const rgb yarn = checker ? (rgb){ 0.72f, 0.66f, 0.52f } : (rgb){ 0.62f, 0.57f, 0.47f },
              ground = { 0.10f, 0.09f, 0.08f };
    rgb colour = scaled(yarn, 0.45f + 0.5f * round + 0.2f * fibre);
    if (s->kind == HOLE) {
        *defect = cover(s, blob(s, x, y));
        colour = mix(colour, scaled(ground, 0.7f + 0.6f * fibre), *defect);
    } else if (s->kind == STAIN) {
        *defect = cover(s, blob(s, x, y));
        colour = mix(colour, (rgb){ colour.r * 0.50f, colour.g * 0.32f, colour.b * 0.34f }, *defect);
    } else if (s->kind == LOOSE_THREAD) {
        *defect = cover(s, stroke(s, x, y, 0.35f * thread));
        colour = mix(colour, (rgb){ 0.86f, 0.82f, 0.72f }, *defect);
    }
    return colour;
}

static scene draw_scene(const diffad_part *part, int defect, diffad_rng *r, int side)
{
    const bool is_washer = part == &diffad_parts[0];
    scene s = { .pixel = 2.0f / (float)side, .seed = diffad_rng_u32(r), .kind = defect };
    s.cx = diffad_rng_between(r, -0.05f, 0.05f);
    s.cy = diffad_rng_between(r, -0.05f, 0.05f);
    s.turn = is_washer ? diffad_rng_between(r, 0, 6.2832f) : diffad_rng_between(r, -0.04f, 0.04f);
    s.light = diffad_rng_between(r, 0.94f, 1.06f);
    const float from = diffad_rng_between(r, -2.6f, -2.1f);
    s.shade_x = cosf(from);
    s.shade_y = sinf(from);

    const float at = diffad_rng_between(r, 0, 6.2832f), direction = diffad_rng_between(r, 0, 6.2832f);
    s.size = defect == LOOSE_THREAD && !is_washer ? diffad_rng_between(r, 0.18f, 0.45f)
                                                  : diffad_rng_between(r, 0.08f, 0.19f);
    s.size = fmaxf(s.size, 1.6f * s.pixel);
    const float reach = !is_washer       ? 0.6f * sqrtf(diffad_rng_uniform(r))
                        : defect == CHIP ? outer - 0.4f * s.size
                                         : (outer + inner) / 2;
    s.dx = s.cx + reach * cosf(at);
    s.dy = s.cy + reach * sinf(at);
    s.along_x = cosf(direction);
    s.along_y = sinf(direction);
    s.bend = diffad_rng_between(r, -0.6f, 0.6f);
    s.defect_seed = diffad_rng_u32(r);
    return s;
}

static uint8_t to_u8(float v) { return (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : v * 255 + 0.5f); }

void diffad_part_draw(const diffad_part *part, int defect, diffad_rng *r, diffad_image *image, diffad_image *mask)
{
    const int side = image->width;
    const scene s = draw_scene(part, defect, r, side);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const size_t i = (size_t)y * (size_t)side + (size_t)x;
            const float px = ((float)x + 0.5f) * s.pixel - 1, py = ((float)y + 0.5f) * s.pixel - 1;
            float hurt = 0;
            const rgb c = part == &diffad_parts[0] ? washer(&s, px, py, &hurt) : cloth(&s, px, py, &hurt);
            const float grain = (diffad_rng_uniform(r) - 0.5f) * 0.02f;      /* the camera's noise */
            image->pixels[3 * i] = to_u8(c.r * s.light + grain);
            image->pixels[3 * i + 1] = to_u8(c.g * s.light + grain);
            image->pixels[3 * i + 2] = to_u8(c.b * s.light + grain);
            mask->pixels[i] = hurt >= 0.5f ? 255 : 0;
        }
}
