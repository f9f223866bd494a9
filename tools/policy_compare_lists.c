/* Users, certificates, ways in and countries of a facility, item by item. */

#define _GNU_SOURCE
#include "policy_compare.h"

#include <errno.h>

#include "../lib/base/wipe.h"


/* One list of a facility, item by item as text. */
typedef struct {
    const char *what;
    bool (*item)(const policy_image_t *image, uint32_t facility, uint32_t i,
                 FILE *out);
    const char *gain; /* "%s" is not used: item, then this, then the id */
    const char *loss;
    const char *nobody; /* said when there is no such rule: "anybody" */
    const char *open;   /* "anybody may enter at": the rule went away */
    const char *narrow; /* "only those listed may enter at": it came */
} list_t;


static bool
item_user(const policy_image_t *image, uint32_t facility, uint32_t i, FILE *out)
{
    slice_t user;

    if (!policy_facility_user(image, facility, i, &user)) {
        return false;
    }
    fwrite(user.data, 1, user.size, out);
    return true;
}


static bool
item_pin(const policy_image_t *image, uint32_t facility, uint32_t i, FILE *out)
{
    uint8_t sha256[POLICY_SHA256_BYTES];
    char text[FINGERPRINT_TEXT_MAX];

    if (!policy_facility_pin(image, facility, i, sha256)) {
        return false;
    }
    fingerprint_format(sha256, text);
    fprintf(out, "certificate %s", text);
    return true;
}


static bool
item_authority(const policy_image_t *image, uint32_t facility, uint32_t i,
               FILE *out)
{
    uint8_t sha256[POLICY_SHA256_BYTES];
    char text[FINGERPRINT_TEXT_MAX];

    if (!policy_facility_authority(image, facility, i, sha256)) {
        return false;
    }
    fingerprint_format(sha256, text);
    fprintf(out, "certificates of authority %s", text);
    return true;
}


static bool
item_via(const policy_image_t *image, uint32_t facility, uint32_t i, FILE *out)
{
    address_t address;
    char text[ADDRESS_TEXT_MAX];

    if (!policy_facility_via(image, facility, i, &address)) {
        return false;
    }
    address_format(&address, text);
    fprintf(out, "arriving on %s", text);
    return true;
}


static bool
item_country(const policy_image_t *image, uint32_t facility, uint32_t i,
             FILE *out)
{
    char code[2];

    if (!policy_facility_country(image, facility, i, code)) {
        return false;
    }
    fprintf(out, "from country %.2s", code);
    return true;
}


static const list_t list_users = {"users",
                                  item_user,
                                  " may now enter at ",
                                  " may no longer enter at ",
                                  "anybody",
                                  "any user may now enter at ",
                                  "only the users listed may now enter at "};
static const list_t list_pins = {"certificate",
                                 item_pin,
                                 " is now accepted at ",
                                 " is no longer accepted at ",
                                 NULL,
                                 NULL,
                                 NULL};
static const list_t list_authorities = {"device-ca",
                                        item_authority,
                                        " are now accepted at ",
                                        " are no longer accepted at ",
                                        NULL,
                                        NULL,
                                        NULL};
static const list_t list_via = {
    "via",
    item_via,
    " one may now enter at ",
    " one may no longer enter at ",
    "any way",
    "arriving on any address one may now enter at ",
    "only over the addresses listed one may now enter at "};
static const list_t list_countries = {
    "country",
    item_country,
    " one may now enter at ",
    " one may no longer enter at ",
    "any country",
    "from any country one may now enter at ",
    "only from the countries listed one may now enter at "};


typedef struct {
    char **items; /* sorted */
    size_t count;
} texts_t;


static void
cleanup_texts(texts_t *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        free(texts->items[i]);
    }
    free(texts->items);
}


static int
compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *) left, *(char *const *) right);
}


static int
read_list(const list_t *list, const policy_image_t *image, uint32_t facility,
          uint32_t count, text_t *text, texts_t *texts)
{
    texts->items = calloc((size_t) count + 1, sizeof(*texts->items));
    if (texts->items == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        slice_t item;

        if (!list->item(image, facility, i, text_begin(text))) {
            continue;
        }
        item = text_end(text);
        texts->items[texts->count] = strndup(item.data, item.size);
        if (texts->items[texts->count] == NULL) {
            return -ENOMEM;
        }
        texts->count++;
    }
    qsort(texts->items, texts->count, sizeof(*texts->items), compare_texts);
    return 0;
}


static void
tell_item(versions_t *v, const list_t *list, const char *item, effect_t effect)
{
    FILE *out = versions_begin(v);

    fputs(item, out);
    fputs(effect == EFFECT_GAIN ? list->gain : list->loss, out);
    write_id(out, v->id);
    versions_tell(v, effect, list->what);
}


/* The rule came or went: everybody was allowed on one of the two sides. */
static void
tell_rule(versions_t *v, const list_t *list, bool had, const texts_t *texts)
{
    FILE *out = versions_begin(v);

    fputs(had ? list->open : list->narrow, out);
    write_id(out, v->id);
    if (had) {
        fprintf(out, " (was: %zu listed)", texts->count);
    } else {
        fprintf(out, " (was: %s):", list->nobody);
        for (size_t i = 0; i < texts->count && i < 10; i++) {
            fprintf(out, "%s %s", i == 0 ? "" : ",", texts->items[i]);
        }
        if (texts->count > 10) {
            fprintf(out, " and %zu more", texts->count - 10);
        }
    }
    versions_tell(v, had ? EFFECT_GAIN : EFFECT_LOSS, list->what);
}


/* `before` and `after`: the items, and whether there is such a rule at all. */
static int
compare_list(versions_t *v, const list_t *list, uint32_t count_before,
             uint32_t count_after, bool rule_before, bool rule_after)
{
    _cleanup_(cleanup_texts) texts_t before = {NULL, 0};
    _cleanup_(cleanup_texts) texts_t after = {NULL, 0};
    size_t i = 0, j = 0;

    if (read_list(list, v->all->before, v->before_index, count_before,
                  &v->all->text, &before) < 0 ||
        read_list(list, v->all->after, v->after_index, count_after,
                  &v->all->text, &after) < 0)
    {
        return -ENOMEM;
    }
    if (list->open != NULL && rule_before != rule_after) {
        tell_rule(v, list, rule_before, rule_before ? &before : &after);
        return 0;
    }
    while (i < before.count || j < after.count) {
        int order = i == before.count ? 1
                    : j == after.count
                        ? -1
                        : strcmp(before.items[i], after.items[j]);

        if (order < 0) {
            tell_item(v, list, before.items[i], EFFECT_LOSS);
        } else if (order > 0) {
            tell_item(v, list, after.items[j], EFFECT_GAIN);
        }
        i += order <= 0;
        j += order >= 0;
    }
    return 0;
}


int
compare_lists(versions_t *v)
{
    const policy_facility_t *b = &v->before, *a = &v->after;

    if (compare_list(v, &list_users, b->users_count, a->users_count,
                     b->has_users, a->has_users) < 0 ||
        compare_list(v, &list_pins, b->pins_count, a->pins_count, true, true) <
            0 ||
        compare_list(v, &list_authorities, b->authorities_count,
                     a->authorities_count, true, true) < 0 ||
        compare_list(v, &list_via, b->via_count, a->via_count, b->via_count > 0,
                     a->via_count > 0) < 0 ||
        compare_list(v, &list_countries, b->countries_count, a->countries_count,
                     b->countries_count > 0, a->countries_count > 0) < 0)
    {
        return -ENOMEM;
    }
    return 0;
}
