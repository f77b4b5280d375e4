/* cli.h - what the commands share: their table, their parsed call, talk, time and memory.
 *
 * Data goes to stdout, talk to stderr. A command returns a vise_status; main turns it into the
 * exit status (0 done, 1 failed, 2 misused) and its message into one line of stderr.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_H
#define VISE_CLI_H

#include "opt.h"
#include "vise.h"

#include <stdio.h>

#define TRY(call)                                                                                  \
    do {                                                                                           \
        vise_status s_ = (call);                                                                   \
        if (s_) return s_;                                                                         \
    } while (0)

/* A command line, parsed. */
typedef struct cli_call {
    const void *opts; // the command's own options: what its table fills
    vise_import import;
    size_t threads; // >= 1
    size_t max_memory, cache;
    const char *cpu; // NULL: the best of this machine
    uint64_t seed;
    bool json, quiet;
    size_t nargs;
    char **args; // what is not an option
} cli_call;

enum { CLI_MAX_OPTS = 256, CLI_ANY = 1 << 30 };

/* One command: parser, help and documentation come from here. */
typedef struct cli_command {
    const char *name, *args, *summary; // summary: one line for the overview
    const char *about;                 // paragraphs for its own help, or NULL
    const opt *table;                  // its own options, or NULL
    const void *defaults;              // its options struct before parsing, or NULL
    size_t opts_size;                  // <= CLI_MAX_OPTS
    size_t min_args, max_args;
    bool import;   // takes the import options
    bool sessions; // runs models: takes the session options
    vise_status (*run)(const cli_call *c, vise_err *e);
} cli_command;

extern const cli_command cmd_bench, cmd_check, cmd_compress, cmd_convert, cmd_cpu, cmd_data,
    cmd_diff, cmd_distill, cmd_eval, cmd_finetune, cmd_help, cmd_info, cmd_new, cmd_profile,
    cmd_run, cmd_sensitivity, cmd_train;
extern const cli_command *const cli_commands[]; // in the order of the overview, ends with NULL

/* The command of this name. NULL: there is none, and e (VISE_EARG) may suggest another one. */
const cli_command *cli_find(const char *name, vise_err *e);
void cli_print_overview(FILE *f);
void cli_print_help(FILE *f, const cli_command *c);

extern const opt cli_common_table[], cli_session_table[]; // fill a cli_call

/* Fills e and returns code. */
vise_status cli_fail(vise_err *e, vise_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ // it cannot look into common.c: what fails is never VISE_OK
#define cli_fail(e, code, ...) ((cli_fail)(e, code, __VA_ARGS__), (code))
#endif

/* One line of talk; control bytes in it are shown as '?'. */
void cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Opens a model with the call's import options and prints its notes, unless --quiet; named: with
 * its path, for commands that open several models. */
vise_status cli_open(vise_model **m, const cli_call *c, const char *path, bool named, vise_err *e);

/* Opens a session by o and the call's threads, CPU level and memory. A model that does not fit is named
 * by its path. */
vise_status cli_session(vise_session **s, const cli_call *c, const vise_model *m, const char *path,
                        vise_session_opts o, vise_err *e);

/* Checks that an output's name ends in .vise: VISE_EARG. */
vise_status cli_check_out(const char *path, vise_err *e);
/* Saves m and prints the one line that says what was made. in_bytes: 0 if it came from no file. */
vise_status cli_save(const vise_model *m, const cli_call *c, const char *path, vise_err *e);

vise_status cli_print_saved(const vise_model *m, const cli_call *c, const char *path); // VISE_OK

double cli_seconds(void);               // a monotonic clock
const char *cli_cpu(const cli_call *c); // name of the CPU level in use

/* n zeroed items, or the program ends with exit status 1. */
void *cli_alloc(size_t n, size_t size);
_Noreturn void cli_no_memory(void);

#endif
