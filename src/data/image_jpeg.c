/* image_jpeg.c: JPEG through libjpeg, refusing what it would only warn about.
 *
 * libjpeg invents pixels for missing or damaged data and counts a warning. Such a picture must not be scored: every
 * warning but two harmless ones ends the decoding. CMYK is taken as Adobe writes it (inverted), marker or not, and
 * converted as OpenCV does: R = K - ((255 - C) K >> 8). */
#include "data/image_internal.h"

#include "base/sys.h"

#include <string.h>

#ifdef DIFFAD_HAVE_JPEG
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>
#endif

enum { MAX_SCANS = 100 };     /* a progressive file of ordinary making has about ten */

/* Finds the frame header (SOFn) among the markers. */
diffad_status diffad_jpeg_header(const diffad_image_source *s, diffad_image_header *out)
{
    const unsigned char *d = s->data;
    size_t at = 2;
    while (at + 4 <= s->bytes) {
        if (d[at] != 0xff ||
            d[at + 1] == 0xff) { /* fill bytes and rubbish between markers are legal or harmless */
            at++;
            continue;
        }
        const int marker = d[at + 1];
        if (marker == 0xda || marker == 0xd9)
            break;
        if (marker == 0 || marker == 1 || (marker >= 0xd0 && marker <= 0xd8)) {
            at += 2;
            continue;
        }
        const size_t length = (size_t)d[at + 2] << 8 | d[at + 3];
        const bool is_frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
                              marker != 0xcc;
        if (is_frame && length >= 8 && at + 10 <= s->bytes) {
            const unsigned height = (unsigned)d[at + 5] << 8 | d[at + 6],
                           width = (unsigned)d[at + 7] << 8 | d[at + 8];
            const int components = at + 9 < s->bytes ? d[at + 9] : 0;
            if (components != 1 && components != 3 && components != 4)
                DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: JPEG with %d components is not supported; convert it to RGB",
                            s->origin, components);
            DIFFAD_TRY(diffad_image_check_size(s, width, height));
            *out = (diffad_image_header){ .width = (int)width,
                                          .height = (int)height,
                                          .channels = components == 1 ? 1 : 3 };
            return DIFFAD_OK;
        }
        at += 2 + length;
    }
    DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: JPEG cut off or damaged: no frame header; copy the file again", s->origin);
}

#ifdef DIFFAD_HAVE_JPEG

typedef struct jpeg_job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr         errors;
    struct jpeg_progress_mgr      progress;
    jmp_buf                       back;
    char                          text[JMSG_LENGTH_MAX];
    bool                          memory_out;
    const diffad_image_source    *source;
    diffad_image                  image;
    unsigned char                *line;      /* CMYK */
    diffad_status                 status;
} jpeg_job;

static void give_up(j_common_ptr c)
{
    jpeg_job *job = c->client_data;
    job->memory_out = c->err->msg_code == JERR_OUT_OF_MEMORY;
    c->err->format_message(c, job->text);
    longjmp(job->back, 1);
}

static void on_message(j_common_ptr c, int level)
{
    const int code = c->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM)
        give_up(c);
}

static void on_print(j_common_ptr c) { (void)c; }

static void on_progress(j_common_ptr c)
{
    jpeg_job *job = c->client_data;
    if (job->jpeg.input_scan_number <= MAX_SCANS)
        return;
    snprintf(job->text, sizeof job->text, "more than %d scans", MAX_SCANS);
    longjmp(job->back, 1);
}

static void line_from_cmyk(const unsigned char *cmyk, int width, uint8_t *rgb)
{
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        const int k = cmyk[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(k - ((255 - cmyk[c]) * k >> 8));
    }
}

/* Runs under setjmp: everything that must survive a jump lives in the job. */
static void decode(jpeg_job *job)
{
    struct jpeg_decompress_struct *j = &job->jpeg;
    jpeg_create_decompress(j);
    j->client_data = job;
    j->progress = &job->progress;
    jpeg_mem_src(j, job->source->data, (unsigned long)job->source->bytes);
    jpeg_read_header(j, TRUE);
    if ((job->status = diffad_image_check_size(job->source, j->image_width, j->image_height)) != DIFFAD_OK)
        return;
    const int channels = j->num_components == 1 ? 1 : 3;
    if (j->num_components == 2 || j->num_components > 4) {
        job->status = diffad_fail(DIFFAD_ERR_DATA,
                                  "%s: JPEG with %d components is not supported; convert it to RGB",
                                  job->source->origin, j->num_components);
        return;
    }
    j->out_color_space = channels == 1 ? JCS_GRAYSCALE : j->num_components == 4 ? JCS_CMYK : JCS_RGB;
    /* Coefficients of a progressive file: two bytes for each of up to four components, padded to whole blocks. */
    j->mem->max_memory_to_use = (long)j->image_width * (long)j->image_height * 12 + (64L << 20);
    job->status = diffad_image_create((int)j->image_width, (int)j->image_height, channels, &job->image);
    if (job->status == DIFFAD_OK && j->num_components == 4 && !(job->line = diffad_alloc_array(j->image_width, 4)))
        job->status = diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory for decoding the JPEG", job->source->origin);
    if (job->status != DIFFAD_OK)
        return;
    jpeg_start_decompress(j);
    while (j->output_scanline < j->output_height) {
        uint8_t *to = job->image.pixels + (size_t)j->output_scanline * (size_t)job->image.width * (size_t)channels;
        JSAMPROW row = job->line ? job->line : to;
        if (jpeg_read_scanlines(j, &row, 1) == 1 && job->line)
            line_from_cmyk(job->line, job->image.width, to);
    }
    jpeg_finish_decompress(j);      /* reads on to the end-of-image marker */
}

diffad_status diffad_jpeg_decode(const diffad_image_source *s, diffad_image *out)
{
    diffad_image_header h = { 0 };
    DIFFAD_TRY(diffad_jpeg_header(s, &h));
    jpeg_job *job = diffad_alloc(sizeof *job);
    if (!job)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for decoding the JPEG", s->origin);
    job->source = s;
    job->jpeg.err = jpeg_std_error(&job->errors);
    job->jpeg.client_data = job;
    job->errors.error_exit = give_up;
    job->errors.emit_message = on_message;
    job->errors.output_message = on_print;
    job->progress.progress_monitor = on_progress;
    if (setjmp(job->back) == 0)
        decode(job);
    else
        job->status =
            job->memory_out
                ? diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory for decoding the JPEG", s->origin)
                : diffad_fail(
                      DIFFAD_ERR_DATA,
                      "%s: JPEG cut off, damaged or of an unsupported kind: %s; copy or convert the file",
                      s->origin, job->text);
    jpeg_destroy_decompress(&job->jpeg);
    const diffad_status st = job->status;
    if (st == DIFFAD_OK)
        *out = job->image;
    else
        diffad_image_release(&job->image);
    diffad_release(job->line);
    diffad_release(job);
    return st;
}

#else

/* stb_image takes a JPEG that is cut off, so the end-of-image marker is asked for here. */
diffad_status diffad_jpeg_decode(const diffad_image_source *s, diffad_image *out)
{
    diffad_image_header h = { 0 };
    DIFFAD_TRY(diffad_jpeg_header(s, &h));
    size_t end = s->bytes;
    while (end > 2 && s->data[end - 1] == 0)
        end--;
    if (s->data[end - 2] != 0xff || s->data[end - 1] != 0xd9)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: JPEG cut off: no end-of-image marker; copy the file again", s->origin);
    return diffad_stb_decode(s, &h, out);
}

#endif
