"""Three hosts on one queue and one table, stopped and killed at random under load. What ran is what a
server was told while it ran.

The moments are drawn from a seed that is printed; LUAHOST_TEST_SEED repeats a run's moments.
"""
import collections
import json
import os
import random
import time

import pytest

from dynamodb import DynamoDBLocal, Table
from hostproc import Host
from recorder import Recorder
from servers import cache_folder
from stage import Stage

EVENTS, COPIES = 400, 40
CALM_S = 90

HANDLER = """local host = require "host"
local http = require "host.http"
local M = {}
local function tell(msg, what)
  http.post(host.config.recorder, { json = { what = what, host = host.config.name, key = msg.json.id,
                                             message = msg.id } })
end
function M.handle(msg)
  tell(msg, "begins")
  host.sleep(msg.json.sleep)
  tell(msg, "ends")
end
return M
"""


@pytest.fixture
def moments():
    seed = int(os.environ.get("LUAHOST_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}: repeat with LUAHOST_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def scene(tmp_path, elasticmq, elasticmq_sqs, log_dir):
    server = DynamoDBLocal(cache_folder(), log_dir).start().wait()
    stage = Stage(tmp_path, elasticmq, elasticmq_sqs, visibility=4, routes={"tables": server.url})
    stage.table, stage.recorder = Table(server), Recorder()
    yield stage
    stage.recorder.stop()
    stage.close()
    server.stop()


class Fleet:
    """Three hosts; one that ends is followed by another."""

    def __init__(self, scene):
        self.scene, self.hosts, self.killed = scene, [], {}
        self.handler = scene.handler(HANDLER)
        self.places = [self.start() for _ in range(3)]

    def start(self):
        name = f"host-{len(self.hosts)}"
        scene = self.scene
        host = Host(scene.folder, self.handler, scene.config(
            queue={"wait": 1}, workers={"max": 2}, slots=2, retry={"base": 1, "cap": 2},
            limits={"time": 3}, http={"timeout": 2, "connect_timeout": 1}, drain=5,
            dedupe={"key": "/id", "store": "dynamodb://" + scene.table.name, "fail": "closed",
                    "endpoint": scene.wire.url["tables"]},
            handler={"recorder": scene.recorder.url, "name": name}))
        host.name = name
        self.hosts.append(host)
        return host

    def disturb(self, moments):
        place = moments.randrange(len(self.places))
        host = self.places[place]
        if moments.random() < 0.6:
            host.kill()
            self.killed[host.name] = time.time()
        else:
            host.term()
            assert host.wait_exit(40) == 0, host.text[-3000:]
        self.places[place] = self.start()

    def end(self):
        for host in self.places:
            host.term()
        codes = [host.wait_exit(40) for host in self.places]
        assert codes == [0] * len(codes)

    def close(self):
        for host in self.hosts:
            host.__exit__()


def runs_of(events):
    """{key: its runs in order of beginning}, each with host, message, begins, ends (None: never)."""
    runs, open_runs = collections.defaultdict(list), {}
    for e in events:
        who = (e["host"], e["message"])
        if e["what"] == "begins":
            open_runs[who] = {**e, "begins": e["at"], "ends": None}
            runs[e["key"]].append(open_runs[who])
        else:
            open_runs.pop(who)["ends"] = e["at"]
    return runs


def check(fleet, runs):
    acked = {(h.name, e["id"]) for h in fleet.hosts for e in h.settled() if e["outcome"] == "ack"}
    excused = {e["key"] for h in fleet.hosts for e in h.log()
               if e["msg"].startswith(("unfenced", "claim lost"))}
    assert len(runs) == EVENTS and all(any(r["ends"] for r in all_of) for all_of in runs.values())
    again = overtaken = 0
    for key, all_of in runs.items():
        for run, later in zip(all_of, all_of[1:]):
            again += 1
            if key in excused:
                continue
            died = fleet.killed.get(run["host"])
            if run["ends"] and not died:
                pytest.fail(f"{key} ran again after it had ended: {all_of}")
            assert (run["host"], run["message"]) not in acked, all_of
            assert later["begins"] > died, f"{key} ran on two hosts at once: {all_of}"
            overtaken += 1
    print(f"{sum(map(len, runs.values()))} runs of {EVENTS} events, {len(fleet.killed)} kills, "
          f"{again} runs again, {overtaken} after a kill, {len(excused)} excused")


def test_three_hosts_one_run_a_key(scene, moments):
    bodies = [json.dumps({"id": f"e{n}", "sleep": round(moments.uniform(0.02, 0.3), 3)})
              for n in range(EVENTS)]
    bodies += moments.sample(bodies, COPIES)
    moments.shuffle(bodies)
    fleet = Fleet(scene)
    try:
        for i in range(0, len(bodies), 20):
            scene.queue.send_many(bodies[i:i + 20])
            time.sleep(moments.uniform(0.3, 1))
            if i % 60 == 40:
                fleet.disturb(moments)
        end = time.monotonic() + CALM_S
        while not scene.queue.is_empty():
            assert time.monotonic() < end, scene.queue.counts()
            time.sleep(0.2)
        fleet.end()
        check(fleet, runs_of(scene.recorder.events))
        assert fleet.killed, "nobody was killed: another seed"
    finally:
        fleet.close()
