/* test_pickle.c: files of torch.save that are damaged or hostile, byte by byte: each is refused with one line that names the
 * file and says why, and nothing is run. */
#include "base/sys.h"
#include "diffad/tensor.h"
#include "support/folder.h"
#include "support/zip_bytes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Pieces of pickles, protocol 2. STORAGE: four floats in storage "0". */
#define PROTO "\x80\x02"
#define KEY(n, s) "X" n "\0\0\0" s
#define STORAGE(type, count) "(" KEY("\7", "storage") "ctorch\n" type "\n" KEY("\1", "0") KEY("\3", "cpu") "K" count "tQ"
#define FLOATS STORAGE("FloatStorage", "\4")
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define HOOKS "\x89" "ccollections\nOrderedDict\n)R"
#define TENSOR(storage, offset, sides, strides) REBUILD "(" storage offset sides strides HOOKS "tR"
#define DICT(name, value) PROTO "}" name value "s."
#define GOOD TENSOR(FLOATS, "K\0", "K\4\x85", "K\1\x85")

typedef struct bad { const char *what, *pickle; size_t length; const char *part; } bad;

#define BAD(what, pickle, part) { what, pickle, sizeof(pickle) - 1, part }

static const bad hostile[] = {
    /* globals */
    BAD("os.system", PROTO "cos\nsystem\n" KEY("\2", "id") "\x85R.", "byte 2: names the global os.system"),
    BAD("posix.system", PROTO "cposix\nsystem\n.", "posix.system"),
    BAD("builtins.eval", PROTO "cbuiltins\neval\n.", "builtins.eval"),
    BAD("builtins.getattr", PROTO "cbuiltins\ngetattr\n.", "builtins.getattr"),
    BAD("builtins.__import__", PROTO "c__builtin__\n__import__\n.", "__import__"),
    BAD("subprocess.Popen", PROTO "csubprocess\nPopen\n.", "subprocess.Popen"),
    BAD("torch.load, again", PROTO "ctorch\nload\n.", "torch.load"),
    BAD("a global beside the weights", PROTO "}(" KEY("\1", "w") GOOD KEY("\1", "x") "cos\nsystem\n)Ru.", "os.system"),
    BAD("a global from the stack", "\x80\x04\x8c\2os\x8c\6system\x93.", "os.system"),
    BAD("a module that only begins like one", PROTO "cpytorch_lightningx\nx\n.", "pytorch_lightningx.x"),
    BAD("a global of no end", PROTO "cos\nsystem", "past the end"),
    BAD("a global of 200 bytes", PROTO "caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb\n.", "nothing was run"),
    BAD("a name of control bytes", PROTO "cos\x1b[2J\nsystem\n.", "names the global os"),
    BAD("a global by a number", "\x80\x04K\1K\2\x93.", "by something that is no name"),
    /* calls */
    BAD("a call of a text", PROTO KEY("\1", "f") ")R.", "not a global"),
    BAD("a call without a tuple", PROTO "ccollections\nOrderedDict\nK\1R.", "arguments are not a tuple"),
    BAD("a call of a storage's type", PROTO "ctorch\nFloatStorage\n)R.", "torch.FloatStorage"),
    BAD("an instance of a storage", PROTO "ctorch\nFloatStorage\n)\x81.", "torch.FloatStorage"),
    BAD("a state for a number", PROTO "K\1}b.", "gives a state"),
    BAD("a tensor of nothing", PROTO REBUILD ")R.", "not made of storage"),
    BAD("a parameter of a text", PROTO "ctorch._utils\n_rebuild_parameter\n" KEY("\1", "x") "\x85R.", "torch.save does not write"),
    BAD("an OrderedDict of numbers", PROTO "ccollections\nOrderedDict\n]K\1a\x85R.", "list of pairs"),
    BAD("INST", PROTO "(ios\nsystem\n.", "opcode 0x69"),
    BAD("OBJ", PROTO "(o.", "opcode 0x6f"),
    BAD("EXT1", PROTO "\x82\1.", "opcode 0x82"),
    BAD("PERSID", PROTO "P0\n.", "opcode 0x50"),
    BAD("an opcode that none has", PROTO "\xff.", "opcode 0xff"),
    /* counts and lengths */
    BAD("a text of 4 GB", PROTO "X\xff\xff\xff\xff" "a.", "past the end"),
    BAD("a text of 2^63 bytes", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f" "a.", "past the end"),
    BAD("bytes of 2^64", "\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff" "a.", "past the end"),
    BAD("a number of 4 GB", PROTO "\x8b\xff\xff\xff\xff.", "past the end"),
    BAD("a frame of 2^64 bytes", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "frame"),
    BAD("a memo of 2^32", PROTO "Nr\xff\xff\xff\xff.", "remembers a value as number 4294967295"),
    BAD("a memo beyond the text", PROTO "Nr\0\0\0\1.", "remembers a value"),
    BAD("a memo that was not written", PROTO "h\0.", "not remembered"),
    BAD("a memo in a hole", PROTO "NNNNNNNNNNq\5h\4.", "not remembered"),
    /* the stack */
    BAD("an empty pickle", "", "past the end"),
    BAD("no end", PROTO "}", "past the end"),
    BAD("a stop at once", PROTO ".", "0 values"),
    BAD("two values", PROTO "NN.", "2 values"),
    BAD("a mark left over", PROTO "N(.", "in place of one"),
    BAD("a group without a mark", PROTO "Nt.", "not begun"),
    BAD("a pop of nothing", PROTO "0.", "where there is none"),
    BAD("a value below the mark", PROTO "}(s.", "where there is none"),
    BAD("items for a number", PROTO "K\1(K\2e.", "not a list"),
    BAD("an odd number of items", PROTO "}(K\1u.", "not a dict"),
    BAD("protocol 0", "\x80\x00N.", "protocol 0"),
    BAD("protocol 9", "\x80\x09N.", "protocol 9"),
    BAD("protocol 0, without its mark", "(dp0\nS'a'\n.", "opcode 0x64"),
    /* persistent ids */
    BAD("an id that is a text", PROTO KEY("\1", "x") "Q.", "persistent id"),
    BAD("an id without a type", PROTO "(" KEY("\7", "storage") "NNNNtQ.", "persistent id"),
    BAD("an id of an opaque type", PROTO "(" KEY("\7", "storage") "ctorch\ndevice\n" KEY("\1", "0") KEY("\3", "cpu") "K\4tQ.", "persistent id"),
    BAD("a key that is a path", PROTO "(" KEY("\7", "storage") "ctorch\nFloatStorage\n" KEY("\4", "../0") KEY("\3", "cpu") "K\4tQ.", "no name"),
    BAD("a key that is not there", DICT(KEY("\1", "w"), TENSOR("(" KEY("\7", "storage") "ctorch\nFloatStorage\n" KEY("\1", "9") KEY("\3", "cpu") "K\4tQ",
                                                              "K\0", "K\4\x85", "K\1\x85")), "a/data/9\" is not in the archive"),
    /* tensors */
    BAD("a root that is a list", PROTO "].", "no dict of tensors"),
    BAD("a state dict that is a text", DICT(KEY("\12", "state_dict"), KEY("\1", "x")), "no dict of tensors"),
    BAD("a dict of numbers", DICT(KEY("\1", "w"), "K\1"), "holds no tensors"),
    BAD("a storage of another size", DICT(KEY("\1", "w"), TENSOR(STORAGE("FloatStorage", "\5"), "K\0", "K\4\x85", "K\1\x85")), "its type and count"),
    BAD("a storage of doubles", DICT(KEY("\1", "w"), TENSOR(STORAGE("DoubleStorage", "\4"), "K\0", "K\4\x85", "K\1\x85")), "its type and count"),
    BAD("a storage of -1", DICT(KEY("\1", "w"), TENSOR("(" KEY("\7", "storage") "ctorch\nFloatStorage\n" KEY("\1", "0") KEY("\3", "cpu")
                                                     "J\xff\xff\xff\xfftQ", "K\0", "K\4\x85", "K\1\x85")), "negative"),
    BAD("a storage of 2^62", DICT(KEY("\1", "w"), TENSOR("(" KEY("\7", "storage") "ctorch\nFloatStorage\n" KEY("\1", "0") KEY("\3", "cpu")
                                                       "\x8a\x08\0\0\0\0\0\0\0\x40tQ", "K\0", "K\4\x85", "K\1\x85")), "cannot be counted"),
    BAD("int16", DICT(KEY("\1", "w"), TENSOR(STORAGE("ShortStorage", "\10"), "K\0", "K\4\x85", "K\1\x85")), "int16"),
    BAD("beyond its storage", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\1", "K\4\x85", "K\1\x85")), "beyond its storage"),
    BAD("a stride beyond its storage", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", "K\2K\2\x86", "K\3K\1\x86")), "beyond its storage"),
    BAD("a negative offset", DICT(KEY("\1", "w"), TENSOR(FLOATS, "J\xff\xff\xff\xff", "K\1\x85", "K\1\x85")), "negative"),
    BAD("a negative side", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85")), "negative side"),
    BAD("a negative stride", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\3", "K\4\x85", "J\xff\xff\xff\xff\x85")), "negative stride"),
    BAD("sides of 2^40", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", "\x8a\6\0\0\0\0\0\1\x8a\6\0\0\0\0\0\1\x86", "K\0K\0\x86")), "counted"),
    BAD("a stride of 2^62", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", "K\4\x85", "\x8a\x08\0\0\0\0\0\0\0\x40\x85")), "beyond its storage"),
    BAD("one element 200 times", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", "K\xc8\x85", "K\0\x85")), "repeats elements"),
    BAD("sides without strides", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", "K\2K\2\x86", "K\1\x85")), "not made of storage"),
    BAD("a side that is a text", DICT(KEY("\1", "w"), TENSOR(FLOATS, "K\0", KEY("\1", "4") "\x85", "K\1\x85")), "not a number"),
    /* names */
    BAD("a name that is a path", DICT(KEY("\4", "../w"), GOOD), "slashes"),
    BAD("a name with a zero byte", DICT(KEY("\3", "a\0b"), GOOD), "whose name"),
    BAD("a name of control bytes", DICT(KEY("\3", "a\nb"), GOOD), "control characters"),
    BAD("a name that is a number", DICT("K\1", GOOD), "whose name"),
    BAD("a name twice", PROTO "}(" KEY("\1", "w") GOOD KEY("\1", "w") GOOD "u.", "given twice"),
};

static void expect_refused(const unsigned char *bytes, size_t n, const char *what, const char *part)
{
    diffad_file   *f    = NULL;
    unsigned char *copy = malloc(n ? n : 1);      /* of the exact size: a sanitizer sees a read behind its end */
    memcpy(copy, bytes, n);
    cr_expect_eq(diffad_file_parse("some.ckpt", copy, n, &f), DIFFAD_ERR_CHECKPOINT, "%s must be refused", what);
    const char *line = diffad_error_detail();
    cr_expect(strncmp(line, "some.ckpt: ", 11) == 0 && strstr(line, part) && !strchr(line, '\n'), "%s: \"%s\" lacks \"%s\"", what, line, part);
    cr_expect_null(f);
    free(copy);
}

Test(pickle, what_is_damaged_or_hostile_is_refused_with_a_line)
{
    unsigned char bytes[4096];
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        expect_refused(bytes, zip_torch(hostile[i].pickle, hostile[i].length, 16, bytes, sizeof bytes), hostile[i].what, hostile[i].part);
}

static diffad_file *must_parse(const void *pickle, size_t length, size_t storage)
{
    static unsigned char bytes[1 << 20];
    diffad_file         *f = NULL;
    cr_assert_eq(diffad_file_parse("f", bytes, zip_torch(pickle, length, storage, bytes, sizeof bytes), &f), DIFFAD_OK, "%s", diffad_error_detail());
    return f;
}

/* Classes as keys, objects with states, NumPy numbers, paths, sets: values without a meaning, called by nobody. */
Test(pickle, what_lightning_leaves_beside_weights_is_passed_over)
{
    static const char text[] =
        PROTO "}(" KEY("\12", "state_dict") "ccollections\nOrderedDict\n)R(" KEY("\1", "w") GOOD "u}" KEY("\11", "_metadata") "}sb"
        KEY("\11", "callbacks") "}cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n}" KEY("\1", "p") "cpathlib\nPosixPath\n"
        KEY("\1", "a") "\x85Rss" KEY("\5", "hyper") "comegaconf.dictconfig\nDictConfig\n)\x81}" KEY("\1", "x") "K\1sb"
        KEY("\5", "score") "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" KEY("\2", "f8") "K\0K\1\x87Rc_codecs\nencode\n" KEY("\1", "a")
        KEY("\6", "latin1") "\x86R\x86R" KEY("\3", "set") "c__builtin__\nset\n]K\1a\x85R" KEY("\5", "epoch") "K\5u.";

    diffad_file *f = must_parse(text, sizeof text - 1, 16);

    cr_expect_eq(diffad_file_count(f), 1);
    cr_expect_str_eq(diffad_file_metadata(f, "epoch"), "5");
    diffad_file_close(f);
}

Test(pickle, a_list_that_contains_itself_is_only_a_value)
{
    static const char text[] = PROTO "}(" KEY("\1", "w") GOOD KEY("\1", "x") "]q\1h\1aK\1ah\1au.";
    diffad_file_close(must_parse(text, sizeof text - 1, 16));
}

/* Nesting is depth of a list on the stack here, not of the program's. */
Test(pickle, nesting_of_100000_levels_is_only_a_value)
{
    enum { LEVELS = 100000 };
    static const char front[] = PROTO "}(" KEY("\1", "w") GOOD KEY("\1", "x"), back[] = "u.";
    char             *text = malloc(sizeof front + 2 * LEVELS + sizeof back);
    size_t            n = sizeof front - 1;
    memcpy(text, front, n);
    for (int i = 0; i < LEVELS; i++)
        text[n++] = ']';
    for (int i = 1; i < LEVELS; i++)
        text[n++] = 'a';
    memcpy(text + n, back, 2);
    diffad_file_close(must_parse(text, n + 2, 16));
    free(text);
}

/* A list of n values that makes m dicts is n m places from n + m bytes. */
Test(pickle, values_that_multiply_are_refused_in_little_memory)
{
    enum { PAIRS = 20000, CALLS = 20000 };
    static const char front[] = PROTO "](", pair[] = "K\1K\2\x86", dict[] = "ccollections\nOrderedDict\nh\1\x85R0";
    const size_t      most = sizeof front + PAIRS * sizeof pair + CALLS * sizeof dict + 16;
    char             *text = malloc(most);
    unsigned char    *zip = malloc(most + 1024);
    size_t            n = sizeof front - 1;
    struct rusage     use;
    memcpy(text, front, n);
    for (int i = 0; i < PAIRS; i++, n += sizeof pair - 1)
        memcpy(text + n, pair, sizeof pair - 1);
    memcpy(text + n, "eq\1", 3);
    n += 3;
    for (int i = 0; i < CALLS; i++, n += sizeof dict - 1)
        memcpy(text + n, dict, sizeof dict - 1);
    text[n++] = '.';
    expect_refused(zip, zip_torch(text, n, 16, zip, most + 1024), "dicts that multiply", "values");
    getrusage(RUSAGE_SELF, &use);
    cr_expect_lt(use.ru_maxrss, 1 << 20, "%ld KiB", use.ru_maxrss);
    free(text);
    free(zip);
}

/* ---- archives ---- */

static void expect_bad_archive(const zip_part *parts, int count, const char *what, const char *part)
{
    unsigned char bytes[4096];
    expect_refused(bytes, zip_build(parts, count, bytes, sizeof bytes), what, part);
}

Test(pickle, archives_that_are_damaged_or_bombs_are_refused)
{
    static const char           text[] = DICT(KEY("\1", "w"), GOOD);
    static const unsigned char zeros[16] = { 0 };
    const zip_part pickle = { .name = "a/data.pkl", .data = text, .bytes = sizeof text - 1 }, storage = { .name = "a/data/0", .data = zeros, .bytes = 16 };
    zip_part       deflated = storage, encrypted = storage, large = storage, wrong = storage, huge = pickle, bomb = pickle;
    deflated.method = 8;
    encrypted.flags = 1;
    large.size = 1u << 31;
    wrong.crc = 1;
    huge.size = huge.packed = 1u << 30;
    bomb.method = 8;
    bomb.size = 0xfffffff0u;

    expect_bad_archive((zip_part[]){ pickle, deflated }, 2, "a compressed storage", "compressed");
    expect_bad_archive((zip_part[]){ bomb, storage }, 2, "a bomb of 4 GB", "compressed");
    expect_bad_archive((zip_part[]){ pickle, encrypted }, 2, "an encrypted storage", "encrypted");
    expect_bad_archive((zip_part[]){ pickle, large }, 2, "a storage of 2 GB", "says that it has 2147483648 bytes");
    expect_bad_archive((zip_part[]){ huge, storage }, 2, "a pickle of 1 GB", "bytes");
    expect_bad_archive((zip_part[]){ pickle, wrong }, 2, "a wrong checksum", "damaged");
    expect_bad_archive((zip_part[]){ storage }, 1, "no pickle", "without data.pkl");
    expect_bad_archive((zip_part[]){ pickle }, 1, "no storage", "not in the archive");
    expect_bad_archive((zip_part[]){ pickle, { .name = "a/byteorder", .data = "big", .bytes = 3 }, storage }, 3, "big-endian", "big-endian");
    expect_bad_archive((zip_part[]){ pickle, { .name = "a/byteorder", .data = zeros, .bytes = 16 }, storage }, 3, "an order of 16 bytes", "big-endian");
}

/* Eight storages in one place: each is smaller than the file, together they are not. */
Test(pickle, storages_that_overlap_are_refused)
{
    enum { STORAGES = 8, BYTES = 1000 };
    static unsigned char zeros[BYTES], bytes[8192];
    static char          text[2048];
    char                 names[STORAGES][16];
    zip_part             parts[STORAGES + 1];
    size_t               n = 4;
    memcpy(text, PROTO "}(", n);
    for (int i = 0; i < STORAGES; i++) {
        static const char part[] = KEY("\1", "0") TENSOR("(" KEY("\7", "storage") "ctorch\nFloatStorage\n" KEY("\1", "0") KEY("\3", "cpu") "K\372tQ", "K\0",
                                                        "K\372\x85", "K\1\x85");
        memcpy(text + n, part, sizeof part - 1);
        text[n + 5] = (char)('0' + i);
        for (size_t k = n + 6; k < n + sizeof part - 6; k++)
            if (memcmp(text + k, KEY("\1", "0"), 6) == 0)
                text[k + 5] = (char)('0' + i);
        n += sizeof part - 1;
        snprintf(names[i], sizeof names[i], "a/data/%d", i);
        parts[i + 1] = (zip_part){ .name = names[i], .data = zeros, .bytes = BYTES, .repeats = i > 0 };
    }
    memcpy(text + n, "u.", 2);
    parts[0] = (zip_part){ .name = "a/data.pkl", .data = text, .bytes = n + 2 };
    expect_refused(bytes, zip_build(parts, STORAGES + 1, bytes, sizeof bytes), "overlapping storages", "add up to more");
}

/* Every beginning of a good file, and every byte of it changed: refused or read, never more. */
Test(pickle, a_file_that_is_cut_or_changed_anywhere_is_refused_or_read)
{
    static const char text[] = DICT(KEY("\1", "w"), GOOD);
    unsigned char     bytes[1024];
    const size_t      n = zip_torch(text, sizeof text - 1, 16, bytes, sizeof bytes);
    int               read = 0;
    for (size_t cut = 4; cut < n; cut++) {
        diffad_file *f = NULL;
        cr_expect_eq(diffad_file_parse("f", bytes, cut, &f), DIFFAD_ERR_CHECKPOINT, "cut at %zu", cut);
    }
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            diffad_file *f = NULL;
            bytes[i] ^= (unsigned char)(1 << bit);
            const diffad_status st = diffad_file_parse("f", bytes, n, &f);
            cr_expect(st == DIFFAD_OK || st == DIFFAD_ERR_CHECKPOINT, "byte %zu bit %d: %s", i, bit, diffad_error_detail());
            read += st == DIFFAD_OK;
            diffad_file_close(st == DIFFAD_OK ? f : NULL);
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    cr_expect_gt(read, 0, "times and attributes of the archive are nobody's business");
}
