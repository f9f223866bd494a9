/* What every unit test includes: cmocka wants these four first. */

#ifndef SEKISHO_TESTS_UNIT_H
#define SEKISHO_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UNIT_TESTS(...)                                                        \
    int main(void)                                                             \
    {                                                                          \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                       \
        return cmocka_run_group_tests(tests, NULL, NULL);                      \
    }

/* The folder of a running test that mounts over /tmp stays open under this
 * number: it may lie there. */
#define PROGRAM_FOLDER_FD 200

#endif
