"""What a FIFO queue does, asked of ElasticMQ, moto and the stand-in, as in test_queue_rules.py."""
import json
import time

import pytest

import test_queue_rules
from sqs import arn, create_queue, outcome
from test_queue_rules import server, sqs  # noqa: F401 (the fixtures)

EXPIRED = "InvalidParameterValue"
GONE = "InvalidParameterValue|ReceiptHandleIsInvalid|MessageNotInflight"
# rule: (AWS and the stand-in, ElasticMQ 1.7.1, moto 5.2.5)
TABLE = {
    "the first is given back, others are held": ([], ["a1"], []),
    "the second is given back, the first deleted, the third held": ([], ["a2"], []),
    "the first lapses, others are held": ([], ["a1"], []),
    "delete after the visibility ended": (EXPIRED, "ok", "ok"),
    "delete with a superseded handle": (EXPIRED, "ReceiptHandleIsInvalid", "ok"),
    "change after the visibility ended": (GONE, "ok", "ok"),
    "delete twice": ("ok", "ReceiptHandleIsInvalid", "ok"),
    "a deduplication id again": ("the first id", "the first id", "another id"),
    "a deduplication id again, the first deleted": (0, 0, 1),
    "no group": ("MissingParameter", "MissingParameter", "MissingRequiredParameterException"),
    "neither deduplication id nor content": ("InvalidParameterValue",) * 3,
    "a delay of one message": ("InvalidParameterValue",) * 3,
    "sequence numbers": ("grow", "grow", "do not"),
    "an attempt id again": ("the same, for nothing", "the same, once more", "nothing"),
    "an attempt id again after a delete": ("InvalidParameterValue", "500", "ok"),
    "an attempt id on a standard queue":
        ("InvalidParameterValue", "InvalidParameterValue", "ok"),
    "a deduplication id on a standard queue":
        ("InvalidParameterValue", "InvalidParameterValue", "ok"),
    "a name in .fifo alone": ("InvalidParameterValue", "InvalidAttributeName", "ok"),
    "the attribute alone":
        ("InvalidParameterValue", "InvalidAttributeName", "InvalidParameterValue"),
    "a standard queue for dead letters":
        ("InvalidParameterValue", "ok", "InvalidParameterCombination"),
}


def check(rule, server, got):
    test_queue_rules.check(rule, server, got, TABLE)


@pytest.fixture
def queue(sqs):
    return create_queue(sqs, "fifo", FifoQueue="true", VisibilityTimeout=30)


def fill(queue, group, count):
    for n in range(1, count + 1):
        queue.send(f"{group}{n}", MessageGroupId=group, MessageDeduplicationId=f"{group}-{n}")


def bodies(messages):
    return [m["Body"] for m in messages]


def receive(queue, number=10, **kw):
    got = queue.receive(number, **kw)
    return bodies(got), [m["ReceiptHandle"] for m in got]


# ---- groups

def test_a_group_comes_in_order_and_is_locked_while_in_flight(queue):
    fill(queue, "a", 12)
    fill(queue, "b", 2)
    first, handles = receive(queue, 3)
    assert first == ["a1", "a2", "a3"]
    assert receive(queue)[0] == ["b1", "b2"], "the other group"
    assert queue.delete(handles[0]) == "ok"
    assert receive(queue)[0] == [], "two are in flight"
    for handle in handles[1:]:
        assert queue.delete(handle) == "ok"
    assert receive(queue)[0] == [f"a{n}" for n in range(4, 13)]


def test_what_is_given_back_comes_in_its_old_place(queue):
    fill(queue, "a", 4)
    _, handles = receive(queue, 3)
    for handle in reversed(handles):
        assert queue.change(handle, 0) == "ok"
    assert receive(queue)[0] == ["a1", "a2", "a3", "a4"]


def test_others_given_back_wait_for_the_first(queue):
    fill(queue, "a", 4)
    _, handles = receive(queue, 3)
    assert queue.change(handles[0], 2) == "ok"
    for handle in handles[1:]:
        assert queue.change(handle, 0) == "ok"
    assert receive(queue)[0] == []
    assert receive(queue, wait=5)[0] == ["a1", "a2", "a3", "a4"]


def test_the_first_given_back_alone(queue, server):
    fill(queue, "a", 4)
    _, handles = receive(queue, 3)
    assert queue.change(handles[0], 0) == "ok"
    check("the first is given back, others are held", server, receive(queue)[0])


def test_one_in_the_middle_given_back(queue, server):
    fill(queue, "a", 4)
    _, handles = receive(queue, 3)
    assert queue.change(handles[1], 0) == "ok"
    assert receive(queue)[0] == []
    assert queue.delete(handles[0]) == "ok"
    check("the second is given back, the first deleted, the third held", server,
          receive(queue)[0])


def test_a_lapsed_first(queue, server):
    fill(queue, "a", 4)
    _, handles = receive(queue, 3)
    assert queue.change(handles[0], 1) == "ok"
    time.sleep(1.3)
    check("the first lapses, others are held", server, receive(queue, 1)[0])


def test_a_long_poll_wakes_when_a_group_is_free(queue):
    fill(queue, "a", 2)
    _, handles = receive(queue, 1)
    assert receive(queue)[0] == []
    assert queue.change(handles[0], 1) == "ok"
    start = time.monotonic()
    assert receive(queue, wait=10)[0] == ["a1", "a2"]
    assert time.monotonic() - start < 4


def test_redrive_takes_the_first_and_goes_on(sqs, queue):
    dead = create_queue(sqs, "dead", FifoQueue="true")
    policy = json.dumps({"deadLetterTargetArn": arn(sqs, dead.url), "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"RedrivePolicy": policy})
    fill(queue, "a", 3)
    receive(queue, 1, visibility=0)
    assert receive(queue, wait=2)[0] == ["a2", "a3"]
    assert bodies(dead.receive(10, wait=2)) == ["a1"]


# ---- receipt handles

def test_handles_of_a_lease_that_has_ended(queue, server):
    fill(queue, "a", 1)
    old = receive(queue, visibility=1)[1][0]
    time.sleep(1.3)
    check("change after the visibility ended", server, queue.change(old, 5))
    fill(queue, "b", 1)
    old = receive(queue, visibility=1)[1][0]
    time.sleep(1.3)
    check("delete after the visibility ended", server, queue.delete(old))
    queue.sqs.purge_queue(QueueUrl=queue.url)
    fill(queue, "c", 1)
    old = queue.receive_one(visibility=0)["ReceiptHandle"]
    queue.receive_one()
    check("delete with a superseded handle", server, queue.delete(old))


def test_delete_twice(queue, server):
    fill(queue, "a", 1)
    _, (handle,) = receive(queue)
    assert queue.delete(handle) == "ok"
    check("delete twice", server, queue.delete(handle))


# ---- sending

def test_a_deduplication_id_is_known_for_a_while(queue, server):
    first = queue.send("x", MessageGroupId="a", MessageDeduplicationId="d")
    again = queue.send("y", MessageGroupId="b", MessageDeduplicationId="d")
    check("a deduplication id again", server,
          "the first id" if again["MessageId"] == first["MessageId"] else "another id")
    assert bodies(queue.receive(10)) == ["x"]
    queue.sqs.purge_queue(QueueUrl=queue.url)
    queue.send("z", MessageGroupId="a", MessageDeduplicationId="e")
    assert queue.delete(queue.receive_one()["ReceiptHandle"]) == "ok"
    queue.send("z", MessageGroupId="a", MessageDeduplicationId="e")
    check("a deduplication id again, the first deleted", server, queue.counts()[0])


def test_content_based_deduplication(sqs):
    queue = create_queue(sqs, "content", FifoQueue="true", ContentBasedDeduplication="true")
    for body in ("x", "x", "y"):
        queue.send(body, MessageGroupId="a")
    assert bodies(queue.receive(10)) == ["x", "y"]


def test_what_a_message_needs(queue, server):
    check("no group", server, outcome(queue.send, "x", MessageDeduplicationId="d"))
    check("neither deduplication id nor content", server,
          outcome(queue.send, "x", MessageGroupId="a"))
    check("a delay of one message", server, outcome(
        queue.send, "x", MessageGroupId="a", MessageDeduplicationId="d", DelaySeconds=1))


def test_what_a_message_carries(queue, server):
    sent = [queue.send(n, MessageGroupId="a", MessageDeduplicationId=n) for n in "12345678"]
    got = queue.receive(10)
    numbers = [int(m["Attributes"]["SequenceNumber"]) for m in got]
    assert numbers == [int(s["SequenceNumber"]) for s in sent]
    check("sequence numbers", server, "grow" if numbers == sorted(numbers) else "do not")
    assert {m["Attributes"]["MessageGroupId"] for m in got} == {"a"}
    assert [m["Attributes"]["MessageDeduplicationId"] for m in got] == list("12345678")


# ---- attempt ids

def test_a_receive_that_is_repeated(queue, server):
    fill(queue, "a", 4)
    first = queue.receive(2, ReceiveRequestAttemptId="r")
    again = queue.receive(2, ReceiveRequestAttemptId="r")
    counts = [m["Attributes"]["ApproximateReceiveCount"] for m in again]
    check("an attempt id again", server, "nothing" if not again else
          "the same, for nothing" if counts == ["1", "1"] else "the same, once more")
    if again:
        assert bodies(again) == bodies(first) == ["a1", "a2"]
    assert queue.delete((again or first)[0]["ReceiptHandle"]) == "ok"
    code = outcome(queue.receive, 2, ReceiveRequestAttemptId="r")
    check("an attempt id again after a delete", server, code)


def test_what_is_for_fifo_queues_alone(sqs, server):
    queue = create_queue(sqs, "standard")
    check("an attempt id on a standard queue", server,
          outcome(queue.receive, ReceiveRequestAttemptId="r"))
    check("a deduplication id on a standard queue", server,
          outcome(queue.send, "x", MessageDeduplicationId="d"))


# ---- queues

def test_name_and_attribute_belong_together(sqs, server, queue):
    check("a name in .fifo alone", server,
          outcome(sqs.create_queue, QueueName="alone" + queue.name))
    check("the attribute alone", server, outcome(
        sqs.create_queue, QueueName="alone-" + queue.name[:-len(".fifo")],
        Attributes={"FifoQueue": "true"}))
    attributes = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
    assert attributes["FifoQueue"] == "true"
    assert attributes["ContentBasedDeduplication"] == "false"


def test_dead_letters_of_the_same_kind(sqs, server, queue):
    dead = create_queue(sqs, "dead")
    policy = json.dumps({"deadLetterTargetArn": arn(sqs, dead.url), "maxReceiveCount": 3})
    check("a standard queue for dead letters", server, outcome(
        sqs.set_queue_attributes, QueueUrl=queue.url, Attributes={"RedrivePolicy": policy}))
