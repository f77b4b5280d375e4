/* cmd_convert.c - vise convert: any checkpoint to a .vise file
 * SPDX-License-Identifier: MIT */
#include "cli.h"

static vise_status run(const cli_call *c, vise_err *e)
{
    vise_model *m;
    TRY(cli_check_out(c->args[1], e));
    TRY(cli_open(&m, c, c->args[0], false, e));
    const vise_status s = cli_save(m, c, c->args[1], e);
    vise_model_free(m);
    return s;
}

const cli_command cmd_convert = {
    .name = "convert",
    .args = "MODEL OUT",
    .summary = "turn a checkpoint into a .vise file",
    .about = "OUT has to end in .vise. It holds the weights as they are, the graph, the input "
             "recipe and the class names, so that no option has to be given again. An existing "
             "file is replaced when the new one is complete.",
    .min_args = 2,
    .max_args = 2,
    .import = true,
    .run = run,
};
