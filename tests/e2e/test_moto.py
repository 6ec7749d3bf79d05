"""The host on moto, a queue server that errs in other places than ElasticMQ (test_queue_rules.py):
its polls look once a second, with several open at once it may hand a message out twice (one in a
thousand), and a superseded handle extends and deletes. The accounts are made on the stand-in.
"""
import json

import pytest

import hostproc
from stage import Stage, new_stem, registration
from wire import created_name

LATER = """local host = require "host"
local M = {}
function M.handle(msg)
  if msg.attempt == 1 then return host.retry { after = 2, reason = "not yet" } end
end
return M
"""

SLOW = """local host = require "host"
local M = {}
function M.handle() host.sleep(2) end
return M
"""

QUICK = """local log = require "host.log"
local M = {}
function M.handle() log.info "ran" end
return M
"""


@pytest.fixture
def scene(tmp_path, moto, moto_sqs, sandbox):
    stage = Stage(tmp_path, moto, moto_sqs, sandbox, visibility=20)
    yield stage
    stage.close()


def receipts(scene, log):
    """{message id: its receipt handles, oldest first}"""
    handles = {}
    for _, m in scene.wire.receives(log):
        handles.setdefault(m["MessageId"], []).append(m["ReceiptHandle"])
    return handles


def check_that_each_is_deleted_once(scene, log, total):
    """Under the newest handle, although moto would take any."""
    handles = receipts(scene, log)
    deletes = list(scene.wire.deletes(log))
    assert len(handles) == total
    assert not [error for _, _, error in deletes if error]
    deleted = [h for _, h, _ in deletes]
    assert len(deleted) == len(set(deleted))
    assert set(deleted) == {h[-1] for h in handles.values()}


def test_registrations(scene):
    stem, total = new_stem(), 200
    names = {f"{stem}-{n}" for n in range(total)}
    scene.queue.send_many(json.dumps(registration(stem, n)) for n in range(total))
    with scene.host(hostproc.EXAMPLE, "--until-empty", queue={"wait": 1}) as host:
        assert host.wait_exit(60) == 0, host.text[-4000:]
        settled = host.settled()
    assert scene.queue.is_empty(), (scene.queue.counts(), host.text[-4000:])
    log = scene.wire.log()
    creates = scene.wire.creates(log)
    assert sorted(created_name(e) for e in creates) == sorted(names)
    assert {e["status"] for e in creates} == {201}
    assert set(scene.realm.user_names(stem)) == names
    assert names <= set(scene.realm.member_names("/customers"))
    assert names <= set(scene.realm.role_holder_names("customer"))
    assert {e["outcome"] for e in settled} <= {"ack", "duplicate"}
    assert [e["outcome"] for e in settled].count("ack") == total


def test_a_retry_comes_back_after_its_time(scene):
    handler = scene.handler(LATER)
    scene.queue.send_many(str(n) for n in range(5))
    with scene.host(handler, "--until-empty", queue={"wait": 1}) as host:
        assert host.wait_exit(60) == 0, host.text
        settled = host.settled()
    log = scene.wire.log()
    assert scene.queue.is_empty()
    assert sorted(e["outcome"] for e in settled) == ["ack"] * 5 + ["retry"] * 5
    assert set(scene.wire.times_received(log).values()) == {2}
    seen = {}
    for entry, m in scene.wire.receives(log):
        seen.setdefault(m["MessageId"], []).append(entry["t1"])
    for first, second in seen.values():
        assert second - first > 1
    assert {s for _, _, s in scene.wire.visibility_changes(log)} <= {1, 2}
    check_that_each_is_deleted_once(scene, log, 5)


def test_what_comes_while_stopping_is_given_back(scene):
    """The poll that is open brings one more: it is there for the next host now, not after its
    twenty seconds."""
    scene.queue.send("worked off")
    with scene.host(scene.handler(SLOW)) as host:
        host.wait_for("the message in hand", lambda: list(scene.wire.receives()))
        host.wait_for("another poll", lambda: any(
            p == ["POST", "/"] for p in scene.wire.tell("open")["open"]))
        host.term()
        scene.queue.send("given back")
        assert host.wait_exit() == 0, host.text
    assert scene.queue.counts() == (1, 0, 0)
    assert [s for _, _, s in scene.wire.visibility_changes()] == [0]
    assert scene.queue.receive_one()["Body"] == "given back"


def test_what_is_given_up_is_there_at_once(scene):
    """The poll that the stop cuts goes on at moto, which would give it what is given up meanwhile:
    it has ended when the drain has."""
    scene.queue.send_many("abc")
    with scene.host(scene.handler(SLOW.replace("(2)", "(9)")), drain=3, queue={"wait": 1}) as host:
        host.wait_for("all in hand", lambda: len(list(scene.wire.receives())) == 3)
        host.term()
        assert host.wait_exit() == 75, host.text
    assert scene.queue.counts() == (3, 0, 0)


def test_delivered_again_while_in_hand(scene):
    """Somebody makes a message visible that the host is working on: the open poll brings it again,
    it runs once, and the newest handle deletes it."""
    message = scene.queue.send("once")["MessageId"]
    with scene.host(scene.handler(SLOW)) as host:
        host.wait_for("the message in hand", lambda: list(scene.wire.receives()))
        handle = receipts(scene, scene.wire.log())[message][0]
        assert scene.queue.change(handle, 0) == "ok"
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0, host.text
        host.assert_says("delivered again while in hand")
        assert [e["outcome"] for e in host.settled()] == ["ack"]
    log = scene.wire.log()
    assert scene.wire.times_received(log)[message] == 2
    check_that_each_is_deleted_once(scene, log, 1)


def test_delivered_again_after_the_ack(scene):
    """A delete that is confirmed and did not happen: the message is known as done, and deleted
    without a second run."""
    scene.wire.tell("fault", match={"target": "^DeleteMessageBatch$"}, times=1, status=200,
                    body='{"Successful":[{"Id":"0"}]}')
    message = scene.queue.send("once")["MessageId"]
    with scene.host(scene.handler(QUICK)) as host:
        host.wait_for("the ack", host.settled)
        handle = receipts(scene, scene.wire.log())[message][0]
        assert scene.queue.change(handle, 0) == "ok"
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.wait_for("its second end", lambda: len(host.settled()) == 2)
        host.term()
        assert host.wait_exit() == 0, host.text
        assert [e["outcome"] for e in host.settled()] == ["ack", "duplicate"]
        assert [e["msg"] for e in host.log()].count("ran") == 1
    assert [h for _, h, _ in scene.wire.deletes()] == receipts(scene, scene.wire.log())[message]
