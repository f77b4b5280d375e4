/* main.c - the command: finds the one that was named, parses its options, runs it
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "import_opts.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, MISUSED = 2 };

const cli_command *const cli_commands[] = {
    &cmd_convert, &cmd_compress, &cmd_sensitivity, &cmd_new, &cmd_data, &cmd_train,
    &cmd_distill, &cmd_finetune, &cmd_info,        &cmd_run, &cmd_eval, &cmd_diff,
    &cmd_bench,   &cmd_profile,  &cmd_check,       &cmd_cpu, &cmd_help, NULL,
};

const cli_command *cli_find(const char *name, vise_err *e)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; cli_commands[i]; i++) {
        const size_t d = opt_distance(name, cli_commands[i]->name);
        if (d < least) {
            least = d;
            best = cli_commands[i]->name;
        }
        if (!d) return cli_commands[i];
    }
    if (best)
        cli_fail(e, VISE_EARG, "unknown command %s, did you mean %s?", name, best);
    else
        cli_fail(e, VISE_EARG, "unknown command %s", name);
    return NULL;
}

static vise_status check_args(const cli_command *cmd, const cli_call *c, vise_err *e)
{
    if (c->nargs >= cmd->min_args && c->nargs <= cmd->max_args) return VISE_OK;
    return cli_fail(e, VISE_EARG, "%s takes %s, and %zu argument%s given", cmd->name,
                    cmd->max_args ? cmd->args : "no arguments", c->nargs,
                    c->nargs == 1 ? " was" : "s were");
}

/* Parses everything behind the command's name. */
static vise_status parse(cli_call *c, const cli_command *cmd, void *opts, bool *help, vise_err *e)
{
    import_opts import = {0};
    const opt_group groups[] = {{NULL, cmd->table, opts},
                                {NULL, cmd->import ? import_table : NULL, &import},
                                {NULL, cmd->sessions ? cli_session_table : NULL, c},
                                {NULL, cli_common_table, c}};
    TRY(opt_parse(groups, sizeof groups / sizeof *groups, &c->nargs, c->args, help, e));
    if (*help) return VISE_OK;
    if (!c->threads) c->threads = vise_cpu_cores();
    if (c->cpu && !strcmp(c->cpu, "auto")) c->cpu = NULL;
    TRY(import_opts_get(&c->import, &import, e));
    return check_args(cmd, c, e);
}

static int report(vise_status s, const vise_err *e)
{
    if (!s) return DONE;
    if (e->msg[0]) cli_say("vise: %s", e->msg); // a command may have said it all before
    return s == VISE_EARG ? MISUSED : FAILED;
}

static int run(int argc, char **argv)
{
    union { // room for any command's options
        max_align_t align;
        char bytes[CLI_MAX_OPTS];
    } opts = {0};
    vise_err e = {0};
    const cli_command *cmd = cli_find(argv[1], &e);
    if (!cmd) {
        report(e.code, &e);
        fputs("vise: see 'vise help'\n", stderr);
        return MISUSED;
    }
    assert(cmd->opts_size <= sizeof opts);
    if (cmd->defaults) memcpy(&opts, cmd->defaults, cmd->opts_size);

    cli_call c = {.opts = &opts, .nargs = (size_t)argc - 2, .args = argv + 2};
    bool help = false;
    if (parse(&c, cmd, &opts, &help, &e)) {
        report(e.code, &e);
        fprintf(stderr, "vise: see 'vise %s --help'\n", cmd->name);
        return MISUSED;
    }
    if (help) {
        cli_print_help(stdout, cmd);
        return DONE;
    }
    const vise_status s = cmd->run(&c, &e);
    return report(s, &e);
}

int main(int argc, char **argv)
{
    int status = DONE;
    if (argc < 2) {
        cli_print_overview(stderr);
        return MISUSED;
    }
    if (!strcmp(argv[1], "--version"))
        printf("vise %s\n", vise_version());
    else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        cli_print_overview(stdout);
    else
        status = run(argc, argv);

    const bool lost = ferror(stdout) != 0; // of what was printed, a full disk may have taken part
    if (fclose(stdout) || lost) {
        fputs("vise: cannot write to stdout\n", stderr);
        if (!status) status = FAILED;
    }
    return status;
}
