/* `sekisho audit review`: the officer looks, decides, and signs for it. */

#define _GNU_SOURCE
#include <errno.h>
#include <sys/random.h>

#include "audit_review.h"

#define LINES_MAX 3800 /* bytes of decisions in one record */

/* ---- Findings ------------------------------------------------------------*/

static slice_t
kept(slice_t text, bool *failed)
{
    char *copy = strndup(text.data == NULL ? "" : text.data, text.size);

    *failed = *failed || copy == NULL;
    return (slice_t){copy, copy == NULL ? 0 : text.size};
}


static slice_t *const *
texts_of(finding_t *finding, slice_t *texts[12])
{
    slice_t *all[12] = {
        &finding->user,           &finding->facility,
        &finding->address,        &finding->patient,
        &finding->other_facility, &finding->other_address,
        &finding->detail,         &finding->quieted_until,
        &finding->quieted_reason, &finding->quieted_by,
        &finding->decided_text,   &finding->decided_by,
    };

    memcpy(texts, all, sizeof(all));
    return texts;
}


static bool
keep(void *context, const finding_t *finding)
{
    review_run_t *run = context;
    slice_t *texts[12];
    bool failed = false;
    item_t *item;

    if (run->count == run->capacity) {
        size_t capacity = run->capacity == 0 ? 32 : run->capacity * 2;
        item_t *items = realloc(run->items, capacity * sizeof(*items));

        if (items == NULL) {
            run->outcome.dropped++;
            return false;
        }
        run->items = items;
        run->capacity = capacity;
    }
    item = &run->items[run->count++];
    *item = (item_t){.finding = *finding};
    (void) texts_of(&item->finding, texts);
    for (unsigned i = 0; i < 12; i++) {
        *texts[i] = kept(*texts[i], &failed);
    }
    return !failed;
}


int
review_find(review_run_t *run)
{
    char error[256];
    findings_outcome_t outcome;

    if (findings_run(&run->look.input, run->from_ms, run->to_ms, keep, run,
                     &outcome, error) < 0)
    {
        return fail(run->look.arguments->command->name, "%s", error);
    }
    run->outcome = outcome;
    if (run->count < outcome.found) {
        return fail(run->look.arguments->command->name, "out of memory");
    }
    return STATUS_OK;
}


void
review_free(review_run_t *run)
{
    slice_t *texts[12];

    for (size_t i = 0; i < run->count; i++) {
        (void) texts_of(&run->items[i].finding, texts);
        for (unsigned k = 0; k < 12; k++) {
            free((char *) texts[k]->data);
        }
        free(run->items[i].text);
    }
    free(run->items);
    free(run->own_note);
    look_close(&run->look);
}


size_t
review_open_count(const review_run_t *run)
{
    size_t open = 0;

    for (size_t i = 0; i < run->count; i++) {
        open += is_open(&run->items[i]);
    }
    return open;
}


/* ---- Decisions from the command line -------------------------------------*/

static int
take_decision(review_run_t *run, const char *value)
{
    const char *command = run->look.arguments->command->name;
    const char *equals = strchr(value, '=');
    const char *text = equals == NULL ? NULL : strchr(equals, ':');
    finding_decision_t decision = FINDING_UNDECIDED;
    item_t *item = NULL;
    slice_t id, verb;

    if (text != NULL) {
        id = (slice_t){value, (size_t) (equals - value)};
        verb = (slice_t){equals + 1, (size_t) (text - equals - 1)};
        decision = slice_is(verb, "explained")   ? FINDING_EXPLAINED
                   : slice_is(verb, "escalated") ? FINDING_ESCALATED
                                                 : FINDING_UNDECIDED;
    }
    if (decision == FINDING_UNDECIDED) {
        return fail(command,
                    "--finding %s: write ID=explained:TEXT or "
                    "ID=escalated:TEXT",
                    value);
    }
    for (size_t i = 0; i < run->count && item == NULL; i++) {
        item = slice_is(id, run->items[i].finding.id) ? &run->items[i] : NULL;
    }
    if (item == NULL) {
        return fail(command,
                    "--finding %.*s: no finding of this period; "
                    "\"sekisho audit review --list --all\" lists them",
                    SLICE_ARG(id));
    }
    if (item->decision != FINDING_UNDECIDED) {
        return fail(command, "--finding %.*s: given twice", SLICE_ARG(id));
    }
    if (check_words(command, "--finding", slice_of(text + 1),
                    DECISION_TEXT_MAX) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    item->text = strdup(text + 1);
    item->decision = decision;
    return item->text == NULL ? fail(command, "out of memory") : STATUS_OK;
}


static int
take_options(review_run_t *run)
{
    const arguments_t *arguments = run->look.arguments;
    const char *command = arguments->command->name;
    const char *next = option_value(arguments, "--next"), *value;
    int32_t today = review_day(run->look.now_ms);

    run->next_day = today + (int32_t) run->look.settings.review_days;
    if (next != NULL && !clock_parse_day(slice_of(next), &run->next_day)) {
        return fail(command, "--next %s: no date such as 2027-01-31", next);
    }
    if (run->next_day < today) {
        return fail(command, "--next %s: a day that is over", next);
    }
    run->note = option_value(arguments, "--note");
    if (run->note != NULL && check_words(command, "--note", slice_of(run->note),
                                         NOTE_TEXT_MAX) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    for (unsigned i = 0;
         (value = option_nth(arguments, "--finding", i)) != NULL; i++)
    {
        if (take_decision(run, value) != STATUS_OK) {
            return STATUS_ERROR;
        }
    }
    return STATUS_OK;
}


/* ---- The signature -------------------------------------------------------*/

typedef struct {
    own_words_t own;
    char session[33], first[RECORD_TIME_TEXT_MAX], last[RECORD_TIME_TEXT_MAX];
    char tree[24], until[CLOCK_TEXT_MAX];
    char lines[LINES_MAX];
    size_t used;
} words_of_review_t;


static int
random_id(char text[33])
{
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes)) {
        return -EIO;
    }
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        (void) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return 0;
}


static int
send_part(const review_run_t *run, client_t *client, words_of_review_t *words,
          bool last)
{
    record_t record;
    char day[CLOCK_TEXT_MAX];

    own_record(EVENT_REVIEW, &words->own, &record);
    record.values[RECORD_SESSION] = slice_of(words->session);
    record.values[RECORD_FIRST] = slice_of(words->first);
    record.values[RECORD_LAST] = slice_of(words->last);
    record.values[RECORD_TREE_SIZE] = slice_of(words->tree);
    record.values[RECORD_FINDINGS] = (slice_t){words->lines, words->used};
    if (last) {
        record.values[RECORD_NOTE] = slice_of(run->note);
        (void) snprintf(words->until, sizeof(words->until), "%s",
                        day_text(run->next_day, day));
        record.values[RECORD_UNTIL] = slice_of(words->until);
    } else {
        record.values[RECORD_REASON] = SLICE("part");
    }
    words->used = 0;
    return client_record(client, &record);
}


/* Decisions that do not fit into one record come before it in others. */
static int
send_all(const review_run_t *run, client_t *client)
{
    words_of_review_t words = {.used = 0};
    int error = random_id(words.session);

    (void) record_time(run->from_ms, words.first);
    (void) record_time(run->to_ms, words.last);
    (void) snprintf(words.tree, sizeof(words.tree), "%llu",
                    (unsigned long long) index_size(run->look.index));
    for (size_t i = 0; error == 0 && i < run->count; i++) {
        const item_t *item = &run->items[i];
        size_t needed = FINDING_ID_SIZE + sizeof("=explained:\n");

        if (item->decision == FINDING_UNDECIDED) {
            continue;
        }
        needed += strlen(item->text);
        if (words.used + needed > sizeof(words.lines)) {
            error = send_part(run, client, &words, false);
        }
        words.used += (size_t) snprintf(
            words.lines + words.used, sizeof(words.lines) - words.used,
            "%s%s=%s:%s", words.used == 0 ? "" : "\n", item->finding.id,
            finding_decision_name(item->decision), item->text);
    }
    return error < 0 ? error : send_part(run, client, &words, true);
}


static int
sign(review_run_t *run)
{
    const char *command = run->look.arguments->command->name;
    _cleanup_(cleanup_client)
        client_t *client = daemon_open(command, &run->look.place);
    size_t open = review_open_count(run);
    char day[CLOCK_TEXT_MAX];
    int error;

    if (client == NULL) {
        return daemon_absent(command, &run->look.place,
                             "a review is a record in the trail");
    }
    error = send_all(run, client);
    if (error == 0) {
        error = client_checkpoint(client);
    }
    if (error < 0) {
        return record_failed(command, &run->look.place, client, error);
    }
    printf("Signed: the review is in the trail; the next is due on %s.\n",
           day_text(run->next_day, day));
    if (open > 0) {
        printf("%zu finding%s stay%s open.\n", open, open == 1 ? "" : "s",
               open == 1 ? "s" : "");
    }
    return STATUS_OK;
}


/* ---- The command ---------------------------------------------------------*/

static bool
is_scripted(const arguments_t *arguments)
{
    return option_given(arguments, "--finding") ||
           option_given(arguments, "--note") ||
           option_given(arguments, "--next");
}


static int
list(const review_run_t *run)
{
    if (option_given(run->look.arguments, "--json")) {
        return print_findings_json(run);
    }
    print_summary(run);
    print_findings(run, option_given(run->look.arguments, "--all"));
    print_not_looked_at(run);
    return review_open_count(run) > 0 ? STATUS_NO : STATUS_OK;
}


static int
go(review_run_t *run, const arguments_t *arguments)
{
    bool only_list = option_given(arguments, "--list");
    bool scripted = is_scripted(arguments);

    if (only_list && scripted) {
        return fail(arguments->command->name,
                    "--list only shows: leave it out to sign");
    }
    if (!only_list && !scripted &&
        (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0))
    {
        return fail(arguments->command->name,
                    "what shall be signed? give --note, --finding or --next; "
                    "or --list to look only; or run it in a terminal");
    }
    if (look_open(arguments, &run->look) != STATUS_OK ||
        look_period(&run->look, &run->from_ms, &run->to_ms) != STATUS_OK ||
        review_find(run) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (only_list) {
        return list(run);
    }
    if (take_options(run) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (!scripted) {
        print_summary(run);
        print_not_looked_at(run);
        if (!ask_all(run)) {
            printf("Nothing was signed.\n");
            return STATUS_NO;
        }
    }
    return sign(run);
}


static int
review(const arguments_t *arguments)
{
    review_run_t run = {.count = 0};
    int status = go(&run, arguments);

    review_free(&run);
    return status;
}


static const option_t review_options[] = {
    {"--since-last", NULL, "What is new since the last review [the default]."},
    {"--from", "TIME", "From this time on, as in \"audit search\"."},
    {"--to", "TIME", "Until this time [now]."},
    {"--finding", "ID=explained:TEXT",
     "Decide about a finding: explained, or escalated. May be given again."},
    {"--note", "TEXT", "What is to be said of the review."},
    {"--next", "DATE", "When the next one is due [review-every, 31 days]."},
    {"--list", NULL, "Show only, sign nothing."},
    {"--all", NULL, "With --list: quieted and decided findings, too."},
    {"--json", NULL, "With --list: all findings as JSON."},
    SETTINGS_OPTION,
    FINDINGS_POLICY_OPTION,
    FINDINGS_GEOIP_OPTION,
    INDEX_OPTION,
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_review_command = {
    .name = "audit review",
    .arguments = "",
    .summary = "Look at the findings, decide, and sign for it.",
    .details = "Shows what is out of the ordinary since the last review "
               "(docs/findings.md), asks about each finding in a terminal, and "
               "writes the review into the trail: who, of which period, at "
               "which size of the trail, what was decided, and when the next "
               "is due. With --finding, --note or --next nothing is asked.\n\n"
               "Exit status: 0 signed, or --list has nothing open; 1 --list "
               "has something open, or nothing was signed; 2 error.",
    .options = review_options,
    .repeatable = "--finding",
    .run = review,
};
