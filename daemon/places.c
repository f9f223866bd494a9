#define _GNU_SOURCE
#include "places.h"

#include <errno.h>
#include <stdlib.h>

#include "countries.h"
#include "identity.h"
#include "log.h"

/* Slices of about a megabyte that one tick may take: some 30 ms. */
#define STEPS_AT_ONCE 20

struct places_s {
    const config_t *config;
    policy_image_t *image; /* NULL: none was good yet */
    policy_loader_t *loader;
    identity_t identity; /* of what was last looked at */
    countries_t *countries;
};

static void
complain(const places_t *places, policy_image_result_t result)
{
    log_line(LOG_ERROR, "%s: %s%s%s; %s", places->config->policy,
             policy_image_strerror(result),
             result == POLICY_IMAGE_SYSTEM ? ": " : "",
             result == POLICY_IMAGE_SYSTEM ? strerror(errno) : "",
             places->image == NULL
                 ? "doors are refused until there is a good one: sekisho "
                   "policy apply"
                 : "the policy that was read before stays");
}

static void
want_countries(const places_t *places)
{
    if (!places->config->places_off && places->image != NULL &&
        policy_uses_country(places->image))
    {
        countries_wanted(places->countries);
    }
}

/* True while there is more to read. */
static bool
step(places_t *places)
{
    policy_image_t *image = NULL;
    policy_image_result_t result = policy_loader_step(places->loader, &image);

    if (result == POLICY_IMAGE_AGAIN) {
        return true;
    }
    if (result != POLICY_IMAGE_OK) {
        complain(places, result);
    }
    policy_loader_free(places->loader);
    places->loader = NULL;
    if (result != POLICY_IMAGE_OK) {
        return false;
    }
    policy_image_free(places->image);
    places->image = image;
    log_line(LOG_NOTICE, "policy %s is in force for doors",
             policy_image_version(image));
    want_countries(places);
    return false;
}

/* Begins to read the image if it is another one than the last time. */
static void
look(places_t *places)
{
    identity_t identity = identity_of(places->config->policy);
    policy_image_result_t result;

    if (places->config->policy == NULL ||
        identity_same(&identity, &places->identity))
    {
        return;
    }
    places->identity = identity;
    policy_loader_free(places->loader);
    places->loader = NULL;
    result = policy_loader_start(places->config->policy, &places->loader);
    if (result != POLICY_IMAGE_OK && result != POLICY_IMAGE_AGAIN) {
        complain(places, result);
    }
}

static void
load(places_t *places)
{
    look(places);
    if (places->config->policy != NULL && !places->identity.there) {
        errno = ENOENT;
        complain(places, POLICY_IMAGE_SYSTEM);
    }
    while (places->loader != NULL && step(places)) {
    }
}

places_t *
places_open(const config_t *config)
{
    places_t *places = calloc(1, sizeof(*places));

    if (places == NULL) {
        return NULL;
    }
    places->config = config;
    places->countries = countries_open(config);
    if (places->countries == NULL) {
        places_free(places);
        return NULL;
    }
    load(places);
    return places;
}

void
places_free(places_t *places)
{
    if (places != NULL) {
        policy_loader_free(places->loader);
        policy_image_free(places->image);
        countries_free(places->countries);
        free(places);
    }
}

void
places_configure(places_t *places, const config_t *config)
{
    const char *before = places->config->policy, *now = config->policy;
    bool same = before == NULL || now == NULL ? before == now
                                              : strcmp(before, now) == 0;

    places->config = config;
    countries_configure(places->countries, config);
    if (!same) {
        policy_image_free(places->image);
        places->image = NULL;
        memset(&places->identity, 0, sizeof(places->identity));
        load(places);
    } else {
        want_countries(places);
    }
}

void
places_tick(places_t *places)
{
    countries_tick(places->countries);
    look(places);
    for (unsigned i = 0; places->loader != NULL && i < STEPS_AT_ONCE; i++) {
        if (!step(places)) {
            break;
        }
    }
}

policy_service_t
places_service(slice_t service)
{
    policy_service_t known = policy_service_parse(service);

    if (known != POLICY_SERVICE_NONE) {
        return known;
    }
    return slice_is(service, "sshd") ? POLICY_SERVICE_SSH
                                     : POLICY_SERVICE_DESKTOP;
}

void
places_decide(const places_t *places, const place_question_t *question,
              place_t *place)
{
    policy_request_t request = {.address = question->address,
                                .local = question->local,
                                .now = question->now,
                                .service = places_service(question->service),
                                .transport = POLICY_TRANSPORT_ENCRYPTED,
                                .factor = question->factor_fresh
                                              ? POLICY_FACTOR_FRESH
                                              : POLICY_FACTOR_LATER,
                                .user_state = POLICY_USER_NAMED,
                                .user = question->user,
                                .country = countries_country,
                                .country_context = places->countries};
    policy_decision_t decision;
    policy_facility_t facility;

    *place = (place_t){.service = request.service};
    if (places->config->places_off) {
        place->verdict = POLICY_ALLOW;
        place->reason = "places-off";
        return;
    }
    if (places->image == NULL) {
        place->reason = policy_reason_name(POLICY_POLICY_MISSING);
        return;
    }
    policy_decide(places->image, &request, &decision, NULL);
    place->verdict = decision.verdict;
    place->reason = policy_reason_name(decision.reason);
    place->policy = policy_image_version(places->image);
    place->second_factor = decision.obligations.second_factor ||
                           decision.obligations.factor_fresh;
    place->idle_seconds = decision.obligations.idle_seconds;
    place->max_seconds = decision.obligations.max_seconds;
    if (policy_facility(places->image, decision.facility, &facility)) {
        place->facility = facility.id;
    }
}
