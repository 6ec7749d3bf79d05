"""Events that come through SNS and EventBridge, as moto wraps them; it also has their own APIs."""
import json

import boto3
import pytest

import sqs
from stage import Stage

HANDLER = """local json = require "host.json"
local M = {}
local log = require "host.log"
function M.handle(msg)
  local e = msg.envelope
  log.info("seen", { event = msg.json.event, body = msg.body, kind = e and e.kind,
    from = e and (e.TopicArn or e.source), type = e and e["detail-type"], trace = msg.trace,
    tenant = msg.attributes.tenant, inner = tostring(e and (e.Message or e.detail)) })
end
return M
"""

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ATTRIBUTES = {"tenant": {"DataType": "Number", "StringValue": "42"},
              "traceparent": {"DataType": "String", "StringValue": PARENT}}


def api(service, server):
    return boto3.client(service, endpoint_url=server.url, region_name=sqs.REGION,
                        aws_access_key_id=sqs.KEYS["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=sqs.KEYS["AWS_SECRET_ACCESS_KEY"])


class Scene(Stage):
    def __init__(self, folder, moto, client):
        super().__init__(folder, moto, client)
        self.sns, self.events = api("sns", moto), api("events", moto)
        self.arn = sqs.arn(client, self.queue.url)
        self.dead = sqs.create_queue(client, "dead")
        policy = {"deadLetterTargetArn": sqs.arn(client, self.dead.url), "maxReceiveCount": 3}
        client.set_queue_attributes(QueueUrl=self.queue.url,
                                    Attributes={"RedrivePolicy": json.dumps(policy)})

    def topic(self, raw="false"):
        arn = self.sns.create_topic(Name="signups" + raw)["TopicArn"]
        self.sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=self.arn,
                           Attributes={"RawMessageDelivery": raw})
        return arn

    def publish(self, topic, event, **more):
        self.sns.publish(TopicArn=topic, Message=json.dumps(event), **more)

    def put(self, event):
        self.events.put_rule(Name="signups", EventPattern=json.dumps({"source": ["shop"]}))
        self.events.put_targets(Rule="signups", Targets=[{"Id": "queue", "Arn": self.arn}])
        self.events.put_events(Entries=[{"Source": "shop", "DetailType": "signed up",
                                         "Detail": json.dumps(event)}])

    def run(self, settled, envelope, **changes):
        with self.host(self.handler(HANDLER), queue={"envelope": envelope}, log={"format": "json"},
                       **changes) as host:
            host.wait_for("the settlements", lambda: len(host.settled()) >= settled, 40)
            host.term()
            assert host.wait_exit() == 0, host.text
            self.text = host.text
            self.seen = [e for e in host.log() if e.get("msg") == "seen"]
            return host.settled()


@pytest.fixture
def scene(tmp_path, moto, moto_sqs):
    scene = Scene(tmp_path, moto, moto_sqs)
    yield scene
    scene.close()


def test_all_kinds_on_one_queue(scene):
    topic, raw = scene.topic(), scene.topic("true")
    scene.publish(topic, {"event": 1}, MessageAttributes=ATTRIBUTES)
    scene.publish(raw, {"event": 2}, MessageAttributes=ATTRIBUTES)
    scene.put({"event": 3})
    scene.queue.send(json.dumps({"event": 4}))
    assert [e["outcome"] for e in scene.run(4, "auto")] == ["ack"] * 4, scene.text
    seen = {e["event"]: e for e in scene.seen}
    assert {n: e.get("kind") for n, e in seen.items()} == {
        1: "sns", 2: None, 3: "eventbridge", 4: None}
    assert all(json.loads(e["body"]) == {"event": n} for n, e in seen.items())
    assert seen[1]["from"] == topic and seen[3]["from"] == "shop"
    assert seen[3]["type"] == "signed up"
    assert {e["inner"] for e in seen.values()} == {"nil"}  # the event is msg.json's alone
    for n in (1, 2):  # however SNS delivers them
        assert (seen[n]["tenant"], seen[n]["trace"]) == (42, PARENT)
    assert scene.queue.is_empty()


def test_a_key_in_the_event_and_its_body_decide_what_is_a_duplicate(scene):
    """SNS makes each copy another body: another id, another time."""
    topic = scene.topic()
    for n in (1, 1, 2):
        scene.publish(topic, {"event": n, "id": "a"})
    settled = scene.run(3, "sns", dedupe={"key": "/id"}, workers={"min": 1, "max": 1})
    assert sorted(e["outcome"] for e in settled) == ["ack", "ack", "duplicate"], scene.text
    assert sorted(e["event"] for e in scene.seen) == [1, 2]


@pytest.mark.parametrize("envelope, body, words", [
    ("sns", '{"event": 1}', "no SNS notification"),
    ("eventbridge", "{broken", "no event of EventBridge: it is no JSON object"),
    ("auto", json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "arn:t"}), "SubscribeURL"),
    ("none", '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3Key":"k"}]', "S3"),
])
def test_what_holds_no_event_is_a_dead_letter_as_it_came(scene, envelope, body, words):
    scene.queue.send(body)
    settled, = scene.run(1, envelope)
    assert settled["outcome"] == "reject" and words in settled["reason"], settled
    assert not scene.seen and scene.queue.is_empty()
    dead = scene.dead.receive_one()
    assert dead["Body"] == body
    failure = json.loads(dead["MessageAttributes"]["host.failure"]["StringValue"])
    assert words in failure["reason"]


def test_a_rejected_event_is_copied_with_its_envelope(scene):
    topic = scene.topic()
    scene.sns.publish(TopicArn=topic, Message="no json")
    settled, = scene.run(1, "auto")
    assert settled["outcome"] == "reject"
    assert "the event in the envelope is no JSON" in settled["reason"]
    dead = json.loads(scene.dead.receive_one()["Body"])
    assert (dead["TopicArn"], dead["Message"]) == (topic, "no json")


def test_a_wrong_setting_fills_no_dead_letter_queue(scene):
    """Nearly all messages are refused alike: that is held as a failure storm."""
    for n in range(40):
        scene.queue.send(json.dumps({"event": n}))
    with scene.host(scene.handler(HANDLER), queue={"envelope": "sns"}) as host:
        host.wait_says("failure storm", timeout=40)
        host.term()
        assert host.wait_exit() == 0, host.text
    assert scene.dead.counts()[0] <= 3, scene.dead.counts()
