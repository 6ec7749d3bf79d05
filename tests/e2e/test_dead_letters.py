"""Dead letters on a real server: copied with all that they carried, and only then deleted."""
import json
import time
import urllib.parse

import pytest

import procs
import sqs
from stage import Stage

HANDLER = """local host = require "host"
local M = {}
function M.handle(msg)
  if msg.body:find "bad" then return host.reject "cannot be mapped" end
  if msg.body:find "fails" then error "broken on purpose" end
end
return M
"""

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
ATTRIBUTES = {
    "text": {"DataType": "String", "StringValue": "plain \u00e9"},
    "number": {"DataType": "Number.float", "StringValue": "-12.50"},
    "bytes": {"DataType": "Binary.raw", "BinaryValue": bytes(range(256))},
}


class Scene(Stage):
    """A stage with a dead-letter queue beside its queue."""

    def __init__(self, folder, elasticmq, client, receives=3, **kw):
        super().__init__(folder, elasticmq, client, **kw)
        self.dead = sqs.create_queue(client, "dead")
        self.point_at(sqs.arn(client, self.dead.url), receives)

    def point_at(self, arn, receives):
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        self.queue.sqs.set_queue_attributes(QueueUrl=self.queue.url,
                                            Attributes={"RedrivePolicy": policy})

    def run(self, settled, **changes):
        """Runs the host until so many lines "settled" are in its log, stops it, returns them."""
        with self.host(self.handler(HANDLER), **changes) as host:
            host.wait_for("the settlements", lambda: len(host.settled()) >= settled, 40)
            host.term()
            assert host.wait_exit() == 0, host.text
            self.text = host.text
            return host.settled()

    def dead_letter(self):
        message = self.dead.receive_one()
        failure = json.loads(message["MessageAttributes"].pop("host.failure")["StringValue"])
        return message, failure


@pytest.fixture(params=["elasticmq", "moto"])
def server(request):
    return request.param


@pytest.fixture
def scene(request, tmp_path, server):
    scene = Scene(tmp_path, request.getfixturevalue(server),
                  request.getfixturevalue(server + "_sqs"))
    yield scene
    scene.close()


def test_a_rejected_message_is_copied_whole(scene):
    sent = scene.queue.send("bad \u4e2d", MessageAttributes=ATTRIBUTES, MessageSystemAttributes={
        "AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}})
    settled = scene.run(1)
    assert settled[0]["outcome"] == "reject" and settled[0]["reason"] == "cannot be mapped"
    assert settled[0]["at"] == "handler.lua:4"
    assert scene.queue.is_empty()
    message, failure = scene.dead_letter()
    assert message["Body"] == "bad \u4e2d"
    assert message["MessageAttributes"] == ATTRIBUTES
    assert message["Attributes"]["AWSTraceHeader"] == TRACE
    assert failure["outcome"] == "rejected" and failure["reason"] == "cannot be mapped"
    assert failure["message_id"] == sent["MessageId"] and failure["at"] == "handler.lua:4"
    assert failure["attempts"] == failure["receives"] == failure["generation"] == 1
    assert failure["sent_at"] <= failure["time"]
    answered = [e for e in scene.wire.log() if e["target"] == "SendMessage"]
    deleted = list(scene.wire.deletes())
    assert len(answered) == len(deleted) == 1
    assert answered[0]["t1"] <= deleted[0][0]["t0"], "deleted before the copy was confirmed"


def test_exhausted_after_the_last_failed_run(scene):
    sent = scene.queue.send("it fails")
    settled = scene.run(3, retry={"base": 1, "cap": 1})
    assert [e["outcome"] for e in settled] == ["retry", "retry", "reject"]
    assert scene.queue.is_empty()
    message, failure = scene.dead_letter()
    assert message["Body"] == "it fails"
    assert failure["outcome"] == "exhausted" and "broken on purpose" in failure["reason"]
    assert failure["at"] == "handler.lua:5" and failure["receives"] == 3
    assert failure["message_id"] == sent["MessageId"]


def test_fewer_attempts_than_the_queue_allows(scene):
    scene.queue.send("it fails")
    settled = scene.run(2, retry={"base": 1, "cap": 1, "max_attempts": 2})
    assert [e["outcome"] for e in settled] == ["retry", "reject"]
    assert scene.dead_letter()[1]["receives"] == 2


def test_a_queue_named_in_the_configuration(scene):
    other = sqs.create_queue(scene.queue.sqs, "other")
    url = scene.wire.url["queue"] + urllib.parse.urlsplit(other.url).path
    scene.queue.send("bad")
    scene.run(1, queue={"dlq_url": url})
    assert len(other.receive(10, 1)) == 1
    assert scene.dead.is_empty()


@pytest.mark.parametrize("count", (9, 10))
def test_no_attribute_of_the_senders_is_given_up(scene, count):
    attributes = {f"a{n}": {"DataType": "String", "StringValue": "v"} for n in range(count)}
    scene.queue.send("bad", MessageAttributes=attributes)
    scene.run(1)
    got = scene.dead.receive_one()["MessageAttributes"]
    assert ("host.failure" in got) == (count == 9)
    got.pop("host.failure", None)
    assert got == attributes


def test_a_message_as_big_as_there_can_be(scene):
    body = "bad" + "x" * ((1 << 20) - 3)
    scene.queue.send(body)
    scene.run(1)
    message = scene.dead.receive_one()
    assert message["Body"] == body and "MessageAttributes" not in message


def test_an_earlier_failure_is_replaced(scene):
    """A dead letter that was moved back and fails again."""
    old = {"host.failure": {"DataType": "String", "StringValue": '{"reason":"old"}'}}
    scene.queue.send("bad", MessageAttributes=old)
    scene.run(1)
    assert scene.dead_letter()[1]["reason"] == "cannot be mapped"


def test_a_policy_that_points_nowhere(scene):
    scene.queue.sqs.delete_queue(QueueUrl=scene.dead.url)
    scene.queue.send("bad")
    settled = scene.run(1)
    assert "no dead-letter queue" in scene.text and scene.dead.name in scene.text
    assert "queue.dlq_url" in scene.text
    assert settled[0]["outcome"] == "retry" and settled[0]["note"].startswith("kept")
    assert settled[0]["again_s"] > 800
    assert sum(scene.queue.counts()) == 1


def test_a_configured_queue_that_is_missing(scene):
    """The words name that one, not ours."""
    url = scene.wire.url["queue"] + urllib.parse.urlsplit(scene.queue.url).path + "-nowhere"
    scene.queue.send("bad")
    settled = scene.run(1, queue={"dlq_url": url})
    said = [e for e in warnings(scene) if e["msg"].startswith("no dead-letter queue")]
    assert "queue.dlq_url: " in said[0]["reason"] and url in said[0]["reason"]
    assert settled[0]["note"].startswith("kept")


def test_deleted_under_us(scene):
    """Kept with words; and copied once the queue is there again."""
    client = scene.queue.sqs
    with scene.host(scene.handler(HANDLER), retry={"cap": 2, "base": 1}) as host:
        host.wait_says("consuming")
        client.delete_queue(QueueUrl=scene.dead.url)
        scene.queue.send("bad")
        host.wait_says("dead letter not sent", "nothing is deleted", scene.dead.name, "kept")
        assert sum(scene.queue.counts()) == 1
        client.create_queue(QueueName=scene.dead.name)
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0
    assert len(procs.wait_until("the copy", lambda: scene.dead.receive(10, 1), 10)) == 1


# ---- what the dead-letter queue does not take: the proxy answers as AWS would

def denied(action):
    return {"status": 403, "body": json.dumps({
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "message": f"User: arn:aws:iam::1:user/host is not authorized to perform: {action}"})}


def fault(scene, operation, times=-1, **answer):
    scene.wire.tell("fault", match={"target": f"^{operation}$"}, times=times, **answer)


def warnings(scene):
    return [json.loads(line) for line in scene.text.splitlines()
            if line.startswith("{") and '"level":"warn"' in line]


def test_no_permission_to_send(scene):
    """Kept and said; then the permission is given, and the copy goes with the next run."""
    with scene.host(scene.handler(HANDLER), retry={"cap": 1, "base": 1}) as host:
        host.wait_says("consuming")
        fault(scene, "SendMessage", 1, **denied("sqs:sendmessage"))
        scene.queue.send("bad")
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0, host.text
        host.assert_says("dead letter not sent: nothing is deleted", "AccessDenied",
                         "sqs:SendMessage on this queue", scene.dead.name, "kept")
        assert [e["outcome"] for e in host.settled()] == ["retry", "reject"]
    assert scene.dead_letter()[1]["receives"] == 2


def test_no_permission_to_look_it_up(scene):
    fault(scene, "GetQueueUrl", **denied("sqs:getqueueurl"))
    scene.queue.send("bad")
    settled = scene.run(1)
    assert settled[0]["outcome"] == "retry" and settled[0]["note"].startswith("kept")
    said = [e for e in warnings(scene) if e["msg"].startswith("no dead-letter queue")]
    assert len(said) == 1
    for words in ("AccessDenied", scene.dead.name, "allows sqs:GetQueueUrl", "queue.dlq_url"):
        assert words in said[0]["reason"]
    assert scene.queue.name not in said[0]["reason"]
    assert sum(scene.queue.counts()) == 1 and scene.dead.is_empty()


def test_no_permission_to_read_the_policy(scene):
    """It consumes all the same; that rejected messages will be kept is a warning."""
    fault(scene, "GetQueueAttributes", **denied("sqs:getqueueattributes"))
    scene.queue.send("bad")
    settled = scene.run(1)
    assert settled[0]["note"].startswith("kept")
    assert [e for e in warnings(scene) if "sqs:GetQueueAttributes" in e.get("reason", "")]


def test_throttled_and_unheard(scene):
    """A copy whose answer is lost is sent again: twice is better than not at all, and both name the
    message that they are of."""
    fault(scene, "SendMessage", 1, status=403, body='{"__type":"RequestThrottled"}')
    fault(scene, "SendMessage", 1, pass_on=True)
    sent = scene.queue.send("bad")
    assert scene.run(1)[0]["outcome"] == "reject"
    assert scene.queue.is_empty()
    copies = [scene.dead_letter() for _ in range(2)]
    assert {m["Body"] for m, _ in copies} == {"bad"}
    assert {failure["message_id"] for _, failure in copies} == {sent["MessageId"]}
    assert {failure["receives"] for _, failure in copies} == {1}
    deleted = list(scene.wire.deletes())
    confirmed = [e for e in scene.wire.log() if e["target"] == "SendMessage" and "fault" not in e]
    assert len(deleted) == len(confirmed) == 1
    assert confirmed[0]["t1"] <= deleted[0][0]["t0"]


def test_a_queue_that_takes_less_than_sqs(scene):
    """256 KiB were the most until 2025, and older queues have kept that."""
    refusal = json.dumps({"__type": "com.amazonaws.sqs#InvalidParameterValue", "message":
                          "One or more parameters are invalid. Reason: Message must be shorter than"
                          " 262144 bytes."})
    scene.wire.tell("fault", match={"target": "^SendMessage$", "req": "host.failure"}, times=-1,
                    status=400, body=refusal)
    scene.queue.send("bad", MessageAttributes=ATTRIBUTES)
    assert scene.run(1)[0]["outcome"] == "reject"
    assert "262144 bytes" in scene.text and "without the attribute host.failure" in scene.text
    message = scene.dead.receive_one()
    assert message["Body"] == "bad" and message["MessageAttributes"] == ATTRIBUTES
    assert scene.queue.is_empty()


@pytest.mark.parametrize("receives, said", [(9, True), (10, False)])
def test_a_policy_that_allows_few_receives(scene, receives, said):
    scene.point_at(sqs.arn(scene.queue.sqs, scene.dead.url), receives)
    with scene.host(scene.handler(HANDLER)) as host:
        host.wait_says("consuming", scene.dead.name)
        host.term()
        assert host.wait_exit() == 0
        assert ("maxReceiveCount is low" in host.text) == said
        assert (f'"max_receive_count":{receives}' in host.text) == said


def test_an_outage_fills_no_dead_letter_queue(tmp_path, elasticmq, elasticmq_sqs, keycloak):
    """maxReceiveCount 1: the first failed run is the last; an outage is none."""
    scene = Scene(tmp_path, elasticmq, elasticmq_sqs, receives=1, keycloak=keycloak)
    http = """local http = require "host.http"
local host = require "host"
function handle(msg) http.get(host.config.url .. "/realms/master", {expect = "2xx"}) end"""
    with scene.host(scene.handler(http), handler={"url": scene.wire.url["keycloak"]},
                    retry={"hold": 1}) as host:
        host.wait_says("consuming")
        scene.wire.tell("away", route="keycloak")
        for n in range(5):
            scene.queue.send(f"m{n}")
        host.wait_says("parked")
        time.sleep(6)
        scene.wire.tell("back", route="keycloak")
        host.wait_for("an empty queue", scene.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0, host.text
    scene.close()
    assert scene.dead.is_empty()
    assert max(m["Attributes"]["ApproximateReceiveCount"] for _, m in scene.wire.receives()) == "1"
