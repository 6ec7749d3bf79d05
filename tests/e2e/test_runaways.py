"""Handlers that would not end, or take all memory: one message fails, its neighbours go on."""
import json
import types

import pytest

from stage import Stage

# What a message does. Each must fail: none may come back and be acked.
RUNAWAYS = {
    "endless loop": "while true do end",
    "endless for": "for i = 1, math.huge do end",
    "goto": "::again:: goto again",
    "under pcall": "while true do pcall(function() while true do end end) end",
    "under xpcall, in its handler": "xpcall(error, function() while true do end end)",
    "in a coroutine": "coroutine.wrap(function() while true do end end)()",
    "in nested coroutines": "local function deeper(n) coroutine.wrap(function() if n == 0 then "
                            "while true do end end deeper(n - 1) end)() end deeper(10)",
    "in __close": "local c <close> = setmetatable({}, { __close = function() while true do end end })",
    "in __close, after an error": "local c <close> = setmetatable({}, { __close = function() "
                                  "while true do end end }) error 'x'",
    "in __tostring": "error(setmetatable({}, { __tostring = function() while true do end end }))",
    "in __index": "local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
    "in a comparison": "table.sort({ 3, 2, 1 }, function() while true do end end)",
    "in gsub's function": "string.gsub('abc', '.', function() while true do end end)",
    "in loaded text": "assert(load 'while true do end')()",
    "recursion": "local function f() return 1 + f() end f()",
    "endless tail calls": "local function f() return f() end f()",
    "a table that grows": "local t = {} while true do t[#t + 1] = {} end",
    "a string that doubles": "local s = 'x' while true do s = s .. s end",
    "rep": "local s = ('x'):rep(1 << 40)",
    "concat": "local t = {} for i = 1, 1e7 do t[i] = 'xxxxxxxxxx' end return table.concat(t)",
    "move": "table.move({}, 1, 1 << 50, 2)",
    "unpack": "table.unpack({}, 1, 1e8)",
    "coroutines without end": "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
    "a sleep that is too long": "require('host').sleep(3600)",
    "a stray yield": "coroutine.yield()",
    "an error without a value": "error()",
    "a deep array": "require('host.json').decode(('['):rep(1e6))",
    "a finalizer": "setmetatable({}, { __gc = function() while true do end end })",
}
HANDLER = """local M = {{}}
local run = {{
{cases}}}
function M.handle(msg)
  local n = msg.json.runaway
  if n then
    run[n]()
    error "it came back"
  end
end
return M
"""
RSS_MAX_KIB = 400 * 1024  # two workers of 16 MiB, doubled by the sanitizers' shadow and quarantine


@pytest.fixture
def scene(tmp_path, sandbox, sandbox_sqs):
    url = types.SimpleNamespace(url=getattr(sandbox, "queue_url", sandbox.url))
    scene = Stage(tmp_path, url, sandbox_sqs)
    yield scene
    scene.close()


def peak_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def test_two_dozen_kinds_among_good_messages(scene):
    cases = "".join(f"  function() {source} end,\n" for source in RUNAWAYS.values())
    bodies, every = [], 200 // len(RUNAWAYS)
    for n in range(200):
        bodies.append("{}")
        if n % every == 0 and n // every < len(RUNAWAYS):
            bodies.append(json.dumps({"runaway": n // every + 1}))
    scene.queue.send_many(bodies)
    limits = {"time": 2, "cpu": 0.1, "memory": "16M"}
    with scene.host(scene.handler(HANDLER.format(cases=cases)), "--log-format", "json", limits=limits,
                    workers={"max": 2}, breaker={"storm": 0}, retry={"base": 600, "cap": 900}) as host:
        def ids(acked):
            return {e["id"] for e in host.settled() if (e["outcome"] == "ack") == acked}

        def ended():
            return len(ids(True)) == 200 and len(ids(False) - ids(True)) == len(RUNAWAYS)
        host.wait_for("all of them", ended, 120)
        assert peak_kib(host.popen.pid) < RSS_MAX_KIB
        failed = [e for e in host.settled() if e["outcome"] != "ack"]
        host.term()
        assert host.wait_exit() == 0, host.text[-3000:]
    assert not [e for e in failed if "it came back" in e.get("reason", "")], failed
