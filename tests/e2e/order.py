"""A scene for FIFO queues: groups of numbered messages, and which runs of them went over the wire.

The handler says to the proxy when a run begins and when it has succeeded; those lines are the
evidence. A message's body is what is to be done with it: {"group", "n", "do"}."""
import collections
import json
import random
import time
import types

import sqs
from stage import Stage

HANDLER = """local host = require "host"
local http = require "host.http"
local M = {}
local function tell(what, e, msg)
  http.post(("%s/%s/%s/%d/%d"):format(host.config.runs, what, e.group, e.n, msg.attempt),
    { expect = "2xx", idempotent = true })
end
function M.handle(msg)
  local e = msg.json
  tell("begin", e, msg)
  if e["do"] == "reject" then return host.reject "rejected by design" end
  if e["do"] == "fail" then error "fails by design" end
  if e["do"] == "fail once" and msg.attempt == 1 then error "fails once" end
  if e["do"] == "fail at times" and math.random() < 0.15 then error "fails at random" end
  if e["do"] == "slow" then host.sleep(2) end
  if e["do"] == "stuck" then string.find(("a"):rep(5000), (".-"):rep(8) .. "b") end
  tell("done", e, msg)
end
return M
"""
QUICK = {"retry": {"base": 1, "cap": 2}}


class OrderedStage(Stage):
    """receives: of the redrive policy to the FIFO dead-letter queue."""

    def __init__(self, folder, url, client, receives=5, **kw):
        super().__init__(folder, types.SimpleNamespace(url=url), client, routes={"runs": "http://127.0.0.1:9"},
                         FifoQueue="true", **kw)
        self.wire.tell("fault", match={"route": "runs"}, times=-1, status=200)
        self.dead = sqs.create_queue(client, "dead", FifoQueue="true")
        policy = {"deadLetterTargetArn": sqs.arn(client, self.dead.url),
                  "maxReceiveCount": receives}
        self.queue.sqs.set_queue_attributes(QueueUrl=self.queue.url, Attributes={
            "RedrivePolicy": json.dumps(policy)})

    def send(self, group, numbers, do="ack"):
        """One by one: an emulator orders a batch as it likes."""
        for n in numbers:
            self.queue.send(json.dumps({"group": group, "n": n, "do": do}), MessageGroupId=group,
                            MessageDeduplicationId=f"{group}-{n}")

    def start(self, *flags, **changes):
        return self.host(self.handler(HANDLER), *flags, handler={"runs": self.wire.url["runs"]},
                         **{**QUICK, **changes})

    def _runs(self, what):
        """{group: (time, number) of the runs that began or are done, in order}."""
        found = collections.defaultdict(list)
        for e in sorted(self.wire.log(), key=lambda e: e["t0"]):
            if e["route"] == "runs" and e["path"].startswith(f"/{what}/"):
                group, n = e["path"].split("/")[2:4]
                found[group].append((e["t0"], int(n)))
        return found

    def runs(self, what):
        return collections.defaultdict(
            list, {group: [n for _, n in runs] for group, runs in self._runs(what).items()})

    def run_times(self, what):
        return {group: [t for t, _ in runs] for group, runs in self._runs(what).items()}

    def receive_counts(self):
        """{(group, n): times received}, by what SQS said of each."""
        counts = {}
        for _, m in self.wire.receives():
            e = json.loads(m["Body"])
            counts[e["group"], e["n"]] = int(m["Attributes"]["ApproximateReceiveCount"])
        return counts

    def dead_letters(self):
        letters = []
        while got := self.dead.receive(10, visibility=600):
            letters += got
        return letters

    def finish(self, host, timeout=60):
        host.wait_says("consuming")
        host.wait_for("an empty queue", self.queue.is_empty, timeout)
        host.term()
        assert host.wait_exit() == 0, host.text[-4000:]


def first_times(numbers):
    """A run that was killed after its success, or whose delete was lost, is run again."""
    return list(dict.fromkeys(numbers))


def check_order(scene, groups, count, also=()):
    """Every success in the order sent; a message again only before the next one has begun. There
    are no other groups, but those that are `also` there."""
    done, begun = scene.runs("done"), scene.runs("begin")
    assert set(done) == set(groups) | set(also)
    for group in groups:
        assert first_times(done[group]) == list(range(1, count + 1)), group
        assert done[group] == sorted(done[group]), group
        assert begun[group] == sorted(begun[group]), group


def kill_again_and_again(scene, seed, every_s, longest_s, **changes):
    """SIGKILL at random moments until all is done. On a machine so quick that all would be done by
    then, the moment is when half of what was left is."""
    moments, kills, end = random.Random(seed), 0, time.monotonic() + longest_s
    while left := sum(scene.queue.counts()):
        assert time.monotonic() < end, f"{scene.queue.counts()} are left after {longest_s} s"
        with scene.start("--log-format", "json", **changes) as host:
            until = time.monotonic() + moments.uniform(0.5, 1.5) * every_s
            while time.monotonic() < until and sum(scene.queue.counts()) > left / 2:
                assert host.popen.poll() is None, host.text[-4000:]
                time.sleep(0.05)
            host.kill()
            kills += 1
    return kills
