/* cmd_help.c - vise help: the overview, and what a command takes
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "import_opts.h"

#include <ctype.h>

enum { ARGS = 32 }; // column behind the arguments, in the overview

void cli_print_overview(FILE *f)
{
    fputs("vise squeezes Vision Transformers and runs them.\n\nusage: vise COMMAND ...\n\n", f);
    for (size_t i = 0; cli_commands[i]; i++) {
        const int used = fprintf(f, "  %-8s %s", cli_commands[i]->name, cli_commands[i]->args);
        fprintf(f, "%*s%s\n", used < ARGS ? ARGS - used : 1, "", cli_commands[i]->summary);
    }
    fputs("\n", f);
    opt_wrap(f,
             "MODEL is a checkpoint (.safetensors, .safetensors.index.json, .pth, .pt, .bin, or a "
             "folder that holds one) or a .vise file. 'vise help COMMAND' tells what a command "
             "takes, 'vise --version' the version.\n\n"
             "Results go to stdout, with --json as one JSON object a line; talk goes to stderr. "
             "Exit status: 0 done, 1 failed, 2 misused.\n",
             0, 0);
}

void cli_print_help(FILE *f, const cli_command *c)
{
    fprintf(f, "usage: vise %s%s%s [options]\n\n", c->name, *c->args ? " " : "", c->args);
    fputc(toupper((unsigned char)c->summary[0]), f);
    opt_wrap(f, c->summary + 1, 1, 0);
    fputs(".\n", f);
    if (c->about) {
        fputc('\n', f);
        opt_wrap(f, c->about, 0, 0);
        fputc('\n', f);
    }
    opt_print(f, &(opt_group){"options", c->table, NULL});
    if (c->import)
        opt_print(f, &(opt_group){"a raw checkpoint, and its input", import_table, NULL});
    if (c->sessions) opt_print(f, &(opt_group){"running", cli_session_table, NULL});
    opt_print(f, &(opt_group){"common options", cli_common_table, NULL});
}

static vise_status run(const cli_call *c, vise_err *e)
{
    if (!c->nargs) {
        cli_print_overview(stdout);
        return VISE_OK;
    }
    const cli_command *cmd = cli_find(c->args[0], e);
    if (!cmd) return e->code;
    cli_print_help(stdout, cmd);
    return VISE_OK;
}

const cli_command cmd_help = {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "tell what a command takes",
    .max_args = 1,
    .run = run,
};
