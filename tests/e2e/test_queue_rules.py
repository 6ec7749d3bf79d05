"""What an SQS queue does, asked of ElasticMQ, moto and the stand-in by the same boto3 calls.

A rule on which servers agree is asserted on all. Where ElasticMQ or moto is known to differ from
what AWS documents, TABLE says so; the stand-in has to give the AWS column, always.
"""
import threading
import time

import pytest

from sqs import batch_outcome, create_queue, md5_of_attributes, md5_of_body, outcome

# Codes joined by | : AWS documents that it is an error, and its documents do not settle under which
# of these names.
NOT_YOURS = "InvalidParameterValue|ReceiptHandleIsInvalid|MessageNotInflight"
OUT_OF_RANGE = "InvalidParameterValue|ReadCountOutOfRange"
NO_BODY = "MissingParameter|InvalidParameterValue"
# rule: (AWS and the stand-in, ElasticMQ 1.7.1, moto 5.2.5)
TABLE = {
    "delete twice": ("ok", "ReceiptHandleIsInvalid", "ok"),
    "delete with a superseded handle": ("ok", "ReceiptHandleIsInvalid", "ok"),
    "a message after a delete with a superseded handle":
        ("still there", "still there", "deleted"),
    "delete with a random string": ("ReceiptHandleIsInvalid",) * 3,
    "change visibility of a message not in flight": ("MessageNotInflight", "ok", "ok"),
    "change visibility with a superseded handle": (NOT_YOURS, "ReceiptHandleIsInvalid", "ok"),
    "change visibility of a deleted message":
        (NOT_YOURS, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid"),
    "change visibility past 12 hours in total":
        ("InvalidParameterValue", "ok", "InvalidParameterValue"),
    "change visibility by more than 12 hours":
        ("InvalidParameterValue", "ok", "InvalidParameterValue"),
    "batch with a bad entry id": ("InvalidBatchEntryId", "ok", "InvalidBatchEntryId"),
    "batch with one id twice": ("BatchEntryIdsNotDistinct",) * 3,
    "delete batch with one id twice":
        ("BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct", "ok"),
    "batch of eleven": ("TooManyEntriesInBatchRequest",) * 3,
    "delete batch of eleven":
        ("TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest", "ok"),
    "batch of none": ("EmptyBatchRequest", "ok", "EmptyBatchRequest"),
    "delete batch with one handle twice": ("ok", "ok", "BatchEntryIdsNotDistinct"),
    "a receive with numbers out of range":
        (OUT_OF_RANGE, "InvalidAttributeValue", "InvalidParameterValue"),
    "a message too long":
        ("InvalidParameterValue", "InvalidAttributeValue", "InvalidParameterValue"),
    "an empty body": (NO_BODY, "InvalidAttributeValue", "ok"),
    "attributes by prefix": ({"app.a", "app.b"}, set(), {"app.a", "app.b"}),
    "the account in a queue's URL": ("000000000000", "000000000000", "123456789012"),
    "times in the queue's attributes": ("whole seconds", "whole seconds", "fractions"),
}
COLUMNS = {"sandbox": 0, "elasticmq": 1, "moto": 2}
BIGGEST = 1024 * 1024


def check(rule, server, got, table=TABLE):
    want = table[rule][COLUMNS[server]]
    if isinstance(want, str):
        assert got in want.split("|"), rule
    else:
        assert got == want, rule


@pytest.fixture(params=COLUMNS)
def server(request):
    return request.param


@pytest.fixture
def sqs(server, request):
    return request.getfixturevalue(server + "_sqs")


@pytest.fixture
def queue(sqs):
    return create_queue(sqs, "rules", VisibilityTimeout=30)


# ---- sending and receiving

def test_a_message_comes_back_as_sent(queue):
    body = "Grüße, 世界 \U0001f600 <&\"'> \t\n end"
    sent = queue.send(body)
    got = queue.receive_one()
    assert got["Body"] == body
    assert got["MessageId"] == sent["MessageId"]
    assert sent["MD5OfMessageBody"] == got["MD5OfBody"] == md5_of_body(body)


def test_attributes_of_all_types_and_their_digests(queue):
    attributes = {
        "text": {"DataType": "String", "StringValue": "ä value"},
        "number": {"DataType": "Number", "StringValue": "12.50"},
        "custom": {"DataType": "Number.float", "StringValue": "1e3"},
        "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))},
        "A": {"DataType": "String.json", "StringValue": "{}"},
    }
    sent = queue.send("with attributes", MessageAttributes=attributes)
    got = queue.receive_one()
    assert got["MessageAttributes"] == attributes
    digest = md5_of_attributes(attributes)
    assert sent["MD5OfMessageAttributes"] == digest
    assert got["MD5OfMessageAttributes"] == digest


def test_attributes_can_be_selected_by_prefix(queue, server):
    def value(text):
        return {"DataType": "String", "StringValue": text}
    queue.send("some", MessageAttributes={"app.a": value("1"), "app.b": value("2"),
                                          "x": value("3")})
    got = queue.sqs.receive_message(QueueUrl=queue.url, MessageAttributeNames=["app.*"],
                                    WaitTimeSeconds=1)["Messages"][0]
    check("attributes by prefix", server, set(got.get("MessageAttributes", {})))


def test_an_empty_receive_has_no_messages(queue):
    answer = queue.sqs.receive_message(QueueUrl=queue.url)
    assert not answer.get("Messages")


def test_system_attributes(queue):
    before = time.time() * 1000
    queue.send()
    first = queue.receive_one(visibility=0)["Attributes"]
    time.sleep(0.2)
    second = queue.receive_one()["Attributes"]
    assert first["ApproximateReceiveCount"] == "1"
    assert second["ApproximateReceiveCount"] == "2"
    assert abs(int(first["SentTimestamp"]) - before) < 3000
    assert int(first["ApproximateFirstReceiveTimestamp"]) >= int(first["SentTimestamp"])
    assert second["ApproximateFirstReceiveTimestamp"] == first["ApproximateFirstReceiveTimestamp"]
    assert "SenderId" in first


def test_the_trace_header_travels_as_a_system_attribute(queue):
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    queue.send("traced", MessageSystemAttributes={
        "AWSTraceHeader": {"DataType": "String", "StringValue": trace}})
    assert queue.receive_one()["Attributes"]["AWSTraceHeader"] == trace


def test_a_receive_gives_at_most_what_was_asked_for(queue):
    queue.send_many(str(i) for i in range(12))
    assert 1 <= len(queue.receive(3)) <= 3
    bodies = set()
    while got := queue.receive(10):
        assert len(got) <= 10
        bodies.update(m["Body"] for m in got)
    assert len(bodies) >= 9


@pytest.mark.parametrize("argument", [{"MaxNumberOfMessages": 0}, {"MaxNumberOfMessages": 11},
                                      {"WaitTimeSeconds": 21}])
def test_receive_parameters_out_of_range(queue, server, argument):
    code = outcome(queue.sqs.receive_message, QueueUrl=queue.url, **argument)
    check("a receive with numbers out of range", server, code)


# ---- long polls

def test_a_long_poll_wakes_when_a_message_arrives(queue):
    timer = threading.Timer(0.8, queue.send)
    start = time.monotonic()
    timer.start()
    got = queue.receive(wait=10)
    took = time.monotonic() - start
    timer.join()
    assert len(got) == 1
    assert 0.7 < took < 2.0


def test_an_empty_long_poll_takes_its_time(queue):
    start = time.monotonic()
    assert queue.receive(wait=1) == []
    assert 0.9 < time.monotonic() - start < 2.5


def test_a_long_poll_wakes_when_a_visibility_ends(queue):
    queue.send()
    queue.receive_one(visibility=1)
    start = time.monotonic()
    assert len(queue.receive(wait=10)) == 1
    assert time.monotonic() - start < 3.5


def test_the_queues_own_wait_is_the_default(sqs):
    queue = create_queue(sqs, "wait", ReceiveMessageWaitTimeSeconds=1)
    start = time.monotonic()
    sqs.receive_message(QueueUrl=queue.url)
    assert time.monotonic() - start > 0.9


# ---- visibility

def test_a_received_message_is_hidden_and_comes_back(queue):
    queue.send()
    first = queue.receive_one(visibility=1)
    assert queue.receive() == []
    second = queue.receive_one(wait=5)
    assert second["MessageId"] == first["MessageId"]
    assert second["ReceiptHandle"] != first["ReceiptHandle"]


def test_visibility_zero_gives_the_message_back(queue):
    queue.send()
    got = queue.receive_one()
    assert queue.change(got["ReceiptHandle"], 0) == "ok"
    assert queue.receive_one()["Attributes"]["ApproximateReceiveCount"] == "2"


def test_visibility_can_be_extended(queue):
    queue.send()
    got = queue.receive_one(visibility=1)
    assert queue.change(got["ReceiptHandle"], 20) == "ok"
    time.sleep(1.5)
    assert queue.receive() == []
    assert queue.delete(got["ReceiptHandle"]) == "ok"
    assert queue.is_empty()


def test_change_of_a_message_not_in_flight(queue, server):
    queue.send()
    handle = queue.receive_one(visibility=0)["ReceiptHandle"]
    check("change visibility of a message not in flight", server, queue.change(handle, 10))


def test_change_with_a_superseded_handle(queue, server):
    queue.send()
    old = queue.receive_one(visibility=0)["ReceiptHandle"]
    new = queue.receive_one()["ReceiptHandle"]
    check("change visibility with a superseded handle", server, queue.change(old, 10))
    assert queue.delete(new) == "ok"


def test_change_of_a_deleted_message(queue, server):
    queue.send()
    handle = queue.receive_one()["ReceiptHandle"]
    assert queue.delete(handle) == "ok"
    check("change visibility of a deleted message", server, queue.change(handle, 10))


def test_twelve_hours_are_the_most(queue, server):
    queue.send()
    handle = queue.receive_one(visibility=30)["ReceiptHandle"]
    time.sleep(1.1)
    check("change visibility past 12 hours in total", server, queue.change(handle, 43200))
    check("change visibility by more than 12 hours", server, queue.change(handle, 43201))


# ---- deleting

def test_a_deleted_message_is_gone(queue):
    queue.send()
    assert queue.delete(queue.receive_one(visibility=1)["ReceiptHandle"]) == "ok"
    assert queue.is_empty()
    assert queue.receive(wait=2) == []


def test_delete_after_the_visibility_ended_with_the_newest_handle(queue):
    queue.send()
    handle = queue.receive_one(visibility=1)["ReceiptHandle"]
    time.sleep(1.2)
    assert queue.delete(handle) == "ok"
    assert queue.receive(wait=1) == []


def test_delete_twice(queue, server):
    queue.send()
    handle = queue.receive_one()["ReceiptHandle"]
    assert queue.delete(handle) == "ok"
    check("delete twice", server, queue.delete(handle))


def test_delete_with_a_superseded_handle(queue, server):
    queue.send()
    old = queue.receive_one(visibility=0)["ReceiptHandle"]
    queue.receive_one()
    check("delete with a superseded handle", server, queue.delete(old))
    check("a message after a delete with a superseded handle", server,
          "deleted" if queue.is_empty() else "still there")


def test_delete_with_a_random_string(queue, server):
    queue.send()
    check("delete with a random string", server, queue.delete("no-such-handle"))
    assert queue.counts() == (1, 0, 0)


# ---- batches

def test_a_send_batch(queue):
    attribute = {"n": {"DataType": "Number", "StringValue": "1"}}
    answer = queue.sqs.send_message_batch(QueueUrl=queue.url, Entries=[
        {"Id": "a", "MessageBody": "first", "MessageAttributes": attribute},
        {"Id": "b_-9", "MessageBody": "second"}])
    assert batch_outcome(answer) == {"a": "ok", "b_-9": "ok"}
    by_id = {e["Id"]: e for e in answer["Successful"]}
    assert by_id["a"]["MD5OfMessageBody"] == md5_of_body("first")
    assert by_id["a"]["MD5OfMessageAttributes"] == md5_of_attributes(attribute)
    assert "MD5OfMessageAttributes" not in by_id["b_-9"]
    assert queue.counts() == (2, 0, 0)


def test_a_delete_batch_that_fails_in_part(queue, server):
    queue.send_many(["1", "2"])
    handles = []
    while len(handles) < 2:
        handles += [m["ReceiptHandle"] for m in queue.receive(10, wait=2)]
    answer = queue.sqs.delete_message_batch(QueueUrl=queue.url, Entries=[
        {"Id": "0", "ReceiptHandle": handles[0]}, {"Id": "1", "ReceiptHandle": "rubbish"},
        {"Id": "2", "ReceiptHandle": handles[1]}])
    outcomes = batch_outcome(answer)
    check("delete with a random string", server, outcomes.pop("1"))
    assert outcomes == {"0": "ok", "2": "ok"}
    assert answer["Failed"][0]["SenderFault"] is True
    assert queue.is_empty()


def test_a_visibility_batch_that_fails_in_part(queue):
    queue.send()
    handle = queue.receive_one()["ReceiptHandle"]
    answer = queue.sqs.change_message_visibility_batch(QueueUrl=queue.url, Entries=[
        {"Id": "bad", "ReceiptHandle": "rubbish", "VisibilityTimeout": 5},
        {"Id": "good", "ReceiptHandle": handle, "VisibilityTimeout": 0}])
    assert batch_outcome(answer)["good"] == "ok"
    assert batch_outcome(answer)["bad"] != "ok"
    assert queue.receive_one()["Attributes"]["ApproximateReceiveCount"] == "2"


@pytest.mark.parametrize("rule, ids", [("batch with a bad entry id", ["a b"]),
                                       ("batch with one id twice", ["a", "a"]),
                                       ("batch of eleven", [str(i) for i in range(11)]),
                                       ("batch of none", [])])
def test_batches_refused_as_a_whole(queue, server, rule, ids):
    code = outcome(queue.sqs.send_message_batch, QueueUrl=queue.url,
                   Entries=[{"Id": i, "MessageBody": "x"} for i in ids])
    check(rule, server, code)
    assert queue.counts() == (len(ids) if code == "ok" else 0, 0, 0)
    code = outcome(queue.sqs.delete_message_batch, QueueUrl=queue.url, Entries=[
        {"Id": i, "ReceiptHandle": f"h{n}"} for n, i in enumerate(ids)])
    if ids != ["a b"]:
        check("delete " + rule if "delete " + rule in TABLE else rule, server, code)


def test_a_delete_batch_with_one_handle_twice(queue, server):
    queue.send()
    handle = queue.receive_one()["ReceiptHandle"]
    code = outcome(queue.sqs.delete_message_batch, QueueUrl=queue.url,
                   Entries=[{"Id": i, "ReceiptHandle": handle} for i in "ab"])
    check("delete batch with one handle twice", server, code)
    assert queue.is_empty() == (code == "ok")


# ---- delays, sizes, queues

def test_a_delayed_message(queue):
    queue.send("later", DelaySeconds=1)
    assert queue.counts() == (0, 0, 1)
    assert queue.receive() == []
    assert queue.receive_one(wait=5)["Body"] == "later"


def test_a_queue_that_delays(sqs):
    queue = create_queue(sqs, "delay", DelaySeconds=1)
    queue.send()
    assert queue.receive() == []
    assert len(queue.receive(wait=5)) == 1


def test_the_biggest_message_and_one_byte_more(queue, server):
    queue.send("x" * BIGGEST)
    assert len(queue.receive_one()["Body"]) == BIGGEST
    check("a message too long", server, outcome(queue.send, "x" * (BIGGEST + 1)))


def test_an_empty_body_is_refused(queue, server):
    check("an empty body", server, outcome(queue.send, ""))


def test_queues_that_do_not_exist(sqs, queue):
    gone = queue.url.replace(queue.name, "nowhere")
    assert outcome(sqs.get_queue_url, QueueName="nowhere") == "QueueDoesNotExist"
    assert outcome(sqs.receive_message, QueueUrl=gone) == "QueueDoesNotExist"
    assert outcome(sqs.send_message, QueueUrl=gone, MessageBody="x") == "QueueDoesNotExist"
    assert outcome(sqs.get_queue_attributes, QueueUrl=gone) == "QueueDoesNotExist"
    assert outcome(sqs.delete_message_batch, QueueUrl=gone,
                   Entries=[{"Id": "1", "ReceiptHandle": "x"}]) == "QueueDoesNotExist"


def test_get_queue_url(sqs, queue, server):
    assert sqs.get_queue_url(QueueName=queue.name)["QueueUrl"] == queue.url
    account, name = queue.url.split("/")[-2:]
    assert name == queue.name
    check("the account in a queue's URL", server, account)


def test_create_queue_is_repeatable_and_notices_another_setting(sqs):
    queue = create_queue(sqs, "twice", VisibilityTimeout=7)
    again = sqs.create_queue(QueueName=queue.name, Attributes={"VisibilityTimeout": "7"})
    assert again["QueueUrl"] == queue.url
    attributes = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["VisibilityTimeout"])
    assert attributes["Attributes"] == {"VisibilityTimeout": "7"}
    code = outcome(sqs.create_queue, QueueName=queue.name, Attributes={"VisibilityTimeout": "8"})
    assert code == "QueueNameExists"


def test_queue_attributes(queue, server):
    answer = queue.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])
    attributes = answer["Attributes"]
    assert attributes["VisibilityTimeout"] == "30"
    assert attributes["QueueArn"].startswith("arn:aws:sqs:")
    assert attributes["QueueArn"].endswith(":" + queue.name)
    for name in ("DelaySeconds", "ReceiveMessageWaitTimeSeconds"):
        assert int(attributes[name]) >= 0
    for name in ("CreatedTimestamp", "LastModifiedTimestamp"):
        assert abs(float(attributes[name]) - time.time()) < 60
        check("times in the queue's attributes", server,
              "whole seconds" if attributes[name].isdigit() else "fractions")


def test_counts_follow_the_messages(queue):
    queue.send_many(["a", "b", "c"])
    assert queue.counts() == (3, 0, 0)
    queue.receive_one()
    assert queue.counts() == (2, 1, 0)


def test_purge(queue):
    queue.send_many(["a", "b"])
    queue.receive_one()
    queue.sqs.purge_queue(QueueUrl=queue.url)
    assert queue.is_empty()
