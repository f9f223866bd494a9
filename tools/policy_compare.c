/*
 * Two policies compared in terms of who gains and who loses.
 *
 * What is a set (users, hours, days, actions …) is compared as a set: what is
 * only in the new one is a gain, what is only in the old one a loss.
 */

#include "policy_compare.h"

#include <errno.h>

#include "../lib/base/wipe.h"


void
comparison_tell(comparison_t *comparison, effect_t effect, const char *what,
                slice_t facility)
{
    change_t change = {.effect = effect,
                       .what = what,
                       .facility = facility,
                       .text = text_end(&comparison->text)};

    comparison->tell(comparison->context, &change);
}


void
write_id(FILE *out, slice_t id)
{
    fprintf(out, "%s%.*s%s", output_mark("‘", "'"), SLICE_ARG(id),
            output_mark("’", "'"));
}


static void
compare_bits(versions_t *v, const char *what, uint32_t before, uint32_t after,
             void (*write)(FILE *out, uint32_t bits))
{
    static const struct {
        effect_t effect;
        const char *words;
    } sides[] = {{EFFECT_GAIN, " now allows "},
                 {EFFECT_LOSS, " no longer allows "}};

    for (size_t i = 0; i < 2; i++) {
        uint32_t bits = i == 0 ? after & ~before : before & ~after;
        FILE *out;

        if (bits == 0) {
            continue;
        }
        out = versions_begin(v);
        write_id(out, v->id);
        fputs(sides[i].words, out);
        write(out, bits);
        versions_tell(v, sides[i].effect, what);
    }
}


/* A line for a value that is wider or narrower than before. */
static void
tell_value(versions_t *v, const char *what, effect_t effect,
           const char *sentence, const char *was)
{
    FILE *out = versions_begin(v);

    write_id(out, v->id);
    fprintf(out, " %s", sentence);
    if (was != NULL) {
        fprintf(out, " (was: %s)", was);
    }
    versions_tell(v, effect, what);
}


static void
compare_limit(versions_t *v, const char *name, uint32_t before, uint32_t after)
{
    FILE *out;

    if (before == after) {
        return;
    }
    out = versions_begin(v);
    write_id(out, v->id);
    fprintf(out, " session %s: ", name);
    if (after == 0) {
        fputs("no limit", out);
    } else {
        write_duration(out, after);
    }
    fputs(" (was: ", out);
    if (before == 0) {
        fputs("no limit", out);
    } else {
        write_duration(out, before);
    }
    fputc(')', out);
    versions_tell(v,
                  after == 0 || (before != 0 && after > before) ? EFFECT_GAIN
                                                                : EFFECT_LOSS,
                  "session");
}


static void
compare_wording(versions_t *v, const char *what, slice_t before, slice_t after)
{
    FILE *out;

    if (slice_equal(before, after)) {
        return;
    }
    out = versions_begin(v);
    write_id(out, v->id);
    fprintf(out, " %s is now \"%.*s\" (was: \"%.*s\")", what, SLICE_ARG(after),
            SLICE_ARG(before));
    versions_tell(v, EFFECT_OTHER, what);
}


static void
compare_flags(versions_t *v)
{
    const policy_facility_t *b = &v->before, *a = &v->after;

    if (b->dry_run != a->dry_run) {
        tell_value(v, "mode", a->dry_run ? EFFECT_GAIN : EFFECT_LOSS,
                   a->dry_run ? "is now in dry-run: whoever matches it enters"
                              : "is now enforced",
                   a->dry_run ? "enforced" : "dry-run");
    }
    if (b->any != a->any) {
        tell_value(v, "network", a->any ? EFFECT_GAIN : EFFECT_LOSS,
                   a->any ? "may now be entered as from any address, with its "
                            "certificate"
                          : "may no longer be entered as from any address",
                   NULL);
    }
    if (b->local != a->local) {
        tell_value(v, "network", a->local ? EFFECT_GAIN : EFFECT_LOSS,
                   a->local ? "may now be entered as without a network"
                            : "may no longer be entered as without a network",
                   NULL);
    }
    if (b->device != a->device) {
        FILE *out = versions_begin(v);

        write_id(out, v->id);
        fprintf(out, " device certificate: %s (was: %s)",
                device_name(a->device), device_name(b->device));
        versions_tell(v, a->device < b->device ? EFFECT_GAIN : EFFECT_LOSS,
                      "device");
    }
    if (b->second_factor != a->second_factor) {
        tell_value(v, "second-factor",
                   a->second_factor ? EFFECT_LOSS : EFFECT_GAIN,
                   a->second_factor ? "now asks for a second factor"
                                    : "no longer asks for a second factor",
                   NULL);
    }
    if (b->off_hours_factor != a->off_hours_factor) {
        tell_value(v, "off-hours",
                   a->off_hours_factor ? EFFECT_GAIN : EFFECT_LOSS,
                   a->off_hours_factor
                       ? "now opens outside its hours to a fresh code"
                       : "no longer opens outside its hours to a fresh code",
                   NULL);
    }
}


static int
compare_facility(versions_t *v)
{
    compare_flags(v);
    if (compare_lists(v) < 0) {
        return -ENOMEM;
    }
    compare_bits(v, "services", v->before.services, v->after.services,
                 write_services);
    compare_bits(v, "actions", v->before.actions, v->after.actions,
                 write_actions);
    if (!slice_equal(v->before.zone, v->after.zone)) {
        FILE *out = versions_begin(v);

        write_id(out, v->id);
        fprintf(out, " keeps the time of %.*s (was: %.*s)",
                SLICE_ARG(v->after.zone), SLICE_ARG(v->before.zone));
        versions_tell(v, EFFECT_OTHER, "timezone");
    }
    if (compare_times(v) < 0) {
        return -ENOMEM;
    }
    compare_limit(v, "idle", v->before.idle_seconds, v->after.idle_seconds);
    compare_limit(v, "max", v->before.max_seconds, v->after.max_seconds);
    compare_wording(v, "name", v->before.name, v->after.name);
    compare_wording(v, "contact", v->before.contact, v->after.contact);
    return 0;
}


/* ---- All facilities of both --------------------------------------------- */

static int
compare_pairs(const void *left, const void *right)
{
    const pair_t *a = left, *b = right;
    size_t size = a->id.size < b->id.size ? a->id.size : b->id.size;
    int order = memcmp(a->id.data, b->id.data, size);

    return order != 0 ? order
                      : (a->id.size > b->id.size) - (a->id.size < b->id.size);
}


/* Every facility of either, sorted by id, those of the same id joined. */
static int
pair_facilities(comparison_t *comparison)
{
    uint32_t before = policy_facilities(comparison->before);
    uint32_t after = policy_facilities(comparison->after);
    pair_t *pairs = calloc((size_t) before + after + 1, sizeof(*pairs));
    size_t count = 0, kept = 0;
    policy_facility_t facility;

    if (pairs == NULL) {
        return -ENOMEM;
    }
    comparison->pairs = pairs;
    for (uint32_t i = 0; i < before; i++) {
        if (policy_facility(comparison->before, i, &facility)) {
            pairs[count++] = (pair_t){facility.id, i, POLICY_NO_FACILITY};
        }
    }
    for (uint32_t i = 0; i < after; i++) {
        if (policy_facility(comparison->after, i, &facility)) {
            pairs[count++] = (pair_t){facility.id, POLICY_NO_FACILITY, i};
        }
    }
    qsort(pairs, count, sizeof(*pairs), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        pair_t *last = kept == 0 ? NULL : &pairs[kept - 1];

        if (last == NULL || !slice_equal(last->id, pairs[i].id)) {
            pairs[kept++] = pairs[i];
        } else if (pairs[i].before != POLICY_NO_FACILITY) {
            last->before = pairs[i].before;
        } else {
            last->after = pairs[i].after;
        }
    }
    comparison->pairs_count = kept;
    return 0;
}


/* In one line: what a new facility lets in, or what an old one did. */
static void
tell_whole(comparison_t *comparison, const pair_t *pair)
{
    bool is_new = pair->before == POLICY_NO_FACILITY;
    const policy_image_t *image = is_new ? comparison->after
                                         : comparison->before;
    uint32_t index = is_new ? pair->after : pair->before;
    FILE *out = text_begin(&comparison->text);
    policy_facility_t facility;

    if (!policy_facility(image, index, &facility)) {
        return;
    }
    fputs("facility ", out);
    write_id(out, pair->id);
    fputs(is_new ? " is new: " : " is gone: it had ", out);
    fprintf(out, "%u %s%s%s, device certificate %s, hours ",
            facility.networks_count,
            facility.networks_count == 1 ? "network" : "networks",
            facility.any ? " and any" : "", facility.local ? " and local" : "",
            device_name(facility.device));
    write_hours(out, image, index);
    fputs(", actions ", out);
    write_actions(out, facility.actions);
    if (facility.has_users) {
        fprintf(out, ", %u %s", facility.users_count,
                facility.users_count == 1 ? "user" : "users");
    }
    if (facility.dry_run) {
        fputs(", dry-run", out);
    }
    comparison_tell(comparison, is_new ? EFFECT_GAIN : EFFECT_LOSS, "facility",
                    pair->id);
}


int
policy_compare(const policy_image_t *before, const policy_image_t *after,
               change_fn tell, void *context)
{
    comparison_t comparison = {
        .before = before, .after = after, .tell = tell, .context = context};
    int result = text_open(&comparison.text);

    if (result < 0) {
        return result;
    }
    result = pair_facilities(&comparison);
    if (result == 0) {
        result = compare_ranges(&comparison);
    }
    for (size_t i = 0; i < comparison.pairs_count && result == 0; i++) {
        const pair_t *pair = &comparison.pairs[i];
        versions_t v = {.all = &comparison,
                        .id = pair->id,
                        .before_index = pair->before,
                        .after_index = pair->after};

        if (pair->before == POLICY_NO_FACILITY ||
            pair->after == POLICY_NO_FACILITY) {
            tell_whole(&comparison, pair);
        } else if (policy_facility(before, pair->before, &v.before) &&
                   policy_facility(after, pair->after, &v.after))
        {
            result = compare_facility(&v);
        }
    }
    free(comparison.pairs);
    text_close(&comparison.text);
    return result;
}
