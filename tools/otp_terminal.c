/* Codes from a person, secrets to a person. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "otp_tools.h"

/* A byte at a time: what stdio reads ahead would stay in its buffer, and a
 * program that reads the rest of the input would miss it. */
int
read_answer(const char *prompt, char line[CODE_LINE_MAX])
{
    size_t size = 0, start = 0;
    bool any = false;
    char c;

    if (isatty(STDIN_FILENO) == 1) {
        fflush(stdout);
        fputs(prompt, stderr);
        fflush(stderr);
    }
    for (;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            if (!any) {
                return -1;
            }
            break;
        }
        any = true;
        if (c == '\n') {
            break;
        }
        if (size < CODE_LINE_MAX - 1) {
            line[size++] = c;
        }
    }
    while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\r' ||
                        line[size - 1] == '\t'))
    {
        size--;
    }
    while (start < size && (line[start] == ' ' || line[start] == '\t')) {
        start++;
    }
    memmove(line, line + start, size - start);
    line[size - start] = '\0';
    return (int) (size - start);
}


FILE *
secret_open(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    const char *path = option_value(arguments, "--output");
    FILE *out;
    int fd;

    if (path == NULL) {
        if (isatty(STDOUT_FILENO) != 1 && !option_given(arguments, "--force")) {
            fail(command, "standard output is no terminal, and what would be "
                          "written is secret: name a file with --output, or "
                          "say --force");
            return NULL;
        }
        return stdout;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (out == NULL) {
        fail(command, "%s: %s%s", path, strerror(errno),
             errno == EEXIST ? "; nothing is written over a file" : "");
        if (fd >= 0) {
            (void) close(fd);
        }
    }
    return out;
}


int
secret_close(const char *command, FILE *out)
{
    bool failed;

    if (out == NULL || out == stdout) {
        return STATUS_OK; /* told by main */
    }
    failed = fflush(out) != 0 || ferror(out) != 0 || fsync(fileno(out)) < 0;
    if (fclose(out) != 0 || failed) {
        return fail(command, "the file could not be written: %s",
                    strerror(errno));
    }
    return STATUS_OK;
}
