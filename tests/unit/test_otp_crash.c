/* kill -9 at any instant: no code is accepted twice. */

#define _GNU_SOURCE
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "otp_unit.h"
#include "random_numbers.h"

#define USERS 4

/* What the verifying process says, once it is durable. */
typedef struct {
    uint32_t user;
    uint32_t result;
    uint64_t step;
} said_t;

static const char *const users[USERS] = {"abe", "endo", "ito", "sato"};

/* Time goes on by a step with every other group, from the last step that was
 * used before the last kill; the same code is tried again and again. */
static void
verify_until_killed(otp_unit_t *unit, int pipe, uint64_t step, uint64_t seed)
{
    random_t random = {seed};

    for (;;) {
        said_t said[8];
        unsigned count = 1 + random_below(&random, 8), i;

        if (otp_begin(unit->store) != 0) {
            _exit(2);
        }
        unit->now_ms = (int64_t) step * 30000;
        for (i = 0; i < count; i++) {
            char code[9];

            said[i].user = random_below(&random, USERS);
            said[i].step = step;
            (void) code_of(users[said[i].user], step, code);
            said[i].result =
                attempt_from(unit, users[said[i].user], code, "local").result;
        }
        if (otp_commit(unit->store) != 0) {
            _exit(3);
        }
        if (write(pipe, said, count * sizeof(*said)) !=
            (ssize_t) (count * sizeof(*said)))
        {
            _exit(4);
        }
        step += random_below(&random, 2);
    }
}

static void
pause_microseconds(long microseconds)
{
    const struct timespec pause = {0, microseconds * 1000};

    (void) nanosleep(&pause, NULL);
}

typedef struct {
    uint64_t next[USERS]; /* the first step that may be accepted */
    unsigned accepted;
} model_t;

static void
check_said(model_t *model, int pipe)
{
    said_t said;

    while (read(pipe, &said, sizeof(said)) == (ssize_t) sizeof(said)) {
        if (said.result == OTP_ACCEPTED) {
            assert_true(said.step >= model->next[said.user]);
            model->next[said.user] = said.step + 1;
            model->accepted++;
        } else {
            assert_int_equal(said.result, OTP_REPLAYED);
            assert_true(said.step + 1 == model->next[said.user]);
        }
    }
}

/* What was said to be accepted is used up in the store that is left. */
static void
check_store(otp_unit_t *unit, model_t *model)
{
    unsigned i;

    assert_int_equal(otp_unit_open(unit, false), 0);
    assert_false(otp_stale(unit->store));
    for (i = 0; i < USERS; i++) {
        device_row_t device;
        user_row_t user;

        assert_int_equal(device_get(unit->store, slice_of(users[i]),
                                    SLICE("phone"), &device),
                         0);
        assert_true(device.next >= model->next[i]);
        model->next[i] = device.next; /* durable, though not said */
        assert_int_equal(user_get(unit->store, slice_of(users[i]), &user), 0);
        assert_false(user.locked);
        assert_int_equal(user.failures, 0);
    }
    otp_unit_close(unit);
}

static void
one_life(otp_unit_t *unit, model_t *model, random_t *random)
{
    int ends[2], status;
    uint64_t first = step_now(unit);
    unsigned i;
    pid_t child;

    for (i = 0; i < USERS; i++) {
        first = model->next[i] > first ? model->next[i] - 1 : first;
    }
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        (void) close(ends[0]);
        if (otp_unit_open(unit, false) != 0) {
            _exit(1);
        }
        verify_until_killed(unit, ends[1], first, random_next(random));
    }
    (void) close(ends[1]);
    pause_microseconds(1000 + random_below(random, 15000));
    assert_int_equal(kill(child, SIGKILL), 0);
    check_said(model, ends[0]);
    (void) close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    check_store(unit, model);
    (void) random_next(random);
}

static void
no_kill_makes_a_code_good_again(void **state)
{
    otp_unit_t *unit = *state;
    const char *asked = getenv("SEKISHO_LONG");
    unsigned lives = asked != NULL && *asked != '\0' ? 5000 : 200, i;
    random_t random = {4};
    model_t model = {0};

    for (i = 0; i < USERS; i++) {
        add_user(unit, users[i]);
    }
    otp_unit_close(unit);
    for (i = 0; i < lives; i++) {
        one_life(unit, &model, &random);
    }
    assert_true(model.accepted > lives);
}

UNIT_TESTS(OTP_TEST(no_kill_makes_a_code_good_again))
