"""What a message may hold, where it goes when it was received too often, and what settings a queue
takes: asked of ElasticMQ, moto and the stand-in, as in test_queue_rules.py."""
import json
import threading
import time

import pytest

import test_queue_rules
from sqs import create_queue, md5_of_attributes, outcome
from test_queue_rules import BIGGEST, queue, server, sqs  # noqa: F401 (the fixtures)

# rule: (AWS and the stand-in, ElasticMQ 1.7.1, moto 5.2.5)
TABLE = {
    "eleven attributes": ("InvalidParameterValue", "InvalidAttributeValue", "ok"),
    "an attribute without a value": ("InvalidParameterValue", "MissingParameter", "ok"),
    "an attribute that is no number": ("InvalidParameterValue", "InvalidAttributeValue", "ok"),
    "an attribute of an unknown type": ("InvalidParameterValue",) * 3,
    "an attribute named like AWS's own": ("InvalidParameterValue", "ok", "ok"),
    "a control character in a body": ("InvalidMessageContents", "InvalidAttributeValue", "ok"),
    "a control character in an attribute": ("InvalidParameterValue", "InvalidAttributeValue", "ok"),
    "a batch too long in total":
        ("BatchRequestTooLong", "InvalidAttributeValue", "BatchRequestTooLong"),
    "a delay of 901 s": ("InvalidParameterValue",) * 3,
    "a queue's delay of 901 s": ("InvalidAttributeValue", "ok", "ok"),
    "another account's queue": ("QueueDoesNotExist", "ok", "ok"),
    "sources that a dead-letter queue lists": (1, 0, 1),
    "taking a redrive policy away": ("ok", "InvalidAttributeValue", "ok"),
    "redrive to nowhere": ("InvalidParameterValue", "QueueDoesNotExist", "QueueDoesNotExist"),
    "redrive after no receive": ("InvalidParameterValue", "InvalidParameterValue", "ok"),
    "redrive after 1001 receives": ("InvalidParameterValue", "InvalidParameterValue", "ok"),
    "redrive without a count":
        ("InvalidParameterValue", "InvalidAttributeValue", "InvalidParameterValue"),
    "redrive that is no JSON": ("InvalidParameterValue", "InvalidAttributeValue", "500"),
    "the source named on the dead-letter queue": (True, True, False),
    "receives counted on the dead-letter queue": ("4", "4", "4"),
    "the digest of system attributes": (True, False, False),
    "a retention of 59 s": ("InvalidAttributeValue", "ok", "ok"),
}


def check(rule, server, got):
    test_queue_rules.check(rule, server, got, TABLE)


# ---- what a message may hold

def text(value):
    return {"DataType": "String", "StringValue": value}


@pytest.mark.parametrize("rule, attributes", [
    ("eleven attributes", {f"a{i}": text("v") for i in range(11)}),
    ("an attribute without a value", {"a": {"DataType": "String"}}),
    ("an attribute that is no number", {"a": {"DataType": "Number", "StringValue": "many"}}),
    ("an attribute of an unknown type", {"a": {"DataType": "Text", "StringValue": "v"}}),
    ("an attribute named like AWS's own", {"AWS.a": text("v")}),
    ("a control character in an attribute", {"a": text("be\x07ll")}),
])
def test_attributes_that_are_refused(queue, server, rule, attributes):
    code = outcome(queue.send, MessageAttributes=attributes)
    check(rule, server, code)
    assert queue.counts()[0] == (code == "ok")


def test_ten_attributes_are_taken(queue):
    attributes = {f"a{i}": text(str(i)) for i in range(10)}
    queue.send(MessageAttributes=attributes)
    assert queue.receive_one()["MessageAttributes"] == attributes


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_characters_that_are_refused(queue, server, character):
    code = outcome(queue.send, f"a{character}b")
    check("a control character in a body", server, code)
    assert queue.counts()[0] == (code == "ok")


def test_the_digest_of_system_attributes(queue, server):
    trace = {"AWSTraceHeader": text("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1")}
    sent = queue.send("traced", MessageSystemAttributes=trace)
    digest = sent.get("MD5OfMessageSystemAttributes")
    check("the digest of system attributes", server, digest == md5_of_attributes(trace))


def test_a_batch_too_long_in_total(queue, server):
    entries = [{"Id": str(i), "MessageBody": "x" * (BIGGEST // 2)} for i in range(2)]
    entries[1]["MessageBody"] += "x"
    code = outcome(queue.sqs.send_message_batch, QueueUrl=queue.url, Entries=entries)
    check("a batch too long in total", server, code)
    assert queue.is_empty()


# ---- dead letters

def redrive_policy(target, count):
    arn = target.sqs.get_queue_attributes(
        QueueUrl=target.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": count})


@pytest.fixture
def dead(sqs):
    return create_queue(sqs, "dead")


def test_what_was_received_too_often_moves(sqs, dead, server):
    queue = create_queue(sqs, "redrive", RedrivePolicy=redrive_policy(dead, 3))
    attributes = {"n": {"DataType": "Number", "StringValue": "7"}, "b": {
        "DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    queue.send("poison", MessageAttributes=attributes,
               MessageSystemAttributes={"AWSTraceHeader": text(trace)})
    for n in range(1, 4):
        first = queue.receive_one(visibility=0)
        assert first["Attributes"]["ApproximateReceiveCount"] == str(n)
        assert "DeadLetterQueueSourceArn" not in first["Attributes"]
    assert dead.is_empty()
    assert queue.receive() == []
    assert queue.is_empty()
    moved = dead.receive_one()
    for member in ("MessageId", "Body", "MD5OfBody", "MessageAttributes",
                   "MD5OfMessageAttributes"):
        assert moved[member] == first[member], member
    assert moved["MessageAttributes"] == attributes
    for name in ("SentTimestamp", "SenderId", "AWSTraceHeader"):
        assert moved["Attributes"][name] == first["Attributes"][name], name
    source = moved["Attributes"].get("DeadLetterQueueSourceArn", "")
    check("the source named on the dead-letter queue", server, source.endswith(":" + queue.name))
    check("receives counted on the dead-letter queue", server,
          moved["Attributes"]["ApproximateReceiveCount"])
    assert dead.delete(moved["ReceiptHandle"]) == "ok"
    assert dead.is_empty()


def test_a_lease_that_ends_counts_and_others_are_still_received(sqs, dead):
    queue = create_queue(sqs, "redrive", RedrivePolicy=redrive_policy(dead, 1))
    queue.send("poison")
    queue.receive_one(visibility=1)
    time.sleep(1.2)
    queue.send("good")
    bodies = [m["Body"] for m in queue.receive(10, wait=2)]
    assert bodies == ["good"]
    assert dead.receive_one(wait=5)["Body"] == "poison"


def test_a_long_poll_goes_on_when_what_came_back_moves(sqs, dead):
    """The lease ends in mid-poll, and the one who waits does not get that message."""
    queue = create_queue(sqs, "redrive", RedrivePolicy=redrive_policy(dead, 1))
    queue.send("poison")
    queue.receive_one(visibility=1)
    timer = threading.Timer(2.5, queue.send, ["good"])
    timer.start()
    got = queue.receive_one(wait=10)
    timer.join()
    assert got["Body"] == "good"
    assert dead.receive_one(wait=5)["Body"] == "poison"


def test_a_deleted_message_does_not_move(sqs, dead):
    queue = create_queue(sqs, "redrive", RedrivePolicy=redrive_policy(dead, 1))
    queue.send()
    assert queue.delete(queue.receive_one()["ReceiptHandle"]) == "ok"
    assert queue.receive() == []
    assert dead.is_empty()


def test_a_redrive_policy_can_be_read_set_and_taken_away(sqs, queue, dead, server):
    def read():
        answer = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["RedrivePolicy"])
        return json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "null"))

    def sources():
        return sqs.list_dead_letter_source_queues(QueueUrl=dead.url)["queueUrls"]

    assert read() is None
    assert sources() == []
    policy = redrive_policy(dead, 5)
    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"RedrivePolicy": policy})
    got = read()
    assert got["deadLetterTargetArn"] == json.loads(policy)["deadLetterTargetArn"]
    assert int(got["maxReceiveCount"]) == 5
    check("sources that a dead-letter queue lists", server, sources().count(queue.url))
    check("taking a redrive policy away", server, outcome(
        sqs.set_queue_attributes, QueueUrl=queue.url, Attributes={"RedrivePolicy": ""}))
    if server == "sandbox":
        assert read() is None
        assert sources() == []


@pytest.mark.parametrize("rule, changes", [
    ("redrive to nowhere", {"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:000000000000:no"}),
    ("redrive after no receive", {"maxReceiveCount": 0}),
    ("redrive after 1001 receives", {"maxReceiveCount": 1001}),
    ("redrive without a count", {"maxReceiveCount": None}),
    ("redrive that is no JSON", None),
])
def test_redrive_policies_that_are_refused(sqs, queue, dead, server, rule, changes):
    policy = {**json.loads(redrive_policy(dead, 3)), **(changes or {})}
    given = json.dumps({k: v for k, v in policy.items() if v is not None}) if changes else "{"
    check(rule, server, outcome(sqs.set_queue_attributes, QueueUrl=queue.url,
                                Attributes={"RedrivePolicy": given}))


# ---- settings

@pytest.mark.parametrize("rule, attribute", [
    ("a queue's delay of 901 s", {"DelaySeconds": "901"}),
    ("a retention of 59 s", {"MessageRetentionPeriod": "59"}),
])
def test_settings_out_of_range(queue, server, rule, attribute):
    check(rule, server, outcome(queue.sqs.set_queue_attributes, QueueUrl=queue.url,
                                Attributes=attribute))


def test_a_delay_out_of_range(queue, server):
    check("a delay of 901 s", server, outcome(queue.send, DelaySeconds=901))


def test_a_queue_of_an_account(sqs, queue, server):
    answer = sqs.get_queue_url(QueueName=queue.name, QueueOwnerAWSAccountId="000000000000")
    assert answer["QueueUrl"] == queue.url
    check("another account's queue", server, outcome(
        sqs.get_queue_url, QueueName=queue.name, QueueOwnerAWSAccountId="111111111111"))
