"""What a handler returns, and what the queue then sees of its message."""
import json

import pytest

from stage import Stage

HANDLER = """local host = require "host"
local M = {}
function M.handle(msg)
  local what = msg.json["do"]
  if what == "nothing" then return end
  if what == "true" then return true end
  if what == "retry" then return host.retry { after = 33, reason = "not yet" } end
  if what == "reject" then return host.reject "bad data" end
  if what == "error" then error "broken on purpose" end
  if what == "false" then return false end
  if what == "string" then return "done" end
  if what == "nil, error" then return nil, "no luck" end
  if what == "global" then leaked = 1 end
  if what == "yield" then coroutine.yield() end
  if what == "forever" then while true do end end
  if what == "header" then
    require("host.http").get { url = host.config.url, headers = { X = "a\\r\\nX-Evil: b" } }
  end
end
return M
"""

# what the handler does: outcome, new visibility in seconds (low, high), words in the log
OUTCOMES = {
    "nothing": ("ack", None, ()),
    "true": ("ack", None, ()),
    "retry": ("retry", (32, 33), ("not yet",)),
    "reject": ("retry", (890, 900), ("bad data", "no dead-letter queue")),
    "error": ("retry", (0, 10), ("broken on purpose", "outcomes.lua:9")),
    "false": ("retry", (0, 10), ("false",)),
    "string": ("retry", (0, 10), ("string",)),
    "nil, error": ("retry", (0, 10), ("no luck",)),
    "global": ("retry", (0, 10), ("leaked", "outcomes.lua:13")),
    "yield": ("retry", (0, 10), ("yield",)),
    "forever": ("retry", (0, 10), ("cpu",)),
    "header": ("retry", (0, 10), ("outcomes.lua:17",)),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory, elasticmq, elasticmq_sqs):
    """Each message run once: {what: (log entry, whole log text, deleted, visibility changes)}."""
    scene = Stage(tmp_path_factory.mktemp("outcomes"), elasticmq, elasticmq_sqs)
    handler = scene.handler(HANDLER, "outcomes.lua")
    ids = {what: scene.queue.send(json.dumps({"do": what}))["MessageId"] for what in OUTCOMES}
    ids["no json"] = scene.queue.send("{no json")["MessageId"]
    config = {"handler": {"url": scene.wire.url["queue"]}, "retry": {"base": 10}}
    with scene.host(handler, **config) as host:
        host.wait_for("all outcomes",
                      lambda: {e["id"] for e in host.settled()} >= set(ids.values()))
        host.term()
        assert host.wait_exit() == 0, host.text
        first = {}
        for entry in host.settled():
            first.setdefault(entry["id"], entry)
        text = host.text
    log = scene.wire.log()
    scene.close()
    handle = {}
    for _, m in scene.wire.receives(log):
        handle.setdefault(m["MessageId"], m["ReceiptHandle"])
    deleted = {h for _, h, error in scene.wire.deletes(log) if not error}
    changes = {}
    for _, h, seconds in scene.wire.visibility_changes(log):
        changes.setdefault(h, []).append(seconds)
    return {what: (first[i], text, handle[i] in deleted, changes.get(handle[i], []))
            for what, i in ids.items()}


@pytest.mark.parametrize("what", OUTCOMES)
def test_outcome(seen, what):
    entry, text, deleted, changes = seen[what]
    outcome, visibility, words = OUTCOMES[what]
    assert entry["outcome"] == outcome
    assert deleted == (outcome == "ack")
    if visibility:
        low, high = visibility
        assert changes and low <= changes[-1] <= high
    for word in words:
        assert word in text, word


def test_a_failure_names_its_line(seen):
    entry = seen["error"][0]
    assert entry["at"].endswith("outcomes.lua:9")
    assert "broken on purpose" in entry["reason"]


def test_unknown_outcomes_are_contract_errors(seen):
    for what in ("false", "string", "nil, error"):
        entry = seen[what][0]
        assert "return" in entry["reason"].lower(), entry


def test_a_body_that_is_no_json_is_rejected(seen):
    """And kept, as this queue has no dead-letter queue."""
    entry, _, deleted, changes = seen["no json"]
    assert entry["outcome"] == "retry" and entry["note"].startswith("kept")
    assert "json" in entry["reason"].lower()
    assert not deleted
    assert changes and changes[-1] >= 890


def test_a_header_with_a_line_break_is_never_sent(seen):
    entry = seen["header"][0]
    assert "header" in entry["reason"].lower()
