/* data.h: images, data sets in the layouts of MVTec AD, VisA and BTAD or plain folders, simulated anomalies, and a loader
 * that never depends on how many threads it has. Host only. */
#ifndef DIFFAD_DATA_H
#define DIFFAD_DATA_H

#include "diffad/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- images ---- */

/* 8-bit pixels, row-major, interleaved; channels 1 or 3; three channels are R,G,B in memory whatever the file.
 * 16-bit files are rounded to 8 bits, alpha is dropped (not blended), palettes are expanded, grey stays one channel
 * unless the caller asks for 3. */
typedef struct diffad_image {
    int      width, height, channels;
    uint8_t *pixels;
} diffad_image;

typedef struct diffad_image_limits {
    int64_t max_pixels;        /* 64 Mpx by default: refused from the header, before any decoding */
    int64_t max_file_bytes;    /* 256 MiB by default */
} diffad_image_limits;
DIFFAD_API diffad_image_limits diffad_image_limits_default(void);

/* channels: 0 as in the file (1 or 3), 1 or 3 to convert. Type by content, never by name. limits NULL: the defaults. */
DIFFAD_API diffad_status diffad_image_load(const char *path, int channels, const diffad_image_limits *limits, diffad_image *out);
DIFFAD_API diffad_status diffad_image_parse(const char *origin, const void *data, size_t bytes, int channels,
                                            const diffad_image_limits *limits, diffad_image *out);
DIFFAD_API diffad_status diffad_image_create(int width, int height, int channels, diffad_image *out);
DIFFAD_API void          diffad_image_release(diffad_image *image);
/* PNG by path; atomic. And PNG in new memory (release with diffad_memory_release). */
DIFFAD_API diffad_status diffad_image_save_png(const char *path, const diffad_image *image);
DIFFAD_API diffad_status diffad_image_encode_png(const diffad_image *image, unsigned char **data, int64_t *bytes);
DIFFAD_API void          diffad_memory_release(void *p);
/* OpenCV's cv::resize INTER_LINEAR on 8 bit (its fixed-point arithmetic, no antialiasing). */
DIFFAD_API diffad_status diffad_image_resize(const diffad_image *from, int width, int height, diffad_image *out);

/* ---- data sets ---- */

typedef struct diffad_item {
    const char *path;          /* image */
    const char *mask;          /* ground truth: a file, or a folder of files that add up (LOCO); NULL for a good image or where
                                  the set has none */
    const char *defect;        /* the kind's folder name: "good" ("ok" in BTAD), or the defect's ("bad" in VisA) */
    const char *group;         /* photographs of one part share it; NULL: not known */
    bool        anomalous;
    bool        mask_is_index; /* any value but 0 marks a pixel (VisA, LOCO) */
} diffad_item;

/* How a class folder is laid out, told from the folders in it:
 *
 *     MVTEC   train/good  test/KIND  ground_truth/KIND/NAME_mask.png (or NAME.png)
 *     LOCO    the same with test/logical_anomalies or structural_anomalies, ground_truth/KIND/NAME/NNN.png
 *     BTAD    train/ok  test/{ok,ko}  ground_truth/ko/NAME.png or .bmp
 *     VISA    Data/Images/{Normal,Anomaly}  Data/Masks/Anomaly  image_anno.csv; beside the class, split_csv/1cls.csv says
 *             what is for training and what for the test
 *     PLAIN   pictures of good parts; or, where there are none, sub-folders of them, one for each part */
typedef enum diffad_data_layout {
    DIFFAD_DATA_PLAIN, DIFFAD_DATA_MVTEC, DIFFAD_DATA_LOCO, DIFFAD_DATA_BTAD, DIFFAD_DATA_VISA
} diffad_data_layout;
DIFFAD_API const char *diffad_data_layout_name(diffad_data_layout l);      /* "MVTec AD", ... */

typedef struct diffad_dataset diffad_dataset;
/* `root` with class `name`; `name` NULL: root itself is the class folder or a plain folder (all images for training but
 * those of diffad_dataset_holdout, which serve for the threshold). Sorted bytewise. Errors: DATA, naming folder and cure.
 *
 * Groups: photographs of one part. In a plain folder no group is split between training and holdout. A part is told by, in
 * this order: FOLDER/groups.tsv (lines of path below FOLDER, tab, group); FOLDER/origin.tsv (path, tab, source: a view at
 * the source's end is left away); the sub-folder; the file's name without ending and without a view at its end, that is a
 * separator (_ - . space) and left, right, top, bottom, front, back, l or r, or one of cam, camera, view, shot, light,
 * lens, side, angle, rot, pos, crop, tile with a number or a letter: part12_cam1.png, part12-left.jpg. */
DIFFAD_API diffad_status diffad_dataset_open(const char *root, const char *name, diffad_dataset **out);
DIFFAD_API void          diffad_dataset_close(diffad_dataset *d);
DIFFAD_API const char   *diffad_dataset_class(const diffad_dataset *d);
DIFFAD_API diffad_data_layout diffad_dataset_layout(const diffad_dataset *d);
DIFFAD_API bool          diffad_dataset_is_plain(const diffad_dataset *d);         /* no test images, no masks */
DIFFAD_API int           diffad_dataset_train_count(const diffad_dataset *d);
DIFFAD_API const diffad_item *diffad_dataset_train(const diffad_dataset *d, int i);
DIFFAD_API int           diffad_dataset_test_count(const diffad_dataset *d);
DIFFAD_API const diffad_item *diffad_dataset_test(const diffad_dataset *d, int i);
/* Good images held back from training in a plain folder: every 10th group, the last of two to nine. */
DIFFAD_API int           diffad_dataset_holdout_count(const diffad_dataset *d);
DIFFAD_API const diffad_item *diffad_dataset_holdout(const diffad_dataset *d, int i);
/* The ground truth at width x height, 0 or 1 per pixel: `official` resizes bilinearly and keeps only pixels that stay
 * at 1.0 (reference section 9; an index mask counts as 0 and 255, as VisA's published preparation makes it), otherwise
 * nearest, and any value but 0 marks (in a JPEG, 128 and above). A good image has zeros. */
DIFFAD_API diffad_status diffad_dataset_mask(const diffad_item *item, int width, int height, bool official, uint8_t *mask);
/* Width and height of the image file, from its header. */
DIFFAD_API diffad_status diffad_dataset_size(const diffad_item *item, int *width, int *height);

/* ---- training samples ---- */

typedef struct diffad_loader_options {
    int         width, height;      /* pictures after the bilinear resize */
    int         channels;           /* 3, or 1 */
    bool        bgr;                /* channel order of the result; published: true */
    float       range_lo, range_hi; /* of the result; published: 0, 1 */
    const char *textures;           /* folder, searched recursively (of DTD's root, images/ alone); NULL: procedural */
    uint64_t    seed;
    uint32_t    stage;              /* part of the random key: stages do not share draws */
    int         threads;            /* 1..; never changes a sample */
    bool        rotate;             /* reference section 8 step 1: with probability 0.3 by U(-90,90) degrees */
    bool        anomalies;          /* false: augmented and mask stay unset (first stage) */
} diffad_loader_options;
DIFFAD_API diffad_loader_options diffad_loader_options_default(void);

/* One batch: planes N,C,H,W as float in [range_lo, range_hi]; masks N,1,H,W of 0/1. */
typedef struct diffad_batch {
    int      count;
    float   *image;            /* the normal image */
    float   *augmented;        /* the simulated anomaly (equal to image in half of the draws) */
    uint8_t *mask;
    int     *index;            /* [N] training image drawn */
    bool    *turned;           /* [N] whether it was rotated */
} diffad_batch;

typedef struct diffad_loader diffad_loader;
/* Draws with replacement: sample number s (counted over the whole training) depends on (seed, stage, s) alone. The data
 * set is borrowed: it outlives the loader. */
DIFFAD_API diffad_status diffad_loader_create(const diffad_dataset *d, const diffad_loader_options *o, diffad_loader **out);
DIFFAD_API void          diffad_loader_destroy(diffad_loader *l);
/* Samples first .. first+count-1. The batch stays valid until the next call. Asking for consecutive batches is fast:
 * the threads work ahead. */
DIFFAD_API diffad_status diffad_loader_get(diffad_loader *l, int64_t first, int count, const diffad_batch **out);
/* Any training or test image the way the loader would give it (no rotation): planes C,H,W. */
DIFFAD_API diffad_status diffad_picture_load(const char *path, const diffad_loader_options *o, float *planes);
/* The reverse: planes as an RGB image (values clamped to the range). */
DIFFAD_API diffad_status diffad_picture_to_image(const float *planes, const diffad_loader_options *o, diffad_image *out);

/* ---- procedural data (`diffad data synth`) and `data check` ---- */

typedef struct diffad_synth_options { int size, train, test_good, test_bad, textures; uint64_t seed; } diffad_synth_options;
/* dir/{CLASS}/... in MVTec layout with two classes, and dir/textures. Atomic per file; refuses a folder that is not empty. */
DIFFAD_API diffad_status diffad_data_synth(const char *dir, const diffad_synth_options *o);
DIFFAD_API diffad_synth_options diffad_synth_options_default(void);

typedef struct diffad_data_size { int width, height, channels, count; } diffad_data_size;
typedef struct diffad_data_class {
    char *name;
    diffad_data_layout layout;
    int   groups;                          /* of the training images, held-back ones included; 0: not known */
    int   holdout;                         /* of `train`: held back for the threshold */
    int   faults;                          /* of the layout: `train` or `eval` will refuse; each is a finding */
    int   straddling;                      /* test images of a group that has training images */
    int   unused;                          /* images that are neither for training nor for the test */
    int   train, test_good, test_bad;      /* images */
    int   unreadable;                      /* images or masks that cannot be decoded */
    int   masks, masks_missing;            /* of the anomalous images */
    int   masks_on_good;                   /* a good image has a mask that is not all 0 */
    int   masks_not_binary;                /* values besides 0 and 255 */
    int   masks_wrong_size, masks_empty;
    int   duplicates;                      /* test images whose pixels equal a training image's */
    diffad_data_size *sizes;               /* of the images, most frequent first */
    int   size_count;
} diffad_data_class;
typedef struct diffad_data_report {
    diffad_data_class *classes;
    int    class_count;
    char **findings;                       /* one line each: file, what is wrong with it, what to do */
    int    finding_count;
} diffad_data_report;
/* Looks at every file of the class folder, or of all class folders in `root`, or of the plain folder `root`. A fault of
 * the data is a finding, not a failure; the call fails when there is no data set at all. */
DIFFAD_API diffad_status diffad_data_check(const char *root, diffad_data_report **out);
DIFFAD_API void          diffad_data_report_release(diffad_data_report *r);

#ifdef __cplusplus
}
#endif

#endif
