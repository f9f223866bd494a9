/* `sekisho policy diff`: who gains and who loses by a new policy. */

#include "policy_tools.h"

#include "../lib/base/wipe.h"


static const char *
effect_name(effect_t effect)
{
    switch (effect) {
    case EFFECT_GAIN:
        return "gain";
    case EFFECT_LOSS:
        return "loss";
    default:
        return "change";
    }
}


void
print_change(const change_t *change)
{
    static const struct {
        const char *sign;
        style_t style;
    } signs[] = {{"~", STYLE_WARN}, {"+", STYLE_GOOD}, {"-", STYLE_BAD}};
    size_t i = change->effect == EFFECT_GAIN   ? 1
               : change->effect == EFFECT_LOSS ? 2
                                               : 0;

    fputs(style_on(stdout, signs[i].style), stdout);
    fprintf(stdout, "%s ", signs[i].sign);
    print_safe(stdout, change->text);
    fputs(style_off(stdout, signs[i].style), stdout);
    fputc('\n', stdout);
}


typedef struct {
    json_t *json; /* NULL: lines for people */
    size_t count;
} sink_t;


static void
take_change(void *context, const change_t *change)
{
    sink_t *sink = context;

    sink->count++;
    if (sink->json == NULL) {
        print_change(change);
        return;
    }
    json_object(sink->json, NULL);
    json_string(sink->json, "effect", effect_name(change->effect));
    json_string(sink->json, "what", change->what);
    if (change->facility.size > 0) {
        json_text(sink->json, "facility", change->facility);
    } else {
        json_null(sink->json, "facility");
    }
    json_text(sink->json, "text", change->text);
    json_end_object(sink->json);
}


/*
 * The images differ, and in nothing that is compared: the order of facilities,
 * or what a time zone's clocks will do.
 */
static void
tell_form(sink_t *sink)
{
    change_t change = {
        .effect = EFFECT_OTHER,
        .what = "form",
        .facility = SLICE(""),
        .text = SLICE("who may enter is the same; the images differ in form "
                      "(order of facilities, how hours and networks are "
                      "written, or time-zone data)")};

    take_change(sink, &change);
}


static int
print_result(const char *command, const policy_image_t *before,
             const policy_image_t *after, bool as_json)
{
    _cleanup_(cleanup_json) json_t json = {.data = NULL};
    bool same = strcmp(policy_image_version(before),
                       policy_image_version(after)) == 0;
    sink_t sink = {.json = as_json ? &json : NULL};
    int status = same ? STATUS_OK : STATUS_NO;

    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "old", policy_image_version(before));
    json_string(&json, "new", policy_image_version(after));
    json_bool(&json, "same", same);
    json_array(&json, "changes");
    if (!same && policy_compare(before, after, take_change, &sink) < 0) {
        return fail(command, "out of memory");
    }
    if (!same && sink.count == 0) {
        tell_form(&sink);
    }
    json_end_array(&json);
    json_end_object(&json);
    if (as_json && print_json(command, json_result(&json)) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (!as_json && same) {
        printf("no difference: policy %s\n", policy_image_version(after));
    }
    return status;
}


static int
diff(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(cleanup_image) policy_image_t *before = NULL;
    _cleanup_(cleanup_image) policy_image_t *after = NULL;

    if (policy_open(command, argument(arguments, 0), &before) != STATUS_OK ||
        policy_open(command, argument(arguments, 1), &after) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    return print_result(command, before, after,
                        option_given(arguments, "--json"));
}


static const option_t diff_options[] = {
    {"--json", NULL, "Print JSON."},
    {NULL, NULL, NULL},
};

const command_t policy_diff_command = {
    .name = "policy diff",
    .arguments = "OLD NEW",
    .arguments_min = 2,
    .arguments_max = 2,
    .summary = "Tell who gains and who loses entry by a new policy.",
    .details =
        "OLD and NEW are policy images or policy texts. A line that begins "
        "with + tells who may enter, or do, what was refused before; one with "
        "- who no longer may; one with ~ what changed otherwise.\n\n"
        "Exit status: 0 no difference; 1 differences; 2 error.",
    .options = diff_options,
    .run = diff,
};
