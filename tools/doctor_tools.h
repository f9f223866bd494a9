/*
 * What the parts of `sekisho doctor pam` share: the stacks of PAM as
 * Linux-PAM puts them together, walks through them, and findings.
 */

#ifndef SEKISHO_DOCTOR_TOOLS_H
#define SEKISHO_DOCTOR_TOOLS_H

#include "tools.h"

#define DOCTOR_PATH_MAX   512
#define DOCTOR_MODULE     "pam_sekisho.so"
#define STACK_RULES_MAX   256
#define STACK_INCLUDE_MAX 16 /* files within each other */
#define STACK_LEVEL_MAX   8  /* substacks within each other */

/* ---- Stacks (doctor_stack.c) -------------------------------------------- */

typedef enum {
    STACK_AUTH = 0,
    STACK_ACCOUNT,
    STACK_SESSION,
    STACK_PASSWORD,
    STACK_TYPES
} stack_type_t;

const char *stack_type_name(stack_type_t type);

/* What a module may return, as far as it makes a difference. */
typedef enum {
    RETURN_SUCCESS = 0,
    RETURN_IGNORE,
    RETURN_NEW_TOKEN, /* new_authtok_reqd: a password has to be changed */
    RETURN_FAILURE,
    RETURNS
} stack_return_t;

/* What becomes of it; more than 0: so many rules are jumped over. */
enum {
    ACTION_IGNORE = 0,
    ACTION_OK = -1,
    ACTION_DONE = -2,
    ACTION_BAD = -3,
    ACTION_DIE = -4,
    ACTION_RESET = -5
};

/* The failures that controls can tell apart, and the three others. */
#define STACK_CODES 32

typedef struct {
    char file[DOCTOR_PATH_MAX]; /* without the --root */
    uint32_t line;
    unsigned level;   /* of substacks */
    bool substack;    /* marks where one begins; no module */
    bool quiet;       /* "-": a missing module is passed over */
    char control[64]; /* as written */
    char module[128]; /* name, or absolute path */
    char arguments[256];
    int actions[STACK_CODES]; /* by stack_code_return()'s index */
} stack_rule_t;

typedef struct {
    stack_type_t type;
    stack_rule_t rules[STACK_RULES_MAX];
    unsigned count;
    /* The first thing in it that is wrong in itself; "" if none. */
    char problem[512];
    char problem_file[DOCTOR_PATH_MAX];
    uint32_t problem_line;
} stack_t;

stack_return_t stack_code_return(unsigned code);

/* The module's name without its folder. */
const char *stack_rule_module(const stack_rule_t *rule);
bool stack_rule_is(const stack_rule_t *rule, const char *module);
/* Whether a word stands in the arguments: "one-prompt". */
bool stack_rule_has(const stack_rule_t *rule, const char *word);

/*
 * Puts the stack of a service together as Linux-PAM does (pam.conf(5)):
 * include, substack, Debian's @include, continued lines; a service without
 * rules of a type has those of "other".  `root` is "" or a folder.  0;
 * -ENOENT if there is no such service; or another negative errno.
 */
int stack_read(const char *root, const char *service, stack_type_t type,
               stack_t *stack);

/* ---- Walks (doctor_walk.c) ---------------------------------------------- */

typedef enum {
    WALK_GOOD = 0, /* no such way */
    WALK_SKIPPED,  /* a way in on which our line is not asked */
    WALK_IGNORED,  /* our line refuses, and it opens */
    WALK_ALONE,    /* the code opens without another factor */
    WALK_TOO_MANY  /* more ways than can be walked */
} walk_result_t;

typedef struct {
    walk_result_t result;
    const stack_rule_t *culprit; /* the rule that opens that way */
    stack_return_t returned;     /* … by returning this */
    int action;
    const stack_rule_t *root; /* pam_rootok.so before us: only root's way */
} walk_t;

/*
 * Walks all ways through the stack, whatever its modules return, and looks for
 * one that ends in success without a success of our module; in STACK_AUTH
 * then for one on which ours is the only factor.
 */
walk_t walk_stack(const stack_t *stack);

/* ---- sshd_config (doctor_sshd.c) ---------------------------------------- */

#define SSHD_MATCHES_MAX 32
#define SSHD_VALUE_MAX   512

typedef struct {
    char value[SSHD_VALUE_MAX];
    char file[DOCTOR_PATH_MAX];
    uint32_t line;   /* 0: not set, `value` is sshd's default */
    char match[128]; /* of the block it stands in; "": for everybody */
} sshd_value_t;

typedef enum {
    SSHD_USE_PAM = 0,
    SSHD_KEYBOARD,
    SSHD_PASSWORD,
    SSHD_METHODS,
    SSHD_SERVICE,
    SSHD_NAMES
} sshd_name_t;

typedef struct {
    sshd_value_t values[SSHD_NAMES];
    /* Those in Match blocks. */
    struct {
        sshd_name_t name;
        sshd_value_t value;
    } matches[SSHD_MATCHES_MAX];
    unsigned matches_count;
    bool incomplete; /* a file could not be read, or there was too much */
} sshd_config_t;

const char *sshd_name(sshd_name_t name);

/* Reads /etc/ssh/sshd_config with its Includes; the first value counts, as
 * sshd_config(5) has it.  0, -ENOENT, or another negative errno. */
int sshd_read(const char *root, sshd_config_t *config);

/* ---- Findings (doctor.c) ------------------------------------------------ */

typedef enum { FINDING_OK = 0, FINDING_NOTE, FINDING_WRONG } finding_t;

typedef struct {
    unsigned counts[FINDING_WRONG + 1];
} findings_t;

/* One finding: "  WRONG  auth  FILE:LINE: text", and the cure below it, which
 * may be NULL.  `file` may be NULL. */
void finding(findings_t *findings, finding_t level, const char *what,
             const char *file, uint32_t line, const char *cure,
             const char *format, ...) __attribute__((format(printf, 7, 8)));

/* What sshd_config says of the code; `factor`: the service asks for a
 * password too. */
void sshd_findings(findings_t *findings, const sshd_config_t *config,
                   bool factor);

#endif
