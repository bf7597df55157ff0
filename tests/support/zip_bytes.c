/* zip_bytes.c: zip archives byte by byte (APPNOTE 4.3). */
#include "zip_bytes.h"

#include <stdlib.h>
#include <string.h>

typedef struct sink { unsigned char *at, *end; } sink;

static void put(sink *s, const void *from, size_t n)
{
    if ((size_t)(s->end - s->at) < n)
        abort();
    memcpy(s->at, from, n);
    s->at += n;
}

static void little(sink *s, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        put(s, &(unsigned char){ (unsigned char)v }, 1);
}

static uint32_t crc32_of(const unsigned char *p, size_t n)
{
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
    }
    return ~c;
}

/* From the version needed to the lengths of name and extra field. */
static void header(sink *s, const zip_part *p)
{
    little(s, 20, 2);
    little(s, p->flags, 2);
    little(s, p->method, 2);
    little(s, 0, 4);
    little(s, p->crc ? p->crc : crc32_of(p->data, p->bytes), 4);
    little(s, p->packed ? p->packed : (uint32_t)p->bytes, 4);
    little(s, p->size ? p->size : (uint32_t)p->bytes, 4);
    little(s, (uint32_t)strlen(p->name), 2);
    little(s, 0, 2);
}

size_t zip_build(const zip_part *parts, int count, unsigned char *out, size_t room)
{
    sink     s = { out, out + room };
    uint32_t at[64] = { 0 };
    for (int i = 0; i < count; i++) {
        at[i] = parts[i].repeats ? at[i - 1] : (uint32_t)(s.at - out);
        if (parts[i].repeats)
            continue;
        put(&s, "PK\3\4", 4);
        header(&s, &parts[i]);
        put(&s, parts[i].name, strlen(parts[i].name));
        put(&s, parts[i].data, parts[i].bytes);
    }
    const uint32_t directory = (uint32_t)(s.at - out);
    for (int i = 0; i < count; i++) {
        put(&s, "PK\1\2", 4);
        little(&s, 20, 2);
        header(&s, &parts[i]);
        little(&s, 0, 2);      /* comment, disk, attributes */
        little(&s, 0, 2);
        little(&s, 0, 2);
        little(&s, 0, 4);
        little(&s, at[i], 4);
        put(&s, parts[i].name, strlen(parts[i].name));
    }
    const uint32_t end = (uint32_t)(s.at - out);
    put(&s, "PK\5\6", 4);
    little(&s, 0, 4);
    little(&s, (uint32_t)count, 2);
    little(&s, (uint32_t)count, 2);
    little(&s, end - directory, 4);
    little(&s, directory, 4);
    little(&s, 0, 2);
    return (size_t)(s.at - out);
}

size_t zip_torch(const void *pickle, size_t length, size_t bytes, unsigned char *out, size_t room)
{
    void          *zeros = calloc(bytes + 1, 1);
    const zip_part parts[] = { { .name = "a/data.pkl", .data = pickle, .bytes = length }, { .name = "a/data/0", .data = zeros, .bytes = bytes } };
    const size_t   n = zip_build(parts, 2, out, room);
    free(zeros);
    return n;
}
