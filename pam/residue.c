/* The child that becomes the user, and the parent that waits for it. */

#define _GNU_SOURCE
#include "residue.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define GROUPS_MAX  4096
#define PATIENCE_MS 5000 /* beyond its time: a disk that hangs */
#define ANSWER_DONE UINT32_C(0x646f6e65)

/* What the child says when it is done. */
typedef struct {
    residue_t residue;
    int32_t error; /* negative errno: it could not begin */
    uint32_t done; /* ANSWER_DONE */
} answer_t;

static const char *const shared[] = {"/tmp", "/var/tmp", "/dev/shm"};

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- In the child -------------------------------------------------------- */

/* All three ids of both kinds, and no way back. */
static bool
become(uid_t uid, gid_t gid, const gid_t *groups, size_t count)
{
    uid_t real, effective, saved;

    if (setgroups(count, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    {
        return false;
    }
    return getresuid(&real, &effective, &saved) == 0 && real == uid &&
           effective == uid && saved == uid && uid != 0 && setuid(0) < 0 &&
           setgid(0) < 0;
}

/* The process has handlers and descriptors for its own purposes; a signal to
 * its group must not run them here. */
static void
forget_process(int keep)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++) {
        (void) signal(i, SIG_DFL);
    }
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
    if (keep > 0) {
        (void) close_range(0, (unsigned) keep - 1, 0);
    }
    (void) close_range((unsigned) keep + 1, ~0u, 0);
}

static void
sweep_home(sweep_t *sweep, const options_t *options, const char *path)
{
    int home = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (home < 0 || fstat(home, &st) < 0 || st.st_uid != sweep->uid) {
        sweep->residue.failures++;
    } else {
        for (uint32_t i = 0; i < options->wipes_count; i++) {
            sweep_path(sweep, home, options->wipes[i]);
        }
    }
    if (home >= 0) {
        (void) close(home);
    }
}

static void
sweep_shared(sweep_t *sweep)
{
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
        int fd = open(shared[i],
                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0) {
            sweep_folder(sweep, fd, true);
        } else if (errno != ENOENT && errno != ELOOP && errno != ENOTDIR) {
            sweep->residue.failures++;
        }
    }
}

static void
child(const options_t *options, const struct passwd *account,
      const gid_t *groups, size_t groups_count, int answer_fd)
{
    sweep_t sweep = {.uid = account->pw_uid};
    answer_t answer = {.done = ANSWER_DONE};

    forget_process(answer_fd);
    sweep.end_ms = now_ms() + (int64_t) options->wipe_seconds * 1000;
    if (!become(account->pw_uid, account->pw_gid, groups, groups_count)) {
        answer.error = -EPERM;
    } else {
        sweep_home(&sweep, options, account->pw_dir);
        sweep_shared(&sweep);
        answer.residue = sweep.residue;
    }
    (void) !write(answer_fd, &answer, sizeof(answer));
}

/* ---- In the parent ------------------------------------------------------- */

/* The whole answer, or a negative errno. */
static int
read_answer(int fd, int64_t end_ms, answer_t *answer)
{
    size_t used = 0;

    while (used < sizeof(*answer)) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        int64_t left = end_ms - now_ms();
        ssize_t n;

        if (left <= 0) {
            return -ETIMEDOUT;
        }
        if (poll(&pollfd, 1, (int) left) < 0 && errno != EINTR) {
            return -errno;
        }
        if (pollfd.revents == 0) {
            continue;
        }
        n = read(fd, (char *) answer + used, sizeof(*answer) - used);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            return -ECHILD; /* it died */
        }
        used += n > 0 ? (size_t) n : 0;
    }
    return answer->done == ANSWER_DONE ? 0 : -EPROTO;
}

/* The application may reap all children that it sees: ECHILD is no error. */
static void
reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* With all signals held back, so that the child runs no handler before it has
 * none. */
static pid_t
fork_quietly(void)
{
    sigset_t all, before;
    pid_t pid;
    int error;

    (void) sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) {
        errno = EAGAIN;
        return -1;
    }
    pid = fork();
    error = errno;
    if (pid != 0) {
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    errno = error;
    return pid;
}

int
residue_remove(const door_t *door, const struct passwd *account,
               residue_t *residue)
{
    _cleanup_(cleanup_free) gid_t *groups = calloc(GROUPS_MAX, sizeof(gid_t));
    int count = GROUPS_MAX, result, ends[2];
    answer_t answer = {0};
    pid_t pid;

    memset(residue, 0, sizeof(*residue));
    if (groups == NULL) {
        return -ENOMEM;
    }
    /* here, where it may ask name services, and not in the child */
    if (getgrouplist(account->pw_name, account->pw_gid, groups, &count) < 0) {
        return -E2BIG;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    pid = fork_quietly();
    if (pid < 0) {
        result = -errno;
        (void) close(ends[0]);
        (void) close(ends[1]);
        return result;
    }
    if (pid == 0) {
        child(door->options, account, groups, (size_t) count, ends[1]);
        _exit(0);
    }
    (void) close(ends[1]);
    result = read_answer(
        ends[0],
        now_ms() + (int64_t) door->options->wipe_seconds * 1000 + PATIENCE_MS,
        &answer);
    if (result < 0) {
        /* its end of the pipe is open, or it has not been reaped */
        if (result == -ETIMEDOUT) {
            (void) kill(pid, SIGKILL);
        }
    } else {
        result = answer.error;
        *residue = answer.residue;
    }
    (void) close(ends[0]);
    reap(pid);
    return result;
}
