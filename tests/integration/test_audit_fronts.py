"""How long sekishod remembers the front ends that it heard of."""

import time

import trail_daemon


def beats(daemon):
    return [set(c.split(":")[0] for c in e.get("counters", "").split())
            for e in daemon.entries("heartbeat")]


def wait_for_beats(daemon, count):
    end = time.monotonic() + 20
    first = len(beats(daemon))
    while time.monotonic() < end:
        if len(beats(daemon)) >= first + count:
            return beats(daemon)
        time.sleep(0.1)
    raise AssertionError("no heartbeat came")


def test_a_program_that_has_ended_is_counted_once_more_and_forgotten(tmp_path):
    with trail_daemon.running(tmp_path, "heartbeat 1s;") as daemon:
        tool = trail_daemon.Front(daemon.socket, source=b"sekisho")
        tool.send({"event": "trail-read", "outcome": 0})
        tool.close()
        probe = trail_daemon.Front(daemon.socket, source=b"sekisho")
        probe.close()
        seen = wait_for_beats(daemon, 3)
        assert any(tool.front.hex() in beat for beat in seen)
        assert tool.front.hex() not in seen[-1]
        assert probe.front.hex() not in seen[-1]


def test_a_worker_of_nginx_that_may_come_back_is_kept(tmp_path):
    with trail_daemon.running(tmp_path, "heartbeat 1s;") as daemon:
        worker = trail_daemon.Front(daemon.socket)
        worker.send({"event": "access", "outcome": 0, "id": "0" * 32})
        worker.close()
        assert worker.front.hex() in wait_for_beats(daemon, 3)[-1]
        again = trail_daemon.Front(daemon.socket, front=worker.front,
                                   acknowledged=1)
        assert again.number == 1
        again.close()
        assert not daemon.entries("gap")
