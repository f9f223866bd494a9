/*
 * Every way through a stack of PAM, whatever its modules return.
 *
 * The rules are those of Linux-PAM's dispatcher: an impression that begins
 * undefined, is made positive by ok and done and negative by bad and die;
 * jumps that leave it as it is and stay within their substack; substacks that
 * done and die only end themselves.
 */

#define _GNU_SOURCE
#include <stdlib.h>

#include "doctor_tools.h"

#define NODES_MAX 20000

typedef enum {
    IMPRESSION_NONE = 0,
    IMPRESSION_GOOD,  /* would open */
    IMPRESSION_OTHER, /* positive, with a return that is no success */
    IMPRESSION_BAD
} impression_t;

/* Where a walk stands.  What follows depends on this alone, so no place is
 * walked from twice. */
typedef struct {
    uint16_t next; /* the rule to come */
    uint8_t impression;
    uint8_t saved[STACK_LEVEL_MAX]; /* at the beginning of substacks */
    bool ours;                      /* our module has succeeded */
    bool refused;                   /* … or has refused */
    bool other;                     /* another factor has succeeded */
} place_t;

typedef struct {
    place_t place;
    int parent; /* -1: the beginning */
    /* the step that led here */
    uint16_t rule;
    uint8_t returned;
    int action;
} node_t;

typedef struct {
    const stack_t *stack;
    node_t *nodes;
    int count;
    bool full;
} walker_t;

/* Modules that open nothing by who one is: no factor. */
static const char *const no_factor[] = {
    "pam_permit.so",    "pam_deny.so",          "pam_env.so",
    "pam_faildelay.so", "pam_nologin.so",       "pam_cap.so",
    "pam_group.so",     "pam_gnome_keyring.so", "pam_kwallet5.so",
    "pam_echo.so",      "pam_warn.so",          "pam_securetty.so",
    "pam_shells.so",    "pam_succeed_if.so",    "pam_listfile.so",
    "pam_access.so",    "pam_time.so",          "pam_localuser.so",
    "pam_faillock.so",  "pam_tally2.so",        "pam_mail.so",
    "pam_limits.so",    "pam_wheel.so",         "pam_usertype.so",
    "pam_debug.so",     "pam_issue.so",         "pam_motd.so",
    "pam_keyinit.so",   "pam_rootok.so",        "pam_selinux.so",
    "pam_loginuid.so",  "pam_umask.so",         "pam_exec.so",
    "pam_kwallet.so",   "pam_timestamp.so",     "pam_lastlog.so",
    "pam_xauth.so",     "pam_sepermit.so",      "pam_rhosts.so",
};


static bool
is_factor(const stack_rule_t *rule)
{
    for (size_t i = 0; i < sizeof(no_factor) / sizeof(*no_factor); i++) {
        if (stack_rule_is(rule, no_factor[i])) {
            return false;
        }
    }
    return true;
}


/* What is known of these; any other may return anything. */
static bool
may_return(const stack_rule_t *rule, stack_return_t returned)
{
    if (stack_rule_is(rule, "pam_permit.so")) {
        return returned == RETURN_SUCCESS;
    }
    if (stack_rule_is(rule, "pam_deny.so")) {
        return returned == RETURN_FAILURE;
    }
    if (stack_rule_is(rule, DOCTOR_MODULE)) {
        return returned != RETURN_NEW_TOKEN;
    }
    /* It asks for a password, and never says that this is not its matter. */
    if (stack_rule_is(rule, "pam_unix.so")) {
        return returned != RETURN_IGNORE;
    }
    return true;
}


static void
add(walker_t *walker, const place_t *place, int parent, unsigned rule,
    stack_return_t returned, int action)
{
    node_t *node;

    for (int i = 0; i < walker->count; i++) {
        if (memcmp(&walker->nodes[i].place, place, sizeof(*place)) == 0) {
            return;
        }
    }
    if (walker->count == NODES_MAX) {
        walker->full = true;
        return;
    }
    node = &walker->nodes[walker->count++];
    node->place = *place;
    node->parent = parent;
    node->rule = (uint16_t) rule;
    node->returned = (uint8_t) returned;
    node->action = action;
}


static void
good(place_t *place, stack_return_t returned)
{
    if (place->impression == IMPRESSION_NONE ||
        place->impression == IMPRESSION_GOOD)
    {
        if (returned == RETURN_IGNORE) {
            return;
        }
        place->impression = returned == RETURN_SUCCESS ? IMPRESSION_GOOD
                                                       : IMPRESSION_OTHER;
    }
}


/* The rule behind the end of the substack, or of the stack. */
static unsigned
end_of_level(const stack_t *stack, unsigned rule)
{
    unsigned level = stack->rules[rule].level;

    for (rule++; rule < stack->count && stack->rules[rule].level >= level;
         rule++) {
    }
    return rule;
}


/* The rule behind `jumps` more of this level; false: there are not so many,
 * which Linux-PAM takes for a failure. */
static bool
jump(const stack_t *stack, unsigned *rule, int jumps)
{
    unsigned level = stack->rules[*rule].level, at = *rule;

    while (jumps > 0 && at + 1 < stack->count &&
           stack->rules[at + 1].level >= level)
    {
        do {
            at++;
        } while (at + 1 < stack->count && stack->rules[at + 1].level > level);
        jumps--;
    }
    *rule = at + 1;
    return jumps == 0;
}


static void
step(walker_t *walker, int from, stack_return_t returned, int action)
{
    const stack_t *stack = walker->stack;
    place_t place = walker->nodes[from].place;
    unsigned at = place.next, next = at + 1;
    const stack_rule_t *rule = &stack->rules[at];

    if (stack_rule_is(rule, DOCTOR_MODULE)) {
        /* It returns "ignore" only where its options ask for that by name. */
        if (returned == RETURN_SUCCESS || returned == RETURN_IGNORE) {
            place.ours = true;
        } else {
            place.refused = true;
        }
    } else if (returned == RETURN_SUCCESS && is_factor(rule)) {
        place.other = true;
    }
    switch (action) {
    case ACTION_IGNORE:
        break;
    case ACTION_OK:
    case ACTION_DONE:
        good(&place, returned);
        if (action == ACTION_DONE && (place.impression == IMPRESSION_GOOD ||
                                      place.impression == IMPRESSION_OTHER))
        {
            next = end_of_level(stack, at);
        }
        break;
    case ACTION_BAD:
        place.impression = IMPRESSION_BAD;
        break;
    case ACTION_DIE:
        place.impression = IMPRESSION_BAD;
        next = end_of_level(stack, at);
        break;
    case ACTION_RESET:
        place.impression = place.saved[rule->level];
        break;
    default:
        next = at;
        if (!jump(stack, &next, action)) {
            place.impression = IMPRESSION_BAD;
        }
        break;
    }
    place.next = (uint16_t) next;
    add(walker, &place, from, at, returned, action);
}


static void
walk_from(walker_t *walker, int from)
{
    place_t place = walker->nodes[from].place;
    const stack_rule_t *rule = &walker->stack->rules[place.next];

    if (rule->substack) {
        place.saved[rule->level + 1] = place.impression;
        place.next++;
        add(walker, &place, from, place.next - 1u, RETURNS, ACTION_IGNORE);
        return;
    }
    for (unsigned code = 0; code < STACK_CODES; code++) {
        stack_return_t returned = stack_code_return(code);

        if (!may_return(rule, returned)) {
            continue;
        }
        /* root may become anybody: that way is looked at no further. */
        if (returned == RETURN_SUCCESS && stack_rule_is(rule, "pam_rootok.so"))
        {
            continue;
        }
        step(walker, from, returned, rule->actions[code]);
    }
}


/* Whether the program takes what it gets here for a yes. */
static bool
opens(const stack_t *stack, const place_t *place)
{
    /* A password that has to be changed is changed, and then one is in. */
    return place->impression == IMPRESSION_GOOD ||
           (stack->type == STACK_ACCOUNT &&
            place->impression == IMPRESSION_OTHER);
}


static unsigned
last_of_ours(const stack_t *stack)
{
    unsigned last = 0;

    for (unsigned i = 0; i < stack->count; i++) {
        last = stack_rule_is(&stack->rules[i], DOCTOR_MODULE) ? i : last;
    }
    return last;
}


/* The step on the way to `end` at which it was decided. */
static void
blame(const walker_t *walker, int end, walk_t *walk)
{
    unsigned ours = last_of_ours(walker->stack);

    for (int i = end; walker->nodes[i].parent >= 0; i = walker->nodes[i].parent)
    {
        const node_t *node = &walker->nodes[i];
        const stack_rule_t *rule = &walker->stack->rules[node->rule];
        bool mine = stack_rule_is(rule, DOCTOR_MODULE);
        bool over = node->rule < ours && node->place.next > ours;

        if (walk->result == WALK_IGNORED ? mine
            : walk->result == WALK_ALONE
                ? mine && node->returned == RETURN_SUCCESS
                : over)
        {
            walk->culprit = rule;
            walk->returned = (stack_return_t) node->returned;
            walk->action = node->action;
        }
    }
}


static walk_result_t
judge(const stack_t *stack, const place_t *place)
{
    if (!opens(stack, place)) {
        return WALK_GOOD;
    }
    if (!place->ours) {
        return place->refused ? WALK_IGNORED : WALK_SKIPPED;
    }
    return stack->type == STACK_AUTH && !place->other ? WALK_ALONE : WALK_GOOD;
}


walk_t
walk_stack(const stack_t *stack)
{
    walk_t walk = {.result = WALK_GOOD};
    walker_t walker = {.stack = stack};
    place_t start;
    int alone = -1;

    /* Compared as bytes: the padding counts. */
    memset(&start, 0, sizeof(start));
    walker.nodes = calloc(NODES_MAX, sizeof(*walker.nodes));
    if (walker.nodes == NULL) {
        walk.result = WALK_TOO_MANY;
        return walk;
    }
    for (unsigned i = 0; i < stack->count; i++) {
        if (stack_rule_is(&stack->rules[i], "pam_rootok.so")) {
            walk.root = &stack->rules[i];
        }
    }
    add(&walker, &start, -1, 0, RETURNS, ACTION_IGNORE);
    /* Breadth first: the shortest way is the one that is told. */
    for (int i = 0; i < walker.count && walk.result == WALK_GOOD; i++) {
        const place_t *place = &walker.nodes[i].place;
        walk_result_t result;

        if (place->next < stack->count) {
            walk_from(&walker, i);
            continue;
        }
        result = judge(stack, place);
        if (result == WALK_ALONE) {
            alone = alone < 0 ? i : alone;
        } else if (result != WALK_GOOD) {
            walk.result = result;
            blame(&walker, i, &walk);
        }
    }
    if (walk.result == WALK_GOOD && walker.full) {
        walk.result = WALK_TOO_MANY;
    } else if (walk.result == WALK_GOOD && alone >= 0) {
        walk.result = WALK_ALONE;
        blame(&walker, alone, &walk);
    }
    free(walker.nodes);
    return walk;
}
