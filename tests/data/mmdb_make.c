/*
 * A country database of one's own, for tests:
 *
 *     build/bench/mmdb_make OUT < lines of "prefix CC"
 *
 * Empty lines and those beginning with # are skipped.
 */

#include <stdio.h>
#include <string.h>

#include "../../lib/base/wipe.h"
#include "../bench/mmdb_writer.h"

static void
cleanup_writer(mmdb_writer_t **writer)
{
    mmdb_writer_free(*writer);
}

int
main(int argc, char **argv)
{
    _cleanup_(cleanup_writer) mmdb_writer_t *writer = mmdb_writer_new();
    char line[256], network[64], code[8], more[2];
    unsigned number = 0;
    prefix_t prefix;
    int result;

    if (argc != 2 || writer == NULL) {
        fprintf(stderr, "usage: mmdb_make OUT < lines of \"prefix CC\"\n");
        return 2;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        number++;
        if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0') {
            continue;
        }
        if (sscanf(line, "%63s %7s %1s", network, code, more) != 2 ||
            prefix_parse(slice_of(network), &prefix) != PREFIX_OK ||
            strlen(code) != 2 || mmdb_writer_add(writer, &prefix, code) < 0)
        {
            fprintf(stderr, "mmdb_make: line %u is not \"prefix CC\": %s",
                    number, line);
            return 1;
        }
    }
    result = mmdb_writer_write(writer, argv[1]);
    if (result < 0) {
        fprintf(stderr, "mmdb_make: cannot write %s: %s\n", argv[1],
                strerror(-result));
        return 1;
    }
    return 0;
}
