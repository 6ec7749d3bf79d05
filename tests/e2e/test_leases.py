"""Leases nobody knows of, because the answer that began them was lost: a run to the end of the queue
waits for what it carried. Leases that are lost while handlers run, because somebody else has received the messages: what has
sent nothing is cancelled, what has sent something goes on to its next binding, and an ack is
remembered, so that the redelivery is deleted unrun."""
import collections

from stage import Stage

HANDLER = """local host = require "host"
local http = require "host.http"
local log = require "host.log"
local M = {}
function M.handle(msg)
  local what = msg.body
  log.info("ran", { what = what })
  if msg.attempt > 1 then return end
  if what == "unsent" then host.sleep(30) end
  http.get(host.config.url .. "/before/" .. what)
  if what == "sent" then
    host.sleep(4)
    http.get(host.config.url .. "/after/" .. what)
  end
end
return M
"""
QUICK = "return { handle = function() end }"
BODIES = {"unsent", "sent", "on-the-wire"}


def test_messages_that_somebody_else_has_received(tmp_path, elasticmq, elasticmq_sqs, sandbox):
    """All slots are busy, so the host itself receives nothing meanwhile."""
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs, routes={"web": sandbox.url}, visibility=3)
    scene.wire.tell("delay", method="GET", path="^/before/on-the-wire", before=4)
    scene.queue.send_many(BODIES)
    with scene.host(scene.handler(HANDLER), handler={"url": scene.wire.url["web"]},
                    queue={"wait": 1}, workers={"max": 1}, slots=3) as host:
        def lines(msg):
            return [e for e in host.log() if e["msg"].startswith(msg)]

        host.wait_for("all three running", lambda: len(lines("ran")) == 3)
        for _, m in list(scene.wire.receives()):
            assert scene.queue.change(m["ReceiptHandle"], 0) == "ok"
        taken = scene.queue.receive(10, wait=1, visibility=30)
        assert {m["Body"] for m in taken} == BODIES
        id_of = {m["Body"]: m["MessageId"] for m in taken}
        host.wait_for("three leases known to be lost", lambda: len(lines("lease lost")) == 3, 10)
        assert len(lines("lease not extended")) == 3
        assert {e["id"]: e["next"] for e in lines("lease lost")} == {
            id_of["unsent"]: "its run is cancelled: it has sent nothing",
            **{id_of[what]: "its run may end, but sends nothing more; an ack is remembered"
               for what in ("sent", "on-the-wire")}}
        host.wait_for("the ack of what was on the wire", lambda: lines("not settled"), 15)
        assert [e["id"] for e in lines("not settled")] == [id_of["on-the-wire"]]
        host.wait_for("the ends of the other two",
                      lambda: len(lines("ended without its lease")) == 2, 15)
        for m in taken:
            assert scene.queue.change(m["ReceiptHandle"], 0) == "ok"
        host.wait_for("an empty queue", scene.queue.is_empty, 20)
        host.wait_for("three ends", lambda: len(host.settled()) == 3)
        host.term()
        assert host.wait_exit() == 0, host.text
        assert {e["id"]: e["outcome"] for e in host.settled()} == {
            id_of["unsent"]: "ack", id_of["sent"]: "ack", id_of["on-the-wire"]: "duplicate"}
        assert {(e["id"], e["kind"]) for e in lines("ended without its lease")} == {
            (id_of["unsent"], "cancelled"), (id_of["sent"], "lease_lost")}
        runs = collections.Counter(e["what"] for e in lines("ran"))
        assert runs == {"unsent": 2, "sent": 2, "on-the-wire": 1}
    asked = [e["path"] for e in scene.wire.log() if e["route"] == "web"]
    assert sorted(asked) == ["/before/on-the-wire", "/before/sent"]
    scene.close()


def test_a_run_to_the_end_waits_for_what_a_lost_answer_carried(tmp_path, elasticmq, elasticmq_sqs):
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs, visibility=5)
    ids = {scene.queue.send(body)["MessageId"] for body in "abc"}
    scene.wire.tell("fault", match={"target": "ReceiveMessage"}, times=1, pass_on=True)
    with scene.host(scene.handler(QUICK), "--until-empty", queue={"wait": 1}) as host:
        assert host.wait_exit(30) == 0, host.text
        assert {(e["id"], e["outcome"]) for e in host.settled()} == {(i, "ack") for i in ids}
    assert scene.queue.is_empty()
    scene.close()


def test_a_run_to_the_end_says_that_a_lost_answer_may_have_left_something(
        tmp_path, elasticmq, elasticmq_sqs):
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs, visibility=600)
    scene.queue.send_many("abc")
    scene.wire.tell("fault", match={"target": "ReceiveMessage"}, times=1, pass_on=True)
    with scene.host(scene.handler(QUICK), "--until-empty", queue={"wait": 1}) as host:
        assert host.wait_exit(30) == 1, host.text
        assert "a receive went unanswered: what it may have brought is there again at" in host.text
    assert scene.queue.counts()[1] > 0
    scene.close()
