/* `sekisho policy`: its table of commands, and `check`. */

#include "policy_tools.h"

#include "../lib/base/wipe.h"

const command_t *const policy_commands[] = {
    &policy_check_command,
    &policy_apply_command,
    &policy_show_command,
    &policy_explain_command,
    &policy_diff_command,
    &policy_simulate_command,
    NULL,
};


static void
print_count(FILE *out, size_t count, const char *one, const char *many)
{
    if (count == 0) {
        fprintf(out, "no %s", many);
    } else {
        fprintf(out, "%zu %s", count, count == 1 ? one : many);
    }
}


static int
check(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    const char *path = argument(arguments, 0);
    _cleanup_(cleanup_report) report_t *report = report_new();
    _cleanup_(compiled_free) compiled_t compiled = {.bytes = NULL};
    unsigned warnings;
    bool good;
    FILE *out;

    if (report == NULL) {
        return fail(command, "out of memory");
    }
    good = policy_compile_file(path, report, &compiled);
    print_report(report);
    out = good ? stdout : stderr;
    warnings = report_warnings(report);
    print_safe(out, slice_of(path));
    fputs(": ", out);
    if (good) {
        print_count(out, compiled.facilities, "facility", "facilities");
        fputs(", ", out);
        print_count(out, compiled.networks, "network", "networks");
        fputs(", ", out);
    }
    print_count(out, report_errors(report), "error", "errors");
    if (warnings > 0) {
        fputs(", ", out);
        print_count(out, warnings, "warning", "warnings");
    }
    fputc('\n', out);
    return good ? STATUS_OK : STATUS_ERROR;
}


static const option_t check_options[] = {{NULL, NULL, NULL}};

const command_t policy_check_command = {
    .name = "policy check",
    .arguments = "FILE",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Check a policy text.",
    .details = "Reads facilities.conf(5), and all that it includes, and tells "
               "every error and warning with its file, line and column and "
               "what to write instead. Nothing is changed.\n\n"
               "Exit status: 0 no errors (warnings do not count); 2 errors.",
    .options = check_options,
    .run = check,
};
