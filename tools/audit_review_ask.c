/* The review in a terminal: one finding after the other. */

#define _GNU_SOURCE
#include "audit_review.h"

/* A line without its end, made fit to be recorded; NULL at the end of the
 * input.  To be freed. */
static char *
read_line(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = getline(&line, &capacity, stdin);

    if (size < 0) {
        free(line);
        return NULL;
    }
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r')) {
        line[--size] = '\0';
    }
    return line;
}


static char *
ask(const char *question)
{
    fputs(question, stdout);
    (void) fflush(stdout);
    return read_line();
}


/* A text that may be recorded; "" if none is given; NULL at the end. */
static char *
ask_text(const review_run_t *run, const char *question, size_t most)
{
    char *text;

    for (;;) {
        text = ask(question);
        if (text == NULL || text[0] == '\0' ||
            check_words(run->look.arguments->command->name, "the text",
                        slice_of(text), most) == STATUS_OK)
        {
            return text;
        }
        free(text);
    }
}


typedef enum { ANSWER_END = 0, ANSWER_NEXT, ANSWER_DONE } answer_t;


static answer_t
decide(const review_run_t *run, item_t *item, finding_decision_t decision)
{
    char *text = ask_text(run, "  why, in a sentence: ", DECISION_TEXT_MAX);

    if (text == NULL) {
        return ANSWER_END;
    }
    if (text[0] == '\0') {
        free(text);
        printf("  without a reason it stays open\n");
        return ANSWER_NEXT;
    }
    item->text = text;
    item->decision = decision;
    return ANSWER_NEXT;
}


static answer_t
ask_about(const review_run_t *run, item_t *item)
{
    char *answer;
    char first;

    for (;;) {
        answer = ask("  [e]xplained, e[s]calated, [l]eave open, [d]one: ");
        if (answer == NULL) {
            return ANSWER_END;
        }
        first = answer[0];
        free(answer);
        switch (first) {
        case 'e':
            return decide(run, item, FINDING_EXPLAINED);
        case 's':
            return decide(run, item, FINDING_ESCALATED);
        case 'l':
        case '\0':
            return ANSWER_NEXT;
        case 'd':
            return ANSWER_DONE;
        default:
            printf("  e, s, l or d\n");
        }
    }
}


static bool
ask_next(review_run_t *run)
{
    char day[CLOCK_TEXT_MAX], question[128];
    int32_t next;
    char *text;

    for (;;) {
        (void) snprintf(question, sizeof(question), "Next review due on [%s]: ",
                        day_text(run->next_day, day));
        text = ask(question);
        if (text == NULL) {
            return false;
        }
        if (text[0] == '\0') {
            free(text);
            return true;
        }
        if (clock_parse_day(slice_of(text), &next) &&
            next >= review_day(run->look.now_ms))
        {
            run->next_day = next;
            free(text);
            return true;
        }
        free(text);
        printf("  a date from today on, such as 2027-01-31\n");
    }
}


static bool
ask_signature(const review_run_t *run)
{
    char user[USER_NAME_MAX];
    char *answer;
    bool yes;

    caller_name(user);
    printf("Sign this review as ");
    print_safe(stdout, slice_of(user));
    printf(", %zu open? ", review_open_count(run));
    answer = ask("[y/N] ");
    yes = answer != NULL && (answer[0] == 'y' || answer[0] == 'Y');
    free(answer);
    return yes;
}


bool
ask_all(review_run_t *run)
{
    size_t open = review_open_count(run), shown = 0;
    answer_t answer = ANSWER_NEXT;

    for (size_t i = 0; i < run->count && answer == ANSWER_NEXT; i++) {
        if (!is_open(&run->items[i])) {
            continue;
        }
        printf("%zu/%zu\n", ++shown, open);
        print_finding(&run->items[i]);
        answer = ask_about(run, &run->items[i]);
    }
    if (answer == ANSWER_END) {
        return false;
    }
    run->own_note = ask_text(run, "Note for the review: ", NOTE_TEXT_MAX);
    if (run->own_note == NULL) {
        return false;
    }
    run->note = run->own_note[0] == '\0' ? NULL : run->own_note;
    return ask_next(run) && ask_signature(run);
}
