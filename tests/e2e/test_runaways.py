"""Handlers that would not end, or take all memory: one message fails, its neighbours go on."""
import json
import types

import pytest

from admin import Admin
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


# Tried by the matcher in C for years, where no limit reaches.
STUCK = """local host = require "host"
local M = {}
function M.handle(msg)
  local e = msg.json
  if e.stuck == "always" or e.stuck == "once" and msg.receive_count == 1 then
    string.find(("a"):rep(5000), (".-"):rep(8) .. "b")
  end
  host.sleep(msg.receive_count == 1 and e.sleep or 0)
end
return M
"""


def stuck_lines(host):
    return [e for e in host.log() if "stuck in C code: it is fenced" in e["msg"]]


def test_a_worker_stuck_in_c_is_replaced(scene):
    events = [{"sleep": 30}, {"stuck": "once"}] + [{}] * 4
    scene.queue.send_many([json.dumps(e) for e in events])
    with scene.host(scene.handler(STUCK), "--log-format", "json", limits={"cpu": 0.01}, slots=4,
                    workers={"max": 1}, retry={"base": 1}) as host:
        def acked():
            return len({e["id"] for e in host.settled() if e["outcome"] == "ack"}) == len(events)
        host.wait_for("all of them", acked, 60)
        admin = Admin(host)
        status = json.loads(admin.tcp("/api/v1/status")[2])
        assert status["workers"]["stuck"] == 1
        assert [w["state"] for w in status["worker_list"]] == ["ready"]
        assert "luahost_workers_stuck_total 1\n" in admin.tcp("/metrics")[2]
        assert admin.tcp("/healthz")[0] == admin.tcp("/readyz")[0] == 200
        blamed = [e for e in host.log() if e.get("blamed") == "yes"]
        assert [e["outcome"] for e in host.settled() if e["id"] == blamed[0]["id"]] == ["retry", "ack"]
        host.term()
        assert host.wait_exit() == 0, host.text[-3000:]
    assert len(stuck_lines(host)) == len(blamed) == 1


def test_the_second_one_ends_the_process(scene):
    scene.queue.send_many([json.dumps({"stuck": "always"})] * 2 + ["{}"] * 3)
    with scene.host(scene.handler(STUCK), "--log-format", "json", limits={"cpu": 0.01}, slots=1,
                    workers={"max": 2}) as host:
        assert host.wait_exit(60) == 70, host.text[-3000:]
    assert len(stuck_lines(host)) == 2
    acked = {e["id"] for e in host.settled() if e["outcome"] == "ack"}
    retried = {e["id"] for e in host.settled() if e["outcome"] == "retry"}
    assert len(retried) == 2 and not acked & retried
    assert sum(scene.queue.counts()) == 5 - len(acked)


BESIDE = """local host = require "host"
local M = {}
function M.handle(msg)
  if msg.json.runaway then while true do pcall(function() while true do end end) end end
  for _ = 1, 5 do host.sleep(0.02) end
end
return M
"""


def acked(host):
    return [e for e in host.settled() if e["outcome"] == "ack"]


def test_a_runaway_delays_its_neighbours_by_its_cpu_limit(scene):
    """An earlier round's runaway may come back amid a later one: its backoff is random."""
    cpu, rounds, alone = 0.5, 4, 0.1
    events = [{}, {"runaway": True}, {}, {}]  # received together, and run in one worker
    with scene.host(scene.handler(BESIDE), "--log-format", "json", limits={"cpu": cpu}, slots=4,
                    workers={"max": 1}, breaker={"storm": 0}, retry={"base": 600, "cap": 900}) as host:
        delays = []
        for n in range(1, rounds + 1):
            scene.queue.send_many([json.dumps(e) for e in events])
            each = len(events) - 1
            host.wait_for(f"round {n}", lambda: len(acked(host)) == n * each, 60)
            delays.append(max(e["dur_s"] for e in acked(host)[-each:]) - alone)
        host.term()
        assert host.wait_exit() == 0, host.text[-3000:]
    print(f"neighbours were delayed by {delays} s; limits.cpu is {cpu}")
    assert max(delays) > cpu / 2  # else they did not run beside it
    assert min(delays) < 3 * cpu, delays  # the limit is CPU, and the machine has other work
    assert max(delays) < 4 * cpu + 2, delays
