/* Hashes, tiles, notes and checkpoints against the standards' own examples. */

#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/trail/base64.h"
#include "../../lib/trail/checkpoint.h"
#include "../../lib/trail/merkle.h"
#include "../../lib/trail/note.h"
#include "../../lib/trail/tile.h"

static merkle_hasher_t hasher;

static int
start(void **state)
{
    (void) state;
    return merkle_hasher_init(&hasher);
}

static int
stop(void **state)
{
    (void) state;
    merkle_hasher_free(&hasher);
    return 0;
}

static void
assert_hash(const merkle_hash_t *hash, const char *hex)
{
    char text[2 * MERKLE_HASH_SIZE + 1];
    unsigned i;

    for (i = 0; i < MERKLE_HASH_SIZE; i++) {
        (void) snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
    }
    assert_string_equal(text, hex);
}

/* The leaves of the reference implementation of RFC 6962
 * (certificate-transparency, merkle_tree_test.cc). */
static const struct {
    slice_t entry;
    const char *root; /* of the tree that ends here */
} rfc6962[] = {
    {{"", 0},
     "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {{"\x00", 1},
     "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {{"\x10", 1},
     "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {{"\x20\x21", 2},
     "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {{"\x30\x31", 2},
     "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {{"\x40\x41\x42\x43", 4},
     "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {{"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
     "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {{"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
     "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void
roots_are_those_of_rfc_6962(void **state)
{
    merkle_frontier_t frontier = {0};
    merkle_hash_t leaves[8], root, tops[MERKLE_TOPS_MAX];
    unsigned i;

    (void) state;
    merkle_root(&hasher, &frontier, &root);
    assert_hash(
        &root,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (i = 0; i < 8; i++) {
        merkle_hash_t row[8];

        merkle_leaf(&hasher, rfc6962[i].entry, &leaves[i]);
        assert_int_equal(merkle_append(&hasher, &frontier, &leaves[i], tops),
                         0);
        merkle_root(&hasher, &frontier, &root);
        assert_hash(&root, rfc6962[i].root);
        memcpy(row, leaves, sizeof(row));
        merkle_fold(&hasher, row, i + 1);
        assert_hash(&row[0], rfc6962[i].root);
    }
    assert_false(hasher.failed);
}

static void
leaves_of_any_length_hash_the_same_way(void **state)
{
    static char bytes[TRAIL_ENTRY_MAX];
    merkle_hash_t leaf, whole;
    size_t sizes[] = {1022, 1023, 1024, TRAIL_ENTRY_MAX};
    unsigned i;

    (void) state;
    memset(bytes, 'x', sizeof(bytes));
    for (i = 0; i < 4; i++) {
        merkle_leaf(&hasher, (slice_t){bytes, sizes[i]}, &leaf);
        merkle_sha256(&hasher, (slice_t){"\0", 1}, (slice_t){bytes, sizes[i]},
                      &whole);
        assert_true(merkle_equal(&leaf, &whole));
    }
}

static void
full_tiles_give_their_roots_upwards(void **state)
{
    merkle_frontier_t frontier = {0}, blocks = {0};
    merkle_hash_t tops[MERKLE_TOPS_MAX], leaf, row[TILE_WIDTH], root, other;
    unsigned i, given = 0;

    (void) state;
    for (i = 0; i < 65536; i++) {
        unsigned count;

        leaf = (merkle_hash_t){{(uint8_t) i, (uint8_t) (i >> 8)}};
        count = merkle_append(&hasher, &frontier, &leaf, tops);
        assert_int_equal(count, i == 65535 ? 2 : i % 256 == 255 ? 1 : 0);
        row[i % TILE_WIDTH] = leaf;
        if (count > 0) {
            merkle_fold(&hasher, row, TILE_WIDTH);
            assert_true(merkle_equal(&row[0], &tops[0]));
            assert_true(merkle_append_subtree(&hasher, &blocks, 8, &tops[0]));
            given++;
        }
    }
    assert_int_equal(given, 256);
    merkle_root(&hasher, &frontier, &root);
    merkle_root(&hasher, &blocks, &other);
    assert_true(merkle_equal(&root, &other));
    assert_true(merkle_equal(&root, &tops[1]));
    /* a subtree only where it belongs */
    (void) merkle_append(&hasher, &frontier, &leaf, tops);
    assert_false(merkle_append_subtree(&hasher, &frontier, 8, &leaf));
}

static void
paths_are_those_of_tlog_tiles(void **state)
{
    static const struct {
        tile_t tile;
        const char *path;
    } cases[] = {
        {{0, 256, 0, false}, "tile/0/000"},
        {{1234067, 256, 0, false}, "tile/0/x001/x234/067"},
        {{1234067, 8, 3, false}, "tile/3/x001/x234/067.p/8"},
        {{999, 255, 0, true}, "tile/entries/999.p/255"},
        {{1000, 256, 0, true}, "tile/entries/x001/000"},
        {{UINT64_MAX, 1, 63, false},
         "tile/63/x018/x446/x744/x073/x709/x551/615.p/1"},
    };
    char path[TILE_PATH_MAX];
    tile_t tile;
    unsigned i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(tile_path(&cases[i].tile, path),
                         strlen(cases[i].path));
        assert_string_equal(path, cases[i].path);
        assert_true(tile_path_parse(slice_of(path), &tile));
        assert_true(tile.index == cases[i].tile.index);
        assert_int_equal(tile.width, cases[i].tile.width);
        assert_int_equal(tile.level, cases[i].tile.level);
        assert_int_equal(tile.entries, cases[i].tile.entries);
    }
}

static void
other_paths_are_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/1/",
        "tile/0/00a",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
        "tile/entriesx/000",
        "/tile/0/000",
        "tile/0/000 ",
    };
    tile_t tile;
    unsigned i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (tile_path_parse(slice_of(cases[i]), &tile)) {
            fail_msg("accepted: %s", cases[i]);
        }
    }
}

static void
widths_are_those_of_the_standards_example(void **state)
{
    (void) state;
    /* "a tree of size 70,000 …" */
    assert_int_equal(tile_width(70000, 0, 272), 256);
    assert_int_equal(tile_width(70000, 0, 273), 112);
    assert_int_equal(tile_width(70000, 0, 274), 0);
    assert_int_equal(tile_width(70000, 1, 0), 256);
    assert_int_equal(tile_width(70000, 1, 1), 17);
    assert_int_equal(tile_width(70000, 2, 0), 1);
    assert_int_equal(tile_width(70000, 3, 0), 0);
    assert_int_equal(tile_width(256, 0, 0), 256);
    assert_int_equal(tile_width(256, 0, 1), 0);
    assert_int_equal(tile_width(256, 1, 0), 1);
    assert_int_equal(tile_width(UINT64_MAX, 8, 0), 0);
}

static void
bundles_are_read_within_their_bounds(void **state)
{
    uint8_t bytes[16];
    size_t used = tile_entry_put(SLICE("ab"), bytes);
    slice_t rest, entry;

    (void) state;
    used += tile_entry_put(SLICE(""), bytes + used);
    assert_int_equal(used, 6);
    assert_memory_equal(bytes, "\0\2ab\0\0", 6);
    rest = (slice_t){(char *) bytes, used};
    assert_true(tile_entry_next(&rest, &entry));
    assert_true(slice_is(entry, "ab"));
    assert_true(tile_entry_next(&rest, &entry));
    assert_int_equal(entry.size, 0);
    assert_false(tile_entry_next(&rest, &entry));
    assert_int_equal(rest.size, 0);
    /* one byte short, and half a length */
    rest = (slice_t){(char *) bytes, 3};
    assert_false(tile_entry_next(&rest, &entry));
    assert_int_equal(rest.size, 3);
    rest = (slice_t){(char *) bytes, 1};
    assert_false(tile_entry_next(&rest, &entry));
    assert_int_equal(rest.size, 1);
}

static void
base64_has_one_text_per_value(void **state)
{
    static const struct {
        const char *bytes, *text; /* RFC 4648, section 10 */
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {
        "Z",    "Zg",       "Zg=",   "Zh==",   "Zm9=", "====",
        "Z===", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm9-", "=m9v"};
    uint8_t bytes[16];
    char text[16];
    size_t size;
    unsigned i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size = base64_encode(cases[i].bytes, strlen(cases[i].bytes), text);
        assert_true(slice_is((slice_t){text, size}, cases[i].text));
        assert_true(
            base64_decode((slice_t){text, size}, bytes, sizeof(bytes), &size));
        assert_int_equal(size, strlen(cases[i].bytes));
        assert_memory_equal(bytes, cases[i].bytes, size);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (base64_decode(slice_of(bad[i]), bytes, sizeof(bytes), &size)) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_false(base64_decode(SLICE("Zm9v"), bytes, 2, &size));
}

static const char example_key[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char example_note[] =
    "This is an example message.\n\n"
    "\xe2\x80\x94 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXm"
    "RKuwHjG1Yu72IneyaQM=\n";

static void
the_standards_note_verifies(void **state)
{
    note_verifier_t key;
    char text[NOTE_VERIFIER_TEXT_MAX];
    uint32_t verified;
    note_t note;

    (void) state;
    assert_true(note_verifier_parse(slice_of(example_key), &key));
    assert_int_equal(note_verifier_format(&key, text), strlen(example_key));
    assert_string_equal(text, example_key);
    assert_true(note_parse(slice_of(example_note), &note));
    assert_true(slice_is(note.text, "This is an example message.\n"));
    assert_int_equal(note.signatures_count, 1);
    assert_int_equal(note_verify(&note, &key, 1, &verified), NOTE_OK);
    assert_int_equal(verified, 1);
}

/* Every byte of it: refused as a note, or not signed by the key. */
static void
no_byte_of_a_note_can_be_changed(void **state)
{
    char bytes[sizeof(example_note)];
    note_verifier_t key;
    note_t note;
    size_t i;
    unsigned bit;

    (void) state;
    assert_true(note_verifier_parse(slice_of(example_key), &key));
    for (i = 0; i < sizeof(example_note) - 1; i++) {
        for (bit = 0; bit < 8; bit++) {
            memcpy(bytes, example_note, sizeof(bytes));
            bytes[i] = (char) (bytes[i] ^ (1 << bit));
            if (note_parse((slice_t){bytes, sizeof(bytes) - 1}, &note)) {
                assert_int_not_equal(note_verify(&note, &key, 1, NULL),
                                     NOTE_OK);
            }
        }
    }
}

static void
keys_with_a_wrong_id_or_shape_are_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "example.com/foo",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv",
        " x+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    };
    note_verifier_t key;
    unsigned i;

    (void) state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (note_verifier_parse(slice_of(cases[i]), &key)) {
            fail_msg("accepted: %s", cases[i]);
        }
    }
    assert_false(note_name_valid(SLICE("a\xe3\x80\x80"
                                       "b"))); /* U+3000 */
    assert_false(note_name_valid(SLICE("a\xff")));
    assert_true(note_name_valid(SLICE("関所.example/trail")));
}

static void
both_keys_of_a_rotation_sign_one_note(void **state)
{
    note_signer_t signers[2];
    note_verifier_t keys[2];
    char bytes[1024];
    uint32_t verified;
    size_t size;
    note_t note;

    (void) state;
    assert_int_equal(note_signer_generate(SLICE("example.org/t"), &signers[0]),
                     0);
    assert_int_equal(note_signer_generate(SLICE("example.org/t"), &signers[1]),
                     0);
    assert_int_equal(note_sign(SLICE("one\n\ntwo\n"), signers, 2, bytes,
                               sizeof(bytes), &size),
                     0);
    assert_true(note_parse((slice_t){bytes, size}, &note));
    assert_true(slice_is(note.text, "one\n\ntwo\n"));
    keys[0] = signers[0].verifier;
    keys[1] = signers[1].verifier;
    assert_int_equal(note_verify(&note, keys, 2, &verified), NOTE_OK);
    assert_int_equal(verified, 3);
    assert_int_equal(note_verify(&note, &keys[1], 1, &verified), NOTE_OK);
    /* a signature of a given key that is false spoils the note */
    bytes[size - 8] = bytes[size - 8] == 'A' ? 'B' : 'A';
    assert_true(note_parse((slice_t){bytes, size}, &note));
    assert_int_equal(note_verify(&note, keys, 2, &verified), NOTE_BAD);
    assert_int_equal(note_verify(&note, &keys[0], 1, &verified), NOTE_OK);
    assert_int_equal(note_verify(&note, keys, 0, &verified), NOTE_UNKNOWN);
    note_signer_wipe(&signers[0]);
    note_signer_wipe(&signers[1]);
}

static void
a_witness_alone_does_not_make_a_checkpoint(void **state)
{
    note_signer_t signer, witness;
    note_verifier_t key;
    checkpoint_t checkpoint;
    trail_problem_t problem;
    merkle_hash_t root = {{1}};
    char body[CHECKPOINT_BODY_MAX], bytes[2048];
    size_t size;

    (void) state;
    assert_int_equal(note_signer_generate(SLICE("example.org/t"), &signer), 0);
    assert_int_equal(note_signer_generate(SLICE("witness.example"), &witness),
                     0);
    size = checkpoint_format(SLICE("example.org/t"), 7, &root, body);
    assert_int_equal(note_sign((slice_t){body, size}, &witness, 1, bytes,
                               sizeof(bytes), &size),
                     0);
    key = witness.verifier;
    assert_int_equal(checkpoint_open((slice_t){bytes, size}, &key, 1,
                                     &checkpoint, NULL, &problem),
                     -ENOKEY);
    size = checkpoint_format(SLICE("example.org/t"), 7, &root, body);
    assert_int_equal(note_sign((slice_t){body, size}, &signer, 1, bytes,
                               sizeof(bytes), &size),
                     0);
    key = signer.verifier;
    assert_int_equal(checkpoint_open((slice_t){bytes, size}, &key, 1,
                                     &checkpoint, NULL, &problem),
                     0);
    assert_true(checkpoint.size == 7);
    assert_true(slice_is(checkpoint.origin, "example.org/t"));
    note_signer_wipe(&signer);
    note_signer_wipe(&witness);
}

static void
checkpoints_have_one_text(void **state)
{
    static const char *const bad[] = {
        "",
        "o\n",
        "o\n1\n",
        "o\n1\nAAAA\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n18446744073709551616\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        "\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nx\n",
    };
    checkpoint_t checkpoint;
    unsigned i;

    (void) state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (checkpoint_parse(slice_of(bad[i]), &checkpoint)) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_true(checkpoint_parse(
        SLICE("o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx\ny\n"),
        &checkpoint));
    assert_true(slice_is(checkpoint.extensions, "x\ny\n"));
}

static void
key_files_are_private_and_never_overwritten(void **state)
{
    char folder[] = "/tmp/sekisho-test-XXXXXX", path[64];
    note_signer_t signer, again;
    trail_problem_t problem;
    struct stat st;

    (void) state;
    assert_non_null(mkdtemp(folder));
    (void) snprintf(path, sizeof(path), "%s/key", folder);
    assert_int_equal(note_signer_generate(SLICE("example.org/t"), &signer), 0);
    assert_int_equal(note_signer_save(path, &signer), 0);
    assert_int_equal(note_signer_save(path, &signer), -EEXIST);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(note_signer_load(path, &again, &problem), 0);
    assert_memory_equal(&signer, &again, sizeof(signer));
    assert_int_equal(chmod(path, 0440), 0);
    assert_int_equal(note_signer_load(path, &again, &problem), -EPERM);
    assert_non_null(strstr(problem.text, "chmod 0400"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(note_signer_load(path, &again, &problem), -ELOOP);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    note_signer_wipe(&signer);
}

UNIT_TESTS(
    cmocka_unit_test_setup_teardown(roots_are_those_of_rfc_6962, start, stop),
    cmocka_unit_test_setup_teardown(leaves_of_any_length_hash_the_same_way,
                                    start, stop),
    cmocka_unit_test_setup_teardown(full_tiles_give_their_roots_upwards, start,
                                    stop),
    cmocka_unit_test(paths_are_those_of_tlog_tiles),
    cmocka_unit_test(other_paths_are_refused),
    cmocka_unit_test(widths_are_those_of_the_standards_example),
    cmocka_unit_test(bundles_are_read_within_their_bounds),
    cmocka_unit_test(base64_has_one_text_per_value),
    cmocka_unit_test(the_standards_note_verifies),
    cmocka_unit_test(no_byte_of_a_note_can_be_changed),
    cmocka_unit_test(keys_with_a_wrong_id_or_shape_are_refused),
    cmocka_unit_test(both_keys_of_a_rotation_sign_one_note),
    cmocka_unit_test(a_witness_alone_does_not_make_a_checkpoint),
    cmocka_unit_test(checkpoints_have_one_text),
    cmocka_unit_test(key_files_are_private_and_never_overwritten))
