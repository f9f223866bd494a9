"""Mixed load: mixed_load.py, for ten seconds; with SEKISHO_LONG=1 an hour and a
half, of which the second part judges memory."""

import os

import mixed_load

LONG = os.environ.get("SEKISHO_LONG") == "1"


def test_every_request_is_told_and_memory_is_flat(tmp_path):
    wrong = (mixed_load.run(tmp_path, mixed_load.LONG_SECONDS) if LONG
             else mixed_load.run(tmp_path, 10, rate=150))
    assert not wrong, "\n".join(wrong[:50])
