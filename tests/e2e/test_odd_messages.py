"""Messages and moments that nobody plans for: nothing is lost, and the words say what is wrong."""
import hashlib
import json

import pytest

from stage import Stage

ECHO = """local host = require "host"
local json = require "host.json"
local crypto = require "host.crypto"
local M = {}
function M.handle(msg)
  local names = {}
  for name, value in pairs(msg.attributes) do
    names[name] = math.type(value) or (value:find("%z") and "bytes" or "string")
  end
  return host.reject(json.encode {
    bytes = #msg.body, sha = crypto.hex(crypto.sha256(msg.body)), names = names,
    json = pcall(function() return msg.json end) })
end
return M
"""


@pytest.fixture
def scene(tmp_path, elasticmq, elasticmq_sqs):
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs, visibility=5)
    yield scene
    scene.close()


def test_a_queue_that_is_deleted_under_us(scene, elasticmq_sqs):
    """It says so, tries again slowly, and goes on once the queue is there again."""
    handler = scene.handler("function handle(msg) end\n")
    scene.queue.send("before")
    with scene.host(handler, queue={"wait": 1}) as host:
        host.wait_for("the first message", lambda: len(host.settled()) == 1)
        elasticmq_sqs.delete_queue(QueueUrl=scene.queue.url)
        host.wait_says("receive failed", scene.queue.name, "does not exist", "every 30 s")
        assert host.popen.poll() is None
        elasticmq_sqs.create_queue(QueueName=scene.queue.name)
        scene.queue.send("after")
        host.wait_for("the second message", lambda: len(host.settled()) == 2, 45)
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0


def test_a_queue_that_is_deleted_in_mid_run(scene, elasticmq_sqs):
    """What is in hand then ends, cannot be settled, and is given up with the lease, once and in words;
    the next messages on the new queue are worked off."""
    handler = scene.handler("""local host = require "host"
function handle(msg) if msg.body ~= "after" then host.sleep(2) end end
""")
    scene.queue.send_many(["a", "b", "c"])
    with scene.host(handler, queue={"wait": 1}) as host:
        host.wait_for("three in hand", lambda: len(list(scene.wire.receives())) == 3)
        elasticmq_sqs.delete_queue(QueueUrl=scene.queue.url)
        host.wait_says("receive failed", "check queue.url")
        host.wait_for("their ends", lambda: [
            e["msg"] for e in host.log()].count("not settled: the queue does not exist") == 3, 15)
        assert not host.settled()
        elasticmq_sqs.create_queue(QueueName=scene.queue.name)
        scene.queue.send("after")
        host.wait_for("the next one", lambda: len(host.settled()) == 1, 45)
        host.term()
        assert host.wait_exit() == 0
        host.assert_says("receiving works again")
    tries = [e for e in scene.wire.log() if e["target"] == "DeleteMessageBatch"]
    assert 2 <= len(tries) <= 30, "neither given up at once nor hammered"


ODD = {
    "1 MiB": ({"body": "x" * (1 << 20)}, {}),
    "one byte": ({"body": " "}, {}),
    "all unicode": ({"body": "\t\n\u00e9\u4e2d\U0001f600 \\ \" </script>"}, {}),
    "ten attributes": (
        {"body": "{}", "MessageAttributes": {
            **{f"s{n}": {"DataType": "String", "StringValue": f"v{n}"} for n in range(6)},
            "n": {"DataType": "Number", "StringValue": "12345678901234567890.5"},
            "f": {"DataType": "Number.float", "StringValue": "-0.25"},
            "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01\xff"},
            "p": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))}}},
        {"b": "bytes", "p": "bytes", "f": "float", "s0": "string"}),
}


def test_bodies_and_attributes_of_all_kinds(scene):
    sent = {what: scene.queue.send(**message)["MessageId"] for what, (message, _) in ODD.items()}
    with scene.host(scene.handler(ECHO), limits={"memory": "64M"}) as host:
        host.wait_for("all of them", lambda: {e["id"] for e in host.settled()} >= set(sent.values()))
        seen = {e["id"]: json.loads(e["reason"]) for e in host.settled()}
        host.term()
        assert host.wait_exit() == 0
    for what, (message, names) in ODD.items():
        body = message["body"].encode()
        got = seen[sent[what]]
        assert got["bytes"] == len(body), what
        assert got["sha"] == hashlib.sha256(body).hexdigest(), what
        assert names.items() <= (got["names"] or {}).items(), (what, got)
    assert sum(scene.queue.counts()) == len(ODD)  # no dead-letter queue: all kept
