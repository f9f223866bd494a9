"""kill -9 of sekishod under load."""

import random
import time

from stage import count

ROUNDS = count(1, 10)
KILLS = count(15, 100)   # of a round, each with a trail of its own


def test_killed_daemon_comes_back_and_no_request_was_served_without_a_record(
        stage):
    draw = random.Random(9)
    total = 0
    for _ in range(ROUNDS):
        one = stage(workers=2)
        load = one.load(clients=5)
        for _ in range(KILLS):
            # it has answered, and is in the middle of something else
            load.more(by=draw.randrange(1, 40))
            time.sleep(draw.random() * 0.03)
            one.daemon.kill()
            one.kills += 1
            if draw.random() < 0.1:
                time.sleep(draw.random() * 0.2)
            one.daemon.start()
        load.more()
        entries = one.finish()
        total += KILLS
        starts = [e for e in entries if e["event"] == "start"]
        assert len(starts) == KILLS + 1
    assert total == ROUNDS * KILLS
