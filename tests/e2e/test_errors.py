"""Errors in the log: the failing line of the source that was loaded, what the host does next, and
a storm of one kind as one error and a count."""
import json

import pytest

from stage import Stage

HANDLER = """local http = require "host.http"
local names = require "names"
local M = {}
function M.handle(msg)
\tlocal what = msg.json["do"]
\tif what == "index" then local n = names.first(msg.json) end
\tif what == "get" then http.get(msg.json.url) end
end
return M
"""
NAMES = """local M = {}
-- the first one
function M.first(event)
  return event.user.name
end
return M
"""


@pytest.fixture
def scene(tmp_path, sandbox, sandbox_sqs):
    scene = Stage(tmp_path, sandbox, sandbox_sqs, routes={"gone": "http://127.0.0.1:1"})
    scene.handler(NAMES, "names.lua")
    yield scene
    scene.close()


def test_a_storm_for_people(scene):
    scene.queue.send_many(json.dumps({"do": "index", "n": n}) for n in range(40))
    handler = scene.handler(HANDLER)
    with scene.host(handler, "--log-format", "text", breaker={"storm": 0}) as host:
        host.wait_says("names.lua:4")
        scene.file("names.lua", "-- another text by now\n" * 9)
        host.wait_for("all to fail", lambda: scene.queue.counts()[0] == 0)
        host.term()
        host.wait_exit()
        text = host.text
    assert text.count("attempt to index a nil value (field 'user')") == 2, text  # and the count's
    assert ("\n      3 | function M.first(event)\n    > 4 |   return event.user.name\n"
            "        |                ^~~~\n      5 | end\n") in text
    assert "\n    names.lua:4 in " in text and "\n    handler.lua:6 in " in text
    assert "\n    retry in " in text
    assert "another text" not in text
    count = next(line for line in text.splitlines() if "same error" in line)
    assert " times in " in count and "at=names.lua:4" in count and "last_id=" in count


def test_a_storm_for_machines(scene):
    scene.queue.send_many(json.dumps({"do": "index", "n": n}) for n in range(12))
    with scene.host(scene.handler(HANDLER), breaker={"storm": 0}) as host:
        host.wait_for("a line for each", lambda: len({e["id"] for e in host.settled()}) == 12)
        lines = host.settled()
    assert all(e["kind"] == "lua" and e["at"] == "names.lua:4" for e in lines)
    full = [e for e in lines if "source" in e]
    assert 1 <= len(full) < len(lines)
    assert "> 4 |   return event.user.name" in full[0]["source"]
    assert full[0]["next"].startswith("retry in ") and "handler.lua:6" in full[0]["detail"]


def test_an_http_error_says_what_comes_next(scene):
    url = scene.wire.url["gone"]
    scene.queue.send(json.dumps({"do": "get", "url": url + "/orders/7?secret=1"}))
    with scene.host(scene.handler(HANDLER), "--log-format", "text") as host:
        host.wait_says("parked", f"GET {url}/orders/7", f"probing {url} every 2 s",
                       '> 7 | \tif what == "get" then http.get(msg.json.url) end',
                       "    | \t                           ^~~")
        assert "secret=1" not in host.text
