/* cmd_convert.c - vise convert: any checkpoint to a .vise file, any model to an ONNX file
 * SPDX-License-Identifier: MIT */
#include "cli.h"

#include <string.h>

static bool ends_in(const char *path, const char *suffix)
{
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, suffix);
}

static vise_status run(const cli_call *c, vise_err *e)
{
    vise_model *m;
    const char *note = NULL, *out = c->args[1];
    const bool onnx = ends_in(out, ".onnx");
    if (!onnx && !ends_in(out, ".vise"))
        return cli_fail(e, VISE_EARG, "%s: an output's name has to end in .vise or .onnx", out);
    TRY(cli_open(&m, c, c->args[0], false, e));
    vise_status s = onnx ? vise_model_save_onnx(m, out, &note, e) : vise_model_save(m, out, e);
    if (note && !c->quiet) cli_say("note: %s: %s", out, note);
    if (!s) s = cli_print_saved(m, c, out);
    vise_model_free(m);
    return s;
}

const cli_command cmd_convert = {
    .name = "convert",
    .args = "MODEL OUT",
    .summary = "turn a checkpoint into a .vise file, or into an ONNX file",
    .about =
        "OUT ends in .vise or .onnx. A .vise file holds the weights as they are, the graph, the "
        "input recipe and the class names, so that no option has to be given again. An ONNX "
        "file (opset 18) is for other runtimes: its input is [N, channels, height, width] for "
        "any N, the pictures as the recipe prepares them. An existing file is replaced when the "
        "new one is complete.",
    .min_args = 2,
    .max_args = 2,
    .import = true,
    .run = run,
};
