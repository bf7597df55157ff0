/* zip_bytes.h: zip archives byte by byte, right ones and wrong ones. */
#ifndef DIFFAD_TEST_ZIP_BYTES_H
#define DIFFAD_TEST_ZIP_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct zip_part {
    const char *name;
    const void *data;
    size_t      bytes;
    /* What the headers say; 0: the truth. */
    uint32_t    method, crc, packed, size, flags;
    int         repeats;      /* this entry has the place of the one before: an overlap */
} zip_part;

/* Into out (room for `room`); returns the length. */
size_t zip_build(const zip_part *parts, int count, unsigned char *out, size_t room);
/* The archive of torch.save with this pickle and a storage "0" of `bytes` zeros. */
size_t zip_torch(const void *pickle, size_t length, size_t bytes, unsigned char *out, size_t room);

#endif
