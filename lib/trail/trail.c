#include "trail.h"

#include <stdarg.h>
#include <stdio.h>

void
trail_problem_set(trail_problem_t *problem, const char *format, ...)
{
    va_list arguments;

    if (problem == NULL) {
        return;
    }
    va_start(arguments, format);
    (void) vsnprintf(problem->text, sizeof(problem->text), format, arguments);
    va_end(arguments);
}
