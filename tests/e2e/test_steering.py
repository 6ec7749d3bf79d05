"""Limits, rates, breakers and failure storms on real queues, with servers that misbehave."""
import json
import time

import pytest

import procs
import sqs
from stage import Stage
from target import Target

CALLS = """local http = require "host.http"
local host = require "host"
local M = {}
function M.handle(msg) http.get(host.config.url .. "/" .. msg.body) end
return M
"""

CATCHES = """local http = require "host.http"
local host = require "host"
local M = {}
function M.handle(msg)
  local ok, e = pcall(http.get, host.config.mail .. "/" .. msg.body, { expect = "2xx" })
  print("mail", ok or e.kind)
  http.get(host.config.url .. "/" .. msg.body)
end
return M
"""


@pytest.fixture
def targets():
    made = []

    def make(*a, **kw):
        made.append(Target(*a, **kw))
        return made[-1]
    yield make
    for target in made:
        target.close()


@pytest.fixture
def scene(tmp_path, elasticmq, elasticmq_sqs):
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs)
    yield scene
    scene.close()


def run(scene, source, **changes):
    return scene.host(scene.handler(source), **changes)


def acked(host):
    return sum(e["outcome"] == "ack" for e in host.settled())


def test_a_fixed_limit_is_kept(scene, targets):
    target = targets(takes=0.05)
    scene.queue.send_many([str(n) for n in range(200)])
    with run(scene, CALLS, handler={"url": target.url}, targets={"fixed": 3}) as host:
        host.wait_for("the end", lambda: acked(host) == 200, 60)
    assert target.most <= 3


def test_a_limit_is_found(scene, targets):
    """With room for it the limit grows to all slots."""
    target = targets(takes=0.1)
    scene.queue.send_many([str(n) for n in range(600)])
    with run(scene, CALLS, handler={"url": target.url}) as host:
        host.wait_for("the end", lambda: acked(host) == 600, 90)
    early = [t for t in target.times() if t < target.times()[0] + 0.5]
    assert len(early) <= 30  # it begins with a few: 160 would fit
    assert 8 <= target.most <= 16


def test_retry_after_is_waited_for(scene, targets):
    begun = []

    def answer(path):
        if not begun:
            begun.append(time.monotonic())
            return 429, {"Retry-After": "4"}
        return 200, {}
    target = targets(answer)
    scene.queue.send_many([str(n) for n in range(40)])
    with run(scene, CALLS, handler={"url": target.url}, retry={"base": 1}) as host:
        host.wait_for("the end", lambda: acked(host) == 40, 60)
        host.assert_says("asks to wait (Retry-After)")
    later = [t - begun[0] for t in target.times()]
    # What was under way when the answer came may still call.
    assert sum(0.5 < t < 3.8 for t in later) == 0, later


def test_a_retry_after_of_a_week(scene, targets):
    target = targets(lambda path: (429, {"Retry-After": "604800"}))
    scene.queue.send("x")
    with run(scene, CALLS, handler={"url": target.url}) as host:
        host.wait_says("asks to wait (Retry-After)")
        waits = [e for e in host.log() if "asks to wait" in e.get("msg", "")]
        assert waits[0]["wait_s"] <= 300
        host.term()
        assert host.wait_exit() == 0, host.text


def test_messages_per_second(scene, targets):
    target = targets()
    scene.queue.send_many([str(n) for n in range(60)])
    with run(scene, CALLS, handler={"url": target.url}, rate=10) as host:
        host.wait_for("the end", lambda: acked(host) == 60, 60)
    times = target.times()
    assert times[-1] - times[0] >= (60 - 20) / 10 - 0.5
    for t in times:  # any two seconds
        assert sum(t <= u < t + 2 for u in times) <= 20 + 10 + 2


def test_requests_per_second(scene, targets):
    target = targets()
    scene.queue.send_many([str(n) for n in range(120)])
    with run(scene, CALLS, handler={"url": target.url}, targets={"rate": 10}) as host:
        host.wait_for("the end", lambda: acked(host) == 120, 60)
    times = target.times()
    assert times[-1] - times[0] >= (120 - 40) / 10


def test_two_targets_of_which_one_is_down(scene, targets):
    """Its errors are caught: calls to it fail at once, the other one goes on."""
    good, mail = targets(), targets(lambda path: (500, {}))
    scene.queue.send_many([str(n) for n in range(200)])
    with run(scene, CATCHES, handler={"url": good.url, "mail": mail.url},
             breaker={"probe": 1}) as host:
        host.wait_for("the end", lambda: acked(host) == 200, 60)
        host.assert_says("mail", "breaker_open")
        assert "receiving nothing" not in host.text
        tried = len(mail.calls)
        assert tried < 60
        mail.answer = lambda path: (200, {})
        procs.wait_until("another try", lambda: (
            scene.queue.send("again"), time.sleep(0.3), "answers again" in host.text)[-1], 20)
    assert len(good.calls) >= 200


def test_a_coupled_target_holds_intake(scene, targets):
    good, mail = targets(), targets(lambda path: (500, {}))
    scene.queue.send_many([str(n) for n in range(200)])
    with run(scene, CATCHES, handler={"url": good.url, "mail": mail.url},
             breaker={"probe": 1, "couple": [mail.url]}) as host:
        host.wait_says("target is down: receiving nothing", "breaker.couple")
        time.sleep(3)
        assert acked(host) < 60
        mail.answer = lambda path: (200, {})
        host.wait_for("the end", lambda: acked(host) == 200, 60)
        host.assert_says("target is back")


def test_a_name_that_cannot_be_coupled(scene):
    with run(scene, CALLS, breaker={"couple": ["keycloak"]}) as host:
        assert host.wait_exit() == 78
        host.assert_says("breaker.couple", "'keycloak'", "https://host")


def test_a_bad_deployment_fills_no_dead_letter_queue(scene, elasticmq_sqs, targets):
    target = targets()
    dead = sqs.create_queue(elasticmq_sqs, "dead")
    policy = {"deadLetterTargetArn": sqs.arn(elasticmq_sqs, dead.url), "maxReceiveCount": 3}
    elasticmq_sqs.set_queue_attributes(QueueUrl=scene.queue.url,
                                       Attributes={"RedrivePolicy": json.dumps(policy)})
    scene.queue.send_many([str(n) for n in range(1000)])
    bad = CALLS.replace("host.config.url ..", "host.config.utl ..")
    changes = {"handler": {"url": target.url}, "breaker": {"probe": 1}, "retry": {"base": 1},
               "queue": {"dlq_url": dead.url}}
    with run(scene, bad, **changes) as host:
        host.wait_says("failure storm", "receiving nothing")
        time.sleep(10)
        host.term()
        assert host.wait_exit() == 0, host.text
    assert dead.is_empty()
    with run(scene, CALLS, **changes) as host:
        host.wait_for("the end", lambda: acked(host) >= 1000, 90)
    assert dead.is_empty()
    assert len({path for _, path in target.calls}) == 1000


SLOW = """local host = require "host"
local M = {}
function M.handle(msg) host.sleep(0.3) end
return M
"""


def workers_said(host):
    return [e["workers"] for e in host.log() if e.get("msg") in ("more workers", "fewer workers")]


def test_workers_come_and_go(scene):
    """A burst of 600 messages of 0.3 s, which should be gone within 5 s: 36 slots of 4."""
    scene.queue.send_many([str(n) for n in range(600)])
    with run(scene, SLOW, workers={"min": 1, "max": 6}, scale={"interval": 1, "drain_target": 5},
             queue={"wait": 1}) as host:
        host.wait_for("the end", lambda: acked(host) == 600, 90)
        said = workers_said(host)
        assert said[:3] == [2, 4, 6], said
        procs.wait_until("fewer", lambda: workers_said(host)[-1] == 1, 120)
        went = workers_said(host)[3:]
        assert went == sorted(went, reverse=True), went
        with open(f"/proc/{host.popen.pid}/status") as f:
            status = f.read()
        threads = int(status.split("Threads:")[1].split()[0])
        scene.queue.send("one more")
        host.wait_for("one more", lambda: acked(host) == 601, 20)
        host.term()
        assert host.wait_exit() == 0, host.text
    assert threads <= 3, threads


def test_a_queue_that_does_not_say_how_much_waits(scene):
    """GetQueueAttributes is denied: it is said once, and full receives are what it goes by."""
    denied = {"__type": "com.amazonaws.sqs#AccessDenied", "message": "not allowed"}
    scene.wire.tell("fault", match={"target": "GetQueueAttributes"}, times=999, pass_on=False,
                    status=403, body=json.dumps(denied))
    scene.queue.send_many([str(n) for n in range(400)])
    with run(scene, SLOW, workers={"min": 1, "max": 4}, scale={"interval": 1}) as host:
        host.wait_for("the end", lambda: acked(host) == 400, 90)
        assert max(workers_said(host)) == 4
        assert host.text.count("does not say how much waits") <= 2  # raw, and unescaped


def test_depths_that_cannot_be(scene):
    """Missing, negative and absurd numbers: it goes by what receives bring."""
    bodies = [{}, {"Attributes": {}}, {"Attributes": []}, {"Attributes": {
        "ApproximateNumberOfMessages": "-5", "ApproximateNumberOfMessagesNotVisible": "x"}},
        {"Attributes": {"ApproximateNumberOfMessages": "9" * 18,
                        "ApproximateNumberOfMessagesNotVisible": "1"}}]
    scene.queue.send_many([str(n) for n in range(40)])
    with run(scene, SLOW.replace("0.3", "1"), workers={"min": 1, "max": 8},
             scale={"interval": 1}) as host:
        host.wait_says("consuming")
        for body in bodies * 4:
            scene.wire.tell("fault", match={"target": "GetQueueAttributes"}, times=1,
                            pass_on=False, status=200, body=json.dumps(body))
        host.wait_for("the end", lambda: acked(host) == 40, 60)
        assert max(workers_said(host), default=1) <= 8
        host.term()
        assert host.wait_exit() == 0, host.text
