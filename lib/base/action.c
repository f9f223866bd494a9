#include "action.h"

static const char *const action_names[ACTION_COUNT] = {
    "none", "query", "view", "download", "store", "delete", "admin"};

const char *
action_name(action_t action)
{
    return (unsigned) action < ACTION_COUNT ? action_names[action] : "none";
}

action_t
action_parse(slice_t name)
{
    for (int i = ACTION_QUERY; i < ACTION_COUNT; i++) {
        if (slice_is(name, action_names[i])) {
            return (action_t) i;
        }
    }
    return ACTION_NONE;
}
