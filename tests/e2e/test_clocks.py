"""The machine's wall clock jumps while the host works: by days, in both directions. Only that clock
is faked (Debian's libfaketime in the host, its time in a file); leases, backoffs and tokens go by
clocks that do not jump. The stand-in refuses signatures further than 15 minutes from its own time.
"""
import glob
import json
import os
import subprocess
import time

import pytest

import hostproc
from stage import Stage, new_stem, registration
from test_sandbox_faults import Faults

DAY_S = 24 * 3600
LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
SANITIZED = b"san.so" in subprocess.run(["ldd", hostproc.BINARY], stdout=subprocess.PIPE,
                                        check=True).stdout
pytestmark = pytest.mark.skipif(SANITIZED, reason="two libraries cannot both come first")

SLOW = """local host = require "host"
local log = require "host.log"
local M = {}
function M.handle(msg)
  log.info("ran", { attempt = msg.attempt, age = msg.age })
  if msg.body == "late" and msg.attempt == 1 then return host.retry { after = 2 } end
  host.sleep(msg.body == "long" and 5 or 0)
end
return M
"""


class Clock:
    """The wall clock of a host that runs with `env`."""

    def __init__(self, folder):
        assert LIBRARY, "libfaketime is missing: scripts/setup test"
        self.path = os.path.join(folder, "clock")
        self.put(0)
        self.env = {"LD_PRELOAD": LIBRARY[0], "FAKETIME_TIMESTAMP_FILE": self.path,
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def put(self, seconds):
        with open(self.path + ".new", "w") as f:
            f.write(f"{seconds:+d}\n")
        os.rename(self.path + ".new", self.path)


@pytest.fixture
def clock(tmp_path):
    return Clock(str(tmp_path))


@pytest.fixture
def scene(tmp_path, sandbox, sandbox_sqs):
    stage = Stage(tmp_path, sandbox, sandbox_sqs, sandbox, visibility=2)
    faults = Faults(sandbox.url)
    faults.on({"fault": "clock_skew", "server": "sqs", "seconds": 0})  # signatures are looked at
    yield stage
    faults.off()
    stage.close()


def logged_days(host):
    """The days on which its lines are dated, in the order of its log."""
    days = [e["ts"][:10] for e in host.log()]
    return [d for n, d in enumerate(days) if n == 0 or days[n - 1] != d]


def test_registrations_while_the_clock_jumps(scene, clock):
    stem, sent = new_stem(), 0
    with scene.host(hostproc.EXAMPLE, env=clock.env, queue={"wait": 1}) as host:
        for jump in (0, -2 * DAY_S, 2 * DAY_S, 1):
            clock.put(jump)
            for _ in range(5):
                scene.queue.send(json.dumps(registration(stem, sent)))
                sent += 1
            host.wait_for("their ends", lambda: len(host.settled()) == sent)
        host.term()
        assert host.wait_exit() == 0, host.text
        assert {e["outcome"] for e in host.settled()} == {"ack"}
        assert len(logged_days(host)) >= 4, "the clock did not jump"
        said = [e["msg"] for e in host.log() if "this machine's clock" in e["msg"]]
        assert len(said) == 3
        assert "by 17" in said[0] and "set the clock" in said[0]
        assert "by -17" in said[1] and "agrees" in said[2]
    assert scene.queue.is_empty()
    assert sorted(scene.realm.user_names(stem)) == sorted(f"{stem}-{n}" for n in range(sent))
    assert set(scene.wire.times_received().values()) == {1}


@pytest.mark.parametrize("jump", [-2 * DAY_S, 2 * DAY_S], ids=["back", "forth"])
def test_leases_and_backoffs_do_not_jump(scene, clock, jump):
    """A lease of 2 s is held for 5; a retry comes after its 2 s, neither at once nor in two days."""
    with scene.host(scene.handler(SLOW), env=clock.env, queue={"wait": 1},
                    http={"timeout": 1, "connect_timeout": 0.5}) as host:
        scene.queue.send_many(["long", "late"])
        host.wait_for("both in hand", lambda: len(list(scene.wire.receives())) >= 2)
        clock.put(jump)
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0, host.text
        assert "lease lost" not in host.text
        ages = [float(e["age"]) for e in host.log() if e["msg"] == "ran"]
        assert len(ages) == 3 and min(ages) >= 0
    log = scene.wire.log()
    assert sorted(scene.wire.times_received(log).values()) == [1, 2]
    late = [e["t1"] for e, m in scene.wire.receives(log) if m["Body"] == "late"]
    assert 1.5 < late[1] - late[0] < 8


def test_a_clock_that_is_wrong_from_the_start(scene, clock):
    clock.put(-400 * DAY_S)
    scene.queue.send("x")
    began = time.monotonic()
    with scene.host(scene.handler(SLOW), "--until-empty", env=clock.env, queue={"wait": 1}) as host:
        assert host.wait_exit() == 0, host.text
        host.assert_says("clock differs", "set the clock")
    assert scene.queue.is_empty()
    assert time.monotonic() - began < 20
