/* cmd_convert.c: `diffad convert`: weights from one kind of file into another. */
#include "cli.h"
#include "diffad/convert.h"

static int run(cli *c)
{
    diffad_convert_result        r;
    const diffad_convert_options o = { .in = c->args[0], .out = c->args[1], .stage = cli_text(c, "stage", NULL) };
    const diffad_status          st = diffad_convert(&o, &r);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    for (int i = 0; i < r.files; i++) {
        if (c->json) {
            cli_json j = { .needs_comma = false };
            cli_json_open(&j, NULL, '{');
            cli_json_text(&j, "file", r.paths[i]);
            cli_json_int(&j, "tensors", r.tensors[i]);
            cli_json_close(&j, '}');
            cli_json_print(&j);
        } else {
            cli_out("%s: %d tensors\n", r.paths[i], r.tensors[i]);
        }
    }
    if (r.lacks_average)
        cli_note(c, "%s holds no averaged U-Net: model_ema.* are its weights themselves", o.in);
    return 0;
}

static const cli_option options[] = {
    { "stage", 0, CLI_CHOICE, "vae|ldm|seg|draem", 0, 0, "of an IN with several: the one for OUT (default: see above)" },
    { 0 },
};

const cli_command cmd_convert = {
    .name      = "convert",
    .summary   = "weights between run folders, the published code's files and safetensors",
    .arguments = "IN OUT",
    .least     = 2,
    .most      = 2,
    .options   = options,
    .run       = run,
    .details   = "IN is a run folder, a file (.ckpt, .pckl, .pth, .safetensors; what is inside decides), or a folder of such\n"
                 "files. OUT's ending decides what is written, weights only, under the published names:\n"
                 "  .safetensors   every network of IN, as in run folders\n"
                 "  .ckpt          Lightning's state_dict: of an IN with a U-Net the latent model, with schedule, model_ema.*,\n"
                 "                 first_stage_model.* and cond_stage_model.*; else (or with --stage vae) the autoencoder\n"
                 "  .pckl, .pth    a state dict: the segmenter; of a DRAEM, NAME.pckl and NAME_seg.pckl\n"
                 "What is written loads with torch.load(weights_only=True) and load_state_dict(strict=True).",
};
