/*
 * What `sekisho otp` shares: questions to the daemon, codes from a person,
 * secrets to a person.  No secret and no code is ever an argument: those can be
 * read by everybody while the program runs.
 */

#ifndef SEKISHO_OTP_TOOLS_H
#define SEKISHO_OTP_TOOLS_H

#include "../lib/ipc/otp_message.h"
#include "trail_tools.h"

#define CODE_LINE_MAX 256 /* bytes that a person may type */

/* ---- The daemon (otp_desk.c) -------------------------------------------- */

typedef struct {
    const char *command;
    place_t place;
    client_t *client;
    char by[USER_NAME_MAX];
    char number[ASK_NUMBER_SIZE];
} desk_t;

/* Connects; an error is told.  Closed by desk_close() in any case. */
int desk_open(const arguments_t *arguments, desk_t *desk);
void desk_close(desk_t *desk);

/* Asks.  STATUS_OK: "yes".  STATUS_NO: "no", with the reason told unless
 * `quiet`.  STATUS_ERROR, always told.  `answer` lasts until the next call. */
int desk_ask(desk_t *desk, ask_operation_t operation, ask_t *ask, ask_t *answer,
             bool quiet);

/* The user of the command line, or else the one who runs this; name lasts as
 * long as `buffer`.  An error is told. */
int desk_user(const arguments_t *arguments, char buffer[USER_NAME_MAX],
              slice_t *user);

/* ---- The terminal (otp_terminal.c) -------------------------------------- */

/* A line from a person (the prompt only if it is a terminal), without its end
 * and the spaces around it.  The size, or -1 at the end of the input; wiped by
 * the caller. */
int read_answer(const char *prompt, char line[CODE_LINE_MAX]);

/*
 * Where secrets go: standard output only if it is a terminal or `--force` says
 * so, or a new file of mode 0600 (`-o`).  NULL after an error that was told.
 * Closed by secret_close(), which tells an error.
 */
FILE *secret_open(const arguments_t *arguments);
int secret_close(const char *command, FILE *out);

/* ---- Lines of JSON, as the daemon lists (otp_line.c) -------------------- */

/* A value of a flat object of our own writer, unescaped into `buffer`; size 0
 * if it is not there.  "true", "false" and numbers as they stand; null is not
 * there. */
slice_t line_value(slice_t line, const char *name, char *buffer, size_t size);

/* Takes the next line off a text. */
bool line_next(slice_t *text, slice_t *line);

/* Calls for each line of ASK_LIST or ASK_EXPORT, over all pages. */
typedef int (*line_fn)(void *context, slice_t line);
int desk_list(desk_t *desk, ask_operation_t operation, slice_t user, line_fn fn,
              void *context);

/* ---- QR codes (otp_qr.c) ------------------------------------------------ */

typedef enum { QR_NONE = 0, QR_TERMINAL, QR_SVG, QR_PNG } qr_form_t;
/* False if there is no such form. */
bool qr_form_parse(const char *name, qr_form_t *form);
/* 0 or negative errno. */
int qr_write(FILE *out, qr_form_t form, slice_t data);

/* ---- Imports (otp_import*.c) -------------------------------------------- */

/* A device that stands in a file of somebody else's. */
typedef struct {
    char user[257];
    char device[65];
    bool hotp;
    const char *digest; /* "SHA1" … */
    uint32_t digits, period_seconds;
    uint64_t counter;
    char secret[112]; /* base32 */
} import_t;

typedef struct {
    desk_t *desk;
    const char *path;
    const char *user;   /* --user, or NULL */
    const char *device; /* --device, or NULL */
    unsigned line;      /* of the file, for messages; 0: none */
    unsigned imported, skipped, failed;
    bool dry_run;
} importer_t;

/* Hands a device over; tells what was not taken. */
void import_device(importer_t *importer, import_t *device);
/* "sekisho otp import: PATH:LINE: …"; counts it as skipped. */
void import_skip(importer_t *importer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Each takes a whole file; STATUS_OK, or STATUS_ERROR after telling why it is
 * none of its kind. */
int import_google(importer_t *importer, slice_t text);
int import_usersfile(importer_t *importer, slice_t text);
int import_pskc(importer_t *importer, const char *key_path);

/* ---- Commands ----------------------------------------------------------- */

#define USER_OPTIONS CONFIG_OPTION, SOCKET_OPTION

extern const command_t otp_enroll_command, otp_list_command, otp_remove_command,
    otp_unlock_command, otp_recovery_command, otp_verify_command,
    otp_import_command, otp_export_command, otp_rekey_command,
    otp_clock_command, otp_key_command;

#endif
