/* launches.c: what the plans of a device would launch, without the device: the compile lab's list (tools/compile_lab).
 *
 *     diffad_launches --sets                   names of the sets of capabilities
 *     diffad_launches SET FOLDER               writes the kernels' resolved texts into FOLDER, and one line a launch:
 *         precision  plan  runs  node  op  way  is_default  flops  bytes  program  kernel  constants  local  items
 *
 * separated by tabs. plan "op CASE": a case of an op, with each of its ways; "detect ..." and "train ...": plans of the published
 * sizes, run `runs` times for one picture or step. flops and bytes are the node's cost, on each of its launches; local is what
 * the launch declares, items is "XxYxZ/GxHxI". Only sizes are planned: the few calls of OpenCL that remain have stand-ins here. */
#include "api/check_common.h"
#include "base/sys.h"
#include "device/device.h"
#include "device/registers.h"
#include "diffusion/latent.h"
#include "graph/plan.h"
#include "kernel/embedded.h"
#include "kernel/tuned.h"
#include "model/models.h"
#include "op/ops.h"
#include "train/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- devices that are not there ---- */

/* Compute units and limits as drivers report them (an RDNA device counts pairs of units). */
enum vendor { ANY, NVIDIA = 0x10de, AMD = 0x1002, INTEL = DIFFAD_VENDOR_INTEL };
typedef struct lab_set { const char *name; enum vendor vendor; uint32_t units; uint64_t local, group; diffad_matrix matrix; bool is_cpu; uint32_t sub_group; } lab_set;

static const lab_set sets[] = {
    { "v100", NVIDIA, 80, 48 << 10, 1024, DIFFAD_MATRIX_NVIDIA_70, false, 0 },
    { "a100", NVIDIA, 108, 48 << 10, 1024, DIFFAD_MATRIX_NVIDIA_80, false, 0 },
    { "h100", NVIDIA, 132, 48 << 10, 1024, DIFFAD_MATRIX_NVIDIA_80, false, 0 },
    { "mi50", AMD, 60, 64 << 10, 256, DIFFAD_MATRIX_NONE, false, 0 },
    { "mi210", AMD, 104, 64 << 10, 256, DIFFAD_MATRIX_AMD_MFMA, false, 0 },
    { "rx6800xt", AMD, 36, 64 << 10, 256, DIFFAD_MATRIX_NONE, false, 0 },
    { "rx7900xtx", AMD, 48, 64 << 10, 256, DIFFAD_MATRIX_AMD_WMMA, false, 0 },
    { "hd530", INTEL, 24, 64 << 10, 256, DIFFAD_MATRIX_NONE, false, 0 },
    { "iris_xe", INTEL, 96, 64 << 10, 512, DIFFAD_MATRIX_NONE, false, 0 },
    { "a770", INTEL, 512, 64 << 10, 1024, DIFFAD_MATRIX_NONE, false, 0 },
    { "max1550", INTEL, 1024, 128 << 10, 1024, DIFFAD_MATRIX_NONE, false, 16 },
    /* the same with their units, for SPIR-V: the ocloc that can be had compiles matrix_mad to a call that nothing answers */
    { "a770_matrix", INTEL, 512, 64 << 10, 1024, DIFFAD_MATRIX_INTEL_8, false, 0 },
    { "max1550_matrix", INTEL, 1024, 128 << 10, 1024, DIFFAD_MATRIX_INTEL_16, false, 16 },
    /* the least that every device has; a CPU, with a unit's layout computed without it; and one that has its own */
    { "portable", ANY, 16, 16 << 10, 64, DIFFAD_MATRIX_NONE, false, 0 },
    { "cpu", ANY, 8, 256 << 10, 4096, DIFFAD_MATRIX_NVIDIA_80, true, 0 },
    { "xeon_amx", ANY, 8, 512 << 10, 4096, DIFFAD_MATRIX_INTEL_AMX, true, 0 },
};

static diffad_caps caps_of(const lab_set *s)
{
    diffad_caps c = { .kind = s->is_cpu ? DIFFAD_DEVICE_CPU : DIFFAD_DEVICE_GPU, .vendor_id = s->vendor, .compute_units = s->units, .plan_units = s->units,
                      .global_mem = (uint64_t)64 << 30, .max_alloc = (uint64_t)16 << 30, .local_mem = s->local, .max_group = s->group,
                      .max_group_side = { s->group, s->group, s->group }, .max_parameter_bytes = 1024, .base_align = 128,
                      .native_float = s->is_cpu ? 16 : 1, .block = s->is_cpu ? 16 : 1, .local_mem_is_cheap = s->is_cpu,
                      .matrix = s->matrix, .matrix_is_plain = s->is_cpu && s->matrix != DIFFAD_MATRIX_INTEL_AMX, .sub_group = s->sub_group };
    snprintf(c.name, sizeof c.name, "%s", s->name);
    snprintf(c.vendor, sizeof c.vendor, "%s", s->vendor == NVIDIA ? "NVIDIA" : s->vendor == AMD ? "AMD" : s->vendor == INTEL ? "Intel" : "");
    return c;
}

/* Forced ways, and ways tuned for a device that is here, are no business of the list. */
static const char *get_environment(const char *name) { return strcmp(name, "DIFFAD_CL_DIR") == 0 ? getenv(name) : NULL; }

static char nothing;      /* what stand-in buffers point to */

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *code)
{
    (void)context, (void)flags, (void)bytes, (void)host;
    *code = CL_SUCCESS;
    return (cl_mem)(void *)&nothing;
}

static cl_int CL_API_CALL release_buffer(cl_mem buffer)
{
    (void)buffer;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL write_buffer(cl_command_queue queue, cl_mem to, cl_bool waits, size_t offset, size_t bytes, const void *from,
                                       cl_uint n, const cl_event *after, cl_event *event)
{
    (void)queue, (void)to, (void)waits, (void)offset, (void)bytes, (void)from, (void)n, (void)after, (void)event;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL fill_buffer(cl_command_queue queue, cl_mem to, const void *pattern, size_t pattern_bytes, size_t offset,
                                      size_t bytes, cl_uint n, const cl_event *after, cl_event *event)
{
    (void)queue, (void)to, (void)pattern, (void)pattern_bytes, (void)offset, (void)bytes, (void)n, (void)after, (void)event;
    return CL_SUCCESS;
}

/* ---- lines ---- */

typedef struct listing {
    diffad_device *dev;
    char           plan[128];
    int            runs;
    const diffad_op *only;      /* NULL: every node */
    bool           is_default;
} listing;

static diffad_status print_launch(const listing *o, const diffad_launch *l, const diffad_node *n, const char *way)
{
    char constants[1024];
    if (l->kind != DIFFAD_LAUNCH_KERNEL)
        return DIFFAD_OK;
    const diffad_cost c = n && n->op->cost ? n->op->cost(n) : (diffad_cost){ 0, 0 };
    DIFFAD_TRY(diffad_launch_constants(l, &o->dev->caps, constants, sizeof constants));
    printf("%s\t%s\t%d\t%d\t%s\t%s\t%d\t%.0f\t%.0f\t%s\t%s\t%s\t%lld", diffad_precision_name(o->dev->caps.precision), o->plan, o->runs,
           n ? (int)n->id : -1, n ? n->op->name : "pack", way, o->is_default, c.flops, c.bytes, l->program, l->kernel, constants,
           (long long)l->bytes);
    printf("\t%lldx%lldx%lld/%lldx%lldx%lld\n", (long long)l->items[0], (long long)l->items[1], (long long)l->items[2],
           (long long)l->group[0], (long long)l->group[1], (long long)l->group[2]);
    return DIFFAD_OK;
}

static diffad_status print_plan(const listing *o, const diffad_plan *p)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        const plan_step   *s = &p->step[i];
        const diffad_node *n = p->graph->node[s->node];
        for (int64_t k = s->first; k < s->first + s->count && (!o->only || n->op == o->only); k++)
            DIFFAD_TRY(print_launch(o, &p->launch[k], n, s->way ? s->way->name : "alias"));
    }
    for (int64_t i = 0; i < p->n_prologue; i++)
        DIFFAD_TRY(print_launch(o, &p->prologue[i], NULL, "pack"));
    return DIFFAD_OK;
}

/* ---- cases of ops ---- */

/* way NULL: the one that the plan takes. *variants: how many the way has for this case, beside the one it finds best. */
static diffad_status list_case(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, const diffad_way *way, int variant,
                               bool blocked, int *variants)
{
    static diffad_tensor *nowhere[DIFFAD_MAX_IN];
    listing       o = { .dev = dev, .runs = 1, .only = op, .is_default = !way };
    diffad_road   r = { NULL, NULL };
    char          forced[128] = "", number[16] = "";
    if (variant >= 0)
        snprintf(number, sizeof number, "/%d", variant);
    if (way)
        snprintf(forced, sizeof forced, "%s=%s%s", op->name, way->name, number);
    snprintf(o.plan, sizeof o.plan, "op %s %s", op->name, c->name);
    diffad_status st = diffad_graph_create(&r.graph);
    if (st == DIFFAD_OK)
        st = check_graph(r.graph, op, c, blocked, nowhere, NULL, NULL);
    for (int64_t i = 0; st == DIFFAD_OK && i < r.graph->n_nodes && way; i++)
        if (r.graph->node[i]->op == op && way->variants && plan_way_fits(r.graph->node[i], &dev->caps, way))
            *variants = way->variants(r.graph->node[i], &dev->caps);
    if (st == DIFFAD_OK)
        st = diffad_plan_create(dev, r.graph, &(diffad_plan_options){ .sizes_only = true, .ways = forced }, &r.plan);
    if (st == DIFFAD_OK)
        st = print_plan(&o, r.plan);
    diffad_road_release(&r);
    return st == DIFFAD_OK ? st : diffad_fail_context(st, "case %s of %s%s%s", c->name, op->name, way ? ", " : "", forced);
}

static diffad_status list_ways(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, bool blocked)
{
    int variants = 0;
    DIFFAD_TRY(list_case(dev, op, c, NULL, -1, blocked, &variants));
    for (int w = 0; w < op->n_ways && dev->caps.precision == DIFFAD_PRECISION_F32; w++) {
        variants = 0;
        for (int v = -1; v < variants; v++)
            DIFFAD_TRY(list_case(dev, op, c, &op->ways[w], v, blocked, &variants));
    }
    return DIFFAD_OK;
}

static diffad_status list_ops(diffad_device *dev)
{
    int                     count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < table[i]->n_cases; k++)
            for (int blocked = 0; blocked <= (dev->caps.block > 1); blocked++)
                DIFFAD_TRY(list_ways(dev, table[i], &table[i]->cases[k], blocked));
    return DIFFAD_OK;
}

/* ---- plans of the published sizes ---- */

static const diffad_plan_options sizes = { .sizes_only = true };

static diffad_status list_plan(diffad_device *dev, const char *name, int runs, const diffad_plan *p)
{
    listing o = { .dev = dev, .runs = runs, .is_default = true };
    snprintf(o.plan, sizeof o.plan, "%s", name);
    return print_plan(&o, p);
}

static diffad_status list_segmenter(train_run *run)
{
    const diffad_desc *d = &run->desc;
    const int64_t      c = d->image_channels * (d->has_mix ? 3 : 2);
    diffad_road        r = { NULL, NULL };
    diffad_status      st = diffad_graph_create(&r.graph);
    if (st == DIFFAD_OK) {
        diffad_nn        nn = nn_make(r.graph, run->segmenter, false);
        const diffad_val x = diffad_input(r.graph, "x", DIFFAD_F32, diffad_shape4(1, c, d->image_size.v[0], d->image_size.v[1]));
        diffad_output(r.graph, "map", diffad_softmax(r.graph, diffad_discriminator(&nn, x, d->segmenter.base_channels), 1));
        st = diffad_plan_create(run->dev, r.graph, &sizes, &r.plan);
    }
    if (st == DIFFAD_OK)
        st = list_plan(run->dev, "detect segment", 1, r.plan);
    diffad_road_release(&r);
    return st;
}

static diffad_status list_detection(train_run *run)
{
    diffad_latent *l = NULL;
    DIFFAD_TRY(diffad_latent_create(run->dev, &run->desc, 1, run->autoencoder, run->unet, 1, &sizes, &l));
    diffad_status st = list_plan(run->dev, "detect encode", 1, l->encode.plan);
    if (st == DIFFAD_OK)
        st = list_plan(run->dev, "detect denoise", run->desc.sampler_steps, l->denoise.plan);
    if (st == DIFFAD_OK)
        st = list_plan(run->dev, "detect decode", 1, l->decode.plan);
    diffad_latent_destroy(l);
    return st == DIFFAD_OK ? list_segmenter(run) : st;
}

static diffad_status list_training(train_run *run, const train_stage *s)
{
    train_job     j = { .run = run, .stage = s, .recipe = train_recipe(&run->desc, s), .encodes_inside = true };      /* all work in the step */
    diffad_road   r = { NULL, NULL };
    char          name[32];
    snprintf(name, sizeof name, "train %s", s->name);
    DIFFAD_TRY(s->shape(&j));
    diffad_status st = diffad_graph_create(&r.graph);
    if (st == DIFFAD_OK) {
        s->build(&j, s->phase(&j, j.recipe->steps > 0 ? j.recipe->steps - 1 : 0), true, r.graph);
        st = diffad_plan_create(run->dev, r.graph, &sizes, &r.plan);
    }
    if (st == DIFFAD_OK)
        st = list_plan(run->dev, name, 1, r.plan);
    diffad_road_release(&r);
    return st;
}

static diffad_status list_models(diffad_device *dev)
{
    static const char *const models[] = { "diffad", "draem" };
    for (int m = 0; m < 2; m++) {
        const train_stage *list[RUN_STAGES];
        train_run          r = { .dev = dev, .options = diffad_train_options_default(), .latent_scale = 1 };
        r.options.model = models[m];
        r.options.scale = "paper";
        diffad_status st = train_describe(&r.options, &r.desc);
        if (st == DIFFAD_OK)
            st = run_open_params(&r);
        if (st == DIFFAD_OK && m == 0)
            st = train_shape_lpips(&r);
        for (int i = 0, n = run_stages_of(&r.desc, list); i < n && st == DIFFAD_OK; i++)
            st = list_training(&r, list[i]);
        if (st == DIFFAD_OK && m == 0)
            st = list_detection(&r);
        run_close(&r);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}

/* ---- kernels' texts ---- */

static diffad_status write_sources(const char *folder)
{
    for (const diffad_embedded *e = diffad_embedded_kernels; e->name; e++) {
        char        path[1024], file[128];
        diffad_text t = { 0 };
        const char *dot = strrchr(e->name, '.');
        if (strchr(e->name, '/') || !dot)
            continue;
        snprintf(file, sizeof file, "%.*s", (int)(dot - e->name), e->name);
        DIFFAD_TRY(diffad_source_get(file, &t));
        FILE *out = snprintf(path, sizeof path, "%s/%s", folder, e->name) < (int)sizeof path ? fopen(path, "w") : NULL;
        const bool is_written = out && fputs(t.s, out) >= 0;
        diffad_text_release(&t);
        if ((out && fclose(out) != 0) || !is_written)
            DIFFAD_FAIL(DIFFAD_ERR_FILE, "%s/%s cannot be written", folder, e->name);
    }
    return DIFFAD_OK;
}

static diffad_status list_set(const lab_set *s, const char *folder)
{
    diffad_device dev = { .caps = caps_of(s) };
    diffad_sys.getenv            = get_environment;
    diffad_cl.CreateBuffer       = create_buffer;
    diffad_cl.ReleaseMemObject   = release_buffer;
    diffad_cl.EnqueueWriteBuffer = write_buffer;
    diffad_cl.EnqueueFillBuffer  = fill_buffer;
    DIFFAD_TRY(write_sources(folder));
    for (int p = 0; p <= DIFFAD_PRECISION_F16; p++) {
        if (!diffad_precision_fits(&dev.caps, (diffad_precision)p))
            continue;
        dev.caps.precision = (diffad_precision)p;
        DIFFAD_TRY(list_ops(&dev));
        DIFFAD_TRY(list_models(&dev));
    }
    diffad_tuned_forget(&dev);
    return DIFFAD_OK;
}

int main(int argc, char **argv)
{
    const size_t n = sizeof sets / sizeof sets[0];
    for (size_t i = 0; i < n && argc == 2 && strcmp(argv[1], "--sets") == 0; i++)
        printf("%s\n", sets[i].name);
    if (argc == 2 && strcmp(argv[1], "--sets") == 0)
        return 0;
    for (size_t i = 0; i < n && argc == 3; i++)
        if (strcmp(sets[i].name, argv[1]) == 0) {
            if (list_set(&sets[i], argv[2]) == DIFFAD_OK)
                return 0;
            fprintf(stderr, "diffad_launches: %s\n", diffad_error_detail());
            return 1;
        }
    fprintf(stderr, "usage: diffad_launches --sets | SET FOLDER\n");
    return 2;
}
