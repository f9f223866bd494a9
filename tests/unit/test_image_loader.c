/* Taking an image over from a file that others may change meanwhile. */

#define _GNU_SOURCE
#include "policy_decided.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/policy/image_layout.h"
#include "image_walk.h"

#define LONG_AGO 1000000000

typedef struct {
    char folder[64];
    char path[96];
    char other[96];
    uint8_t *bytes; /* an image of some megabytes */
    size_t size;
    uint8_t *small; /* and a small one */
    size_t small_size;
} files_t;

/* An image that takes several slices: users are cheap to compile. */
static uint8_t *
large_image(size_t *size)
{
    policy_source_t *source = source_of(
        "facility large { network 198.51.100.0/24; }");
    policy_source_facility_t *facility = &source->facilities[0];
    size_t count = 25000, text_size = 200;
    slice_t *users = calloc(count, sizeof(*users));
    char *text = malloc(count * text_size + 1);
    uint8_t *bytes;

    assert_non_null(users);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        (void) snprintf(text + i * text_size, text_size + 1, "%0200zu", i);
        users[i] = (slice_t){text + i * text_size, text_size};
    }
    facility->has_users = true;
    facility->users = users;
    facility->users_count = count;
    bytes = compiled_bytes(source, size);
    free(users);
    free(text);
    policy_source_free(source);
    return bytes;
}

/* A time stamp of the past, so that a change of it is seen at once. */
static void
set_time(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void
put(const char *path, const uint8_t *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(close(fd), 0);
    set_time(path, LONG_AGO);
}

static int
set_up(void **state)
{
    files_t *files = calloc(1, sizeof(*files));
    policy_source_t *source;

    assert_non_null(files);
    (void) snprintf(files->folder, sizeof(files->folder),
                    "/tmp/sekisho-loader-XXXXXX");
    assert_non_null(mkdtemp(files->folder));
    (void) snprintf(files->path, sizeof(files->path), "%s/policy.img",
                    files->folder);
    (void) snprintf(files->other, sizeof(files->other), "%s/other.img",
                    files->folder);
    files->bytes = large_image(&files->size);
    source = source_of("facility small { network 198.51.100.0/24; }");
    files->small = compiled_bytes(source, &files->small_size);
    policy_source_free(source);
    put(files->path, files->bytes, files->size);
    *state = files;
    return 0;
}

static int
tear_down(void **state)
{
    files_t *files = *state;

    (void) unlink(files->path);
    (void) unlink(files->other);
    (void) rmdir(files->folder);
    free(files->bytes);
    free(files->small);
    free(files);
    return 0;
}

static unsigned
entries_of(const char *folder)
{
    DIR *entries = opendir(folder);
    unsigned count = 0;

    assert_non_null(entries);
    while (readdir(entries) != NULL) {
        count++;
    }
    (void) closedir(entries);
    return count;
}

static unsigned
open_files(void)
{
    return entries_of("/proc/self/fd");
}

/* Bytes of address space. */
static size_t
mapped(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    (void) fclose(file);
    return pages * (size_t) sysconf(_SC_PAGESIZE);
}

static policy_loader_t *
started(const char *path)
{
    policy_loader_t *loader = NULL;

    assert_int_equal(policy_loader_start(path, &loader), POLICY_IMAGE_AGAIN);
    assert_non_null(loader);
    return loader;
}

/* One step that is not the last. */
static void
again(policy_loader_t *loader)
{
    policy_image_t *image = (policy_image_t *) &loader;

    assert_int_equal(policy_loader_step(loader, &image), POLICY_IMAGE_AGAIN);
    assert_null(image);
}

/* On to the end; frees the loader. */
static policy_image_result_t
finished(policy_loader_t *loader, policy_image_t **image)
{
    policy_image_result_t result;

    do {
        *image = (policy_image_t *) &loader;
        result = policy_loader_step(loader, image);
        assert_true(result == POLICY_IMAGE_AGAIN ||
                    (*image == NULL) == (result != POLICY_IMAGE_OK));
        assert_true(result != POLICY_IMAGE_AGAIN || *image == NULL);
    } while (result == POLICY_IMAGE_AGAIN);
    policy_loader_free(loader);
    return result;
}

static void
assert_refused(policy_loader_t *loader, policy_image_result_t expected)
{
    policy_image_t *image;

    assert_int_equal(finished(loader, &image), expected);
    assert_null(image);
}

static void
assert_not_started(const char *path, policy_image_result_t expected, int error)
{
    policy_loader_t *loader = (policy_loader_t *) &path;
    policy_image_t *image = (policy_image_t *) &path;
    unsigned files = open_files();

    errno = 0;
    assert_int_equal(policy_loader_start(path, &loader), expected);
    assert_null(loader);
    if (expected == POLICY_IMAGE_SYSTEM) {
        assert_int_equal(errno, error);
    }
    errno = 0;
    assert_int_equal(policy_image_open_file(path, &image), expected);
    assert_null(image);
    if (expected == POLICY_IMAGE_SYSTEM) {
        assert_int_equal(errno, error);
    }
    assert_int_equal(open_files(), files);
}

/* ---- What goes well ----------------------------------------------------- */

static void
a_file_is_loaded_in_slices(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader = started(files->path);
    policy_image_t *image, *whole;
    unsigned steps = 0, slices = (unsigned) (files->size / 1048576);

    assert_true(slices >= 4);
    while (policy_loader_step(loader, &image) == POLICY_IMAGE_AGAIN) {
        assert_null(image);
        steps++;
    }
    assert_non_null(image);
    assert_in_range(steps, slices, 1000);
    policy_loader_free(loader); /* the image is no longer its own */

    assert_int_equal(policy_image_open(files->bytes, files->size, &whole),
                     POLICY_IMAGE_OK);
    assert_string_equal(policy_image_version(image),
                        policy_image_version(whole));
    assert_int_equal(policy_image_size(image), files->size);
    assert_null(image_walk(image));
    policy_image_free(image);
    policy_image_free(whole);
}

static void
a_file_is_opened_in_one_go(void **state)
{
    const files_t *files = *state;
    policy_image_t *image;

    put(files->path, files->small, files->small_size);
    assert_int_equal(policy_image_open_file(files->path, &image),
                     POLICY_IMAGE_OK);
    assert_null(image_walk(image));
    policy_image_free(image);
}

static void
after_its_end_a_loader_does_nothing(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader = started(files->path);
    policy_image_t *image, *more = (policy_image_t *) &loader;

    while (policy_loader_step(loader, &image) == POLICY_IMAGE_AGAIN) {
    }
    assert_non_null(image);
    assert_int_equal(policy_loader_step(loader, &more), POLICY_IMAGE_SYSTEM);
    assert_int_equal(errno, EINVAL);
    assert_null(more);
    policy_loader_free(loader);
    assert_null(image_walk(image));
    policy_image_free(image);
}

static void
a_loader_may_be_given_up_at_any_time(void **state)
{
    const files_t *files = *state;
    policy_image_t *image;
    unsigned files_before = open_files();
    size_t before = mapped();
    bool ended = false;

    for (unsigned steps = 0; !ended; steps++) {
        policy_loader_t *loader = started(files->path);

        for (unsigned i = 0; i < steps && !ended; i++) {
            ended = policy_loader_step(loader, &image) != POLICY_IMAGE_AGAIN;
        }
        policy_loader_free(loader);
    }
    policy_image_free(image);
    policy_loader_free(NULL);
    assert_int_equal(open_files(), files_before);
    /* each one left behind would be four megabytes */
    assert_true(mapped() < before + 3 * files->size);
}

/* ---- Others meanwhile --------------------------------------------------- */

static void
a_file_replaced_by_renaming_is_loaded_as_it_was(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader = started(files->path);
    policy_image_t *image;

    again(loader);
    put(files->other, files->small, files->small_size);
    assert_int_equal(rename(files->other, files->path), 0);
    assert_int_equal(finished(loader, &image), POLICY_IMAGE_OK);
    assert_int_equal(policy_image_size(image), files->size);
    policy_image_free(image);

    assert_int_equal(policy_image_open_file(files->path, &image),
                     POLICY_IMAGE_OK);
    assert_int_equal(policy_image_size(image), files->small_size);
    policy_image_free(image);
}

static void
a_file_deleted_meanwhile_is_loaded_as_it_was(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader = started(files->path);
    policy_image_t *image;

    assert_int_equal(unlink(files->path), 0);
    assert_int_equal(finished(loader, &image), POLICY_IMAGE_OK);
    policy_image_free(image);
}

static void
a_file_cut_short_meanwhile_is_refused(void **state)
{
    const files_t *files = *state;

    for (off_t size = 0; size < (off_t) files->size;
         size += (off_t) files->size / 5)
    {
        policy_loader_t *loader = started(files->path);

        again(loader);
        assert_int_equal(truncate(files->path, size), 0);
        assert_refused(loader, POLICY_IMAGE_CHANGED);
        put(files->path, files->bytes, files->size);
    }
}

static void
a_file_that_grows_meanwhile_is_refused(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader = started(files->path);
    int fd = open(files->path, O_WRONLY | O_APPEND | O_CLOEXEC);

    again(loader);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_refused(loader, POLICY_IMAGE_CHANGED);

    /* also if its time stamp is as before; and if that is all */
    put(files->path, files->bytes, files->size);
    loader = started(files->path);
    again(loader);
    assert_int_equal(write(fd, "x", 1), 1);
    (void) close(fd);
    set_time(files->path, LONG_AGO);
    assert_refused(loader, POLICY_IMAGE_CHANGED);

    put(files->path, files->bytes, files->size);
    loader = started(files->path);
    again(loader);
    set_time(files->path, LONG_AGO + 1);
    assert_refused(loader, POLICY_IMAGE_CHANGED);
}

/* Also where what is read in the end is a good image: it is not what was there
 * when it began. */
static void
a_file_written_over_meanwhile_is_refused(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader = started(files->path);
    int fd = open(files->path, O_WRONLY | O_CLOEXEC);

    again(loader);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, files->bytes, files->size, 0), files->size);
    assert_refused(loader, POLICY_IMAGE_CHANGED);

    /* with the time put back the seal is what is left */
    put(files->path, files->bytes, files->size);
    loader = started(files->path);
    again(loader);
    assert_int_equal(pwrite(fd, "x", 1, (off_t) files->size - 100), 1);
    (void) close(fd);
    set_time(files->path, LONG_AGO);
    assert_refused(loader, POLICY_IMAGE_SEAL);
}

/* ---- What is no image --------------------------------------------------- */

static void
a_file_that_is_missing_is_told_by_errno(void **state)
{
    const files_t *files = *state;

    assert_not_started(files->other, POLICY_IMAGE_SYSTEM, ENOENT);
    assert_not_started("", POLICY_IMAGE_SYSTEM, ENOENT);
}

static void
a_folder_is_refused(void **state)
{
    const files_t *files = *state;

    assert_not_started(files->folder, POLICY_IMAGE_SYSTEM, EISDIR);
}

static void
a_pipe_is_refused_without_waiting(void **state)
{
    const files_t *files = *state;

    assert_int_equal(mkfifo(files->other, 0600), 0);
    (void) alarm(20); /* rather than to hang */
    assert_not_started(files->other, POLICY_IMAGE_SYSTEM, EINVAL);
    (void) alarm(0);
}

static void
a_device_is_refused(void **state)
{
    (void) state;
    assert_not_started("/dev/zero", POLICY_IMAGE_SYSTEM, EINVAL);
    assert_not_started("/dev/null", POLICY_IMAGE_SYSTEM, EINVAL);
}

static void
sizes_that_cannot_be_are_refused_unread(void **state)
{
    const files_t *files = *state;
    policy_image_t *image;

    put(files->other, files->small, 0);
    assert_not_started(files->other, POLICY_IMAGE_TOO_SMALL, 0);
    put(files->other, files->small, IMAGE_HEADER_SIZE - 1);
    assert_not_started(files->other, POLICY_IMAGE_TOO_SMALL, 0);
    put(files->other, files->small, IMAGE_HEADER_SIZE);
    assert_int_equal(policy_image_open_file(files->other, &image),
                     POLICY_IMAGE_SEAL);
    /* holes, so that the disk has room */
    assert_int_equal(truncate(files->other, (off_t) POLICY_IMAGE_SIZE_MAX + 1),
                     0);
    assert_not_started(files->other, POLICY_IMAGE_TOO_LARGE, 0);
    assert_int_equal(truncate(files->other, INT64_C(1) << 40), 0);
    assert_not_started(files->other, POLICY_IMAGE_TOO_LARGE, 0);
}

/* The head is looked at before anything else is read. */
static void
what_is_no_image_is_refused_at_its_head(void **state)
{
    const files_t *files = *state;
    policy_loader_t *loader;
    policy_image_t *image;

    put(files->other, (const uint8_t *) "timezone UTC;\n", 14);
    assert_int_equal(truncate(files->other, (off_t) POLICY_IMAGE_SIZE_MAX), 0);
    loader = started(files->other);
    assert_int_equal(policy_loader_step(loader, &image), POLICY_IMAGE_NOT_ONE);
    assert_null(image);
    policy_loader_free(loader);
}

static void
a_damaged_file_is_refused(void **state)
{
    const files_t *files = *state;

    for (size_t i = 0; i < 8; i++) {
        size_t at = IMAGE_HEADER_SIZE + i * (files->size / 8);

        files->bytes[at] ^= 1;
        put(files->path, files->bytes, files->size);
        files->bytes[at] ^= 1;
        assert_refused(started(files->path), POLICY_IMAGE_SEAL);
    }
    /* and one that is sealed, but breaks a rule: a line more or less */
    files->bytes[IMAGE_AT_COUNTS] ^= 1;
    assert_int_equal(image_seal(files->bytes, files->size), 0);
    put(files->path, files->bytes, files->size);
    assert_refused(started(files->path), POLICY_IMAGE_CONTENT);
}

/* ---- Nothing stays ------------------------------------------------------ */

static void
a_thousand_images_leave_nothing_behind(void **state)
{
    const files_t *files = *state;
    policy_image_t *image;
    unsigned files_before = open_files();
    size_t before;

    /* the first rounds may make the process larger, for good */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(policy_image_open(files->bytes, files->size, &image),
                         POLICY_IMAGE_OK);
        policy_image_free(image);
    }
    before = mapped();
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(policy_image_open(files->bytes, files->size, &image),
                         POLICY_IMAGE_OK);
        policy_image_free(image);
        assert_int_equal(policy_image_open_file(files->path, &image),
                         POLICY_IMAGE_OK);
        policy_image_free(image);
        files->bytes[files->size - 1] ^= 1;
        assert_int_equal(policy_image_open(files->bytes, files->size, &image),
                         POLICY_IMAGE_SEAL);
        files->bytes[files->size - 1] ^= 1;
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(
            policy_image_open(files->small, files->small_size, &image),
            POLICY_IMAGE_OK);
        policy_image_free(image);
    }
    assert_int_equal(open_files(), files_before);
    /* one in fifty left behind would be more */
    assert_true(mapped() < before + 3 * files->size);
}

#define LOADER_TEST(function)                                                  \
    cmocka_unit_test_setup_teardown(function, set_up, tear_down)

UNIT_TESTS(LOADER_TEST(a_file_is_loaded_in_slices),
           LOADER_TEST(a_file_is_opened_in_one_go),
           LOADER_TEST(after_its_end_a_loader_does_nothing),
           LOADER_TEST(a_loader_may_be_given_up_at_any_time),
           LOADER_TEST(a_file_replaced_by_renaming_is_loaded_as_it_was),
           LOADER_TEST(a_file_deleted_meanwhile_is_loaded_as_it_was),
           LOADER_TEST(a_file_cut_short_meanwhile_is_refused),
           LOADER_TEST(a_file_that_grows_meanwhile_is_refused),
           LOADER_TEST(a_file_written_over_meanwhile_is_refused),
           LOADER_TEST(a_file_that_is_missing_is_told_by_errno),
           LOADER_TEST(a_folder_is_refused),
           LOADER_TEST(a_pipe_is_refused_without_waiting),
           LOADER_TEST(a_device_is_refused),
           LOADER_TEST(sizes_that_cannot_be_are_refused_unread),
           LOADER_TEST(what_is_no_image_is_refused_at_its_head),
           LOADER_TEST(a_damaged_file_is_refused),
           LOADER_TEST(a_thousand_images_leave_nothing_behind))
