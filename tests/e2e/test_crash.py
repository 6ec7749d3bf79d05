"""Processes that die or are stopped while requests are on the wire: nothing lost, nothing twice.

The moments are drawn from a seed that is printed; LUAHOST_TEST_SEED repeats a run's moments.
"""
import collections
import json
import os
import random
import time

import pytest

import hostproc
from stage import new_stem, registration
from wire import created_name


@pytest.fixture
def moments():
    seed = int(os.environ.get("LUAHOST_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}: repeat with LUAHOST_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def scene(big_stage):
    """Creating takes a while, half of it before and half after Keycloak has done it, so that it is
    caught in either state."""
    big_stage.wire.tell("delay", method="POST", path="/users$", before=0.04, after=0.04)
    return big_stage


def catch(scene, host, moments, longest):
    """Returns at a random moment after creates have come on the wire."""
    host.wait_for("a create on the wire", scene.wire.creates_on_the_wire, 30)
    time.sleep(moments.uniform(0, longest))


class Supply:
    """Keeps the queue so full that no host of this test gets to its end, and no fuller."""

    def __init__(self, scene, stem):
        self.scene, self.stem, self.total = scene, stem, 0

    def fill(self):
        wanted = max(0, 120 - self.scene.queue.counts()[0])
        self.scene.queue.send_many(json.dumps(registration(self.stem, self.total + n))
                                   for n in range(wanted))
        self.total += wanted


def run_until_empty(scene):
    """The last host does what is left; what the others held comes back when its lease ends."""
    with scene.host(hostproc.EXAMPLE) as host:
        host.wait_for("an empty queue", scene.queue.is_empty, 300)
        host.term()
        assert host.wait_exit() == 0, host.text[-4000:]


def check_that_all_are_registered(scene, stem, total):
    names = {f"{stem}-{n}" for n in range(total)}
    there = [n for n in scene.realm.user_names(stem) if n.startswith(stem)]
    assert len(there) == total
    assert set(there) == names
    assert names <= set(scene.realm.member_names("/customers"))
    assert names <= set(scene.realm.role_holder_names("customer"))
    made = collections.Counter(created_name(e) for e in scene.wire.creates() if e["status"] == 201)
    assert set(made) == names
    assert set(made.values()) == {1}
    assert scene.queue.is_empty()


def test_fifty_kills(scene, moments):
    stem, kills, caught = new_stem(), 50, 0
    supply = Supply(scene, stem)
    for _ in range(kills):
        supply.fill()
        with scene.host(hostproc.EXAMPLE) as host:
            catch(scene, host, moments, 0.4)
            caught += scene.wire.creates_on_the_wire() > 0
            host.kill()
    run_until_empty(scene)

    check_that_all_are_registered(scene, stem, supply.total)
    interrupted = [e for e in scene.wire.creates() if e["gone"]]
    print(f"{caught} of {kills} kills met creates on the wire, {len(interrupted)} creates cut")
    assert caught >= kills / 2
    assert len(interrupted) >= kills / 2
    # A create is tried again only by whoever received the message again.
    received = collections.Counter(
        json.loads(m["Body"])["user"]["username"] for _, m in scene.wire.receives())
    tries = collections.Counter(created_name(e) for e in scene.wire.creates())
    assert not {name: n for name, n in tries.items() if n > received[name]}


def test_twenty_stops(scene, moments):
    stem, stops = new_stem(), 20
    supply = Supply(scene, stem)
    for n in range(stops):
        supply.fill()
        with scene.host(hostproc.EXAMPLE) as host:
            catch(scene, host, moments, 0.3)
            host.term()
            assert host.wait_exit(60) == 0, f"stop {n}:\n{host.text[-4000:]}"
    run_until_empty(scene)

    check_that_all_are_registered(scene, stem, supply.total)
    log = scene.wire.log()
    creates = scene.wire.creates(log)
    assert not [e for e in creates if e["gone"]]
    sent = collections.defaultdict(list)
    for e in creates:
        sent[created_name(e)].append(e["t0"])
    assert {len(times) for times in sent.values()} == {1}

    handed_out = collections.defaultdict(list)
    for entry, message in scene.wire.receives(log):
        name = json.loads(message["Body"])["user"]["username"]
        handed_out[name].append(entry["t1"])
    again = {name: times for name, times in handed_out.items() if len(times) > 1}
    print(f"{len(again)} messages were received more than once")
    for name, times in again.items():
        assert sent[name][0] > times[-1], f"{name} had been sent before it was received again"


def visible_at(scene, log):
    """{user name: when its message, received once so far, can be received again}."""
    name_of, times = {}, {}
    for entry, message in scene.wire.receives(log):
        name = json.loads(message["Body"])["user"]["username"]
        name_of[message["ReceiptHandle"]] = name
        times[name] = entry["t1"] + scene.visibility
    for entry, handle, seconds in scene.wire.visibility_changes(log):
        times[name_of[handle]] = entry["t1"] + seconds
    return times


def test_a_second_signal_never_races_a_request(big_stage):
    """Creates that were on the wire when the host had to leave end before their messages show up
    again; what had sent nothing is free at once. So nobody is sent twice."""
    scene, stem, total, timeout = big_stage, new_stem(), 12, 6
    scene.wire.tell("delay", method="POST", path="/users$", before=4)
    scene.queue.send_many(json.dumps(registration(stem, n)) for n in range(total))
    settings = {"workers": {"max": 1}, "slots": 2, "http": {"timeout": timeout}}
    with scene.host(hostproc.EXAMPLE, **settings) as host:
        host.wait_for("two creates on the wire", lambda: scene.wire.creates_on_the_wire() == 2)
        host.term()
        time.sleep(1)
        host.term()
        assert host.wait_exit(10) == 75, host.text
        left = time.time()
        host.assert_says("left")
    time.sleep(5)  # the proxy writes a request down when its answer is there
    log = scene.wire.log()
    sent = {created_name(e): e["t0"] for e in scene.wire.creates(log)}
    assert len(sent) == 2
    for name, when in visible_at(scene, log).items():
        if name in sent:
            assert when >= sent[name] + timeout - 0.1, name
        else:
            assert when <= left, name
    scene.wire.tell("undelay")
    run_until_empty(scene)
    check_that_all_are_registered(scene, stem, total)
    assert len(scene.wire.creates()) == total
