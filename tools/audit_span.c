/* Where in the trail a time is: entries are in the order of their arrival. */

#include "../lib/base/clock.h"
#include "audit_tools.h"

int
entries_find_time(trail_reader_t *reader, uint64_t size, int64_t seconds,
                  uint64_t *index)
{
    uint64_t low = 0, high = size;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        slice_t entry, time;
        int64_t at;
        bool local;
        int error = trail_reader_entry(reader, middle, &entry);

        if (error < 0) {
            return error;
        }
        if (!line_time(entry, &time) || !clock_parse(time, &at, &local)) {
            return 1;
        }
        if (at < seconds) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return 0;
}
