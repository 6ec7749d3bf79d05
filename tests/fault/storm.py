"""A storm: events are registered while everything fails that can. Requests and answers are cut,
stalled, truncated and refused, deletes fail, messages come twice, the host is killed at random
moments, and the real servers are killed and started again."""
import random
import time

SETTINGS = {
    "workers": {"min": 2, "max": 2}, "slots": 8, "queue": {"wait": 2},
    # What fails by design is all that is left in the end, and alike: it is to run out of attempts,
    # not to be held as a bad deployment.
    "http": {"timeout": 3}, "breaker": {"probe": 0.2, "storm": 0},
    # Fewer than the queue allows: so the queue moves nothing by itself when an answer with a
    # message is cut, and whatever is in the dead-letter queue was put there by the host.
    "retry": {"base": 1, "cap": 2, "max_attempts": 8},
}
QUEUE = {"cut_before": 0.01, "cut_after": 0.01, "cut_within": 0.005, "truncated": 0.005,
         "stalled": 0.003, "late": 0.002, "throttled": 0.02, "fail_delete": 0.1, "duplicate": 0.05}


def keycloak_rates(share):
    """The share of all requests to Keycloak that something befalls."""
    return {"cut_before": share / 4, "cut_after": share / 4, "cut_within": share / 12,
            "truncated": share / 12, "stalled": share / 24, "late": share / 24,
            "throttled": share / 4}


class Storm:
    def __init__(self, scene, feeder, seed, kills, restarts, share):
        """restarts: names of servers, each to be killed once; they and the kills come at moments
        of the work done, drawn from the seed."""
        self.scene, self.feeder, self.random = scene, feeder, random.Random(seed)
        deeds = [self.kill] * kills + [lambda name=name: self.restart(name) for name in restarts]
        self.random.shuffle(deeds)
        moments = sorted(self.random.uniform(0.02, 0.95) for _ in deeds)
        self.plan = list(zip(moments, deeds))
        self.seed, self.share = seed, share
        self.since = None

    def kill(self):
        time.sleep(self.random.uniform(0, 0.5))
        self.scene.kill_host()
        self.scene.start(**SETTINGS)

    def restart(self, name):
        with self.feeder.pause:
            self.scene.restart(name)

    def done(self):
        self.feeder.check()
        assert self.scene.running.popen.poll() is None, self.scene.running.text[-4000:]
        sent = self.feeder.sent  # first: what is sent meanwhile is not done yet
        self.feeder.done = sent - sum(self.scene.queue.counts())
        return self.feeder.done

    def weather(self, queue, keycloak):
        self.scene.wire.tell("faults", route="queue", seed=self.seed, rates=queue)
        self.scene.wire.tell("faults", route="keycloak", seed=self.seed + 1, rates=keycloak)

    def ended(self, done):
        """All is done, and has been for a while: an ElasticMQ that was started again answers before
        it has read all of its messages."""
        if done < self.feeder.total:
            self.since = None
            return False
        self.since = self.since or time.monotonic()
        return time.monotonic() - self.since > 2 * self.scene.visibility

    def rage(self, longest_s):
        scene = self.scene
        self.weather(QUEUE, keycloak_rates(self.share))
        end = time.monotonic() + longest_s
        self.feeder.start()
        scene.start(**SETTINGS)
        while not self.ended(done := self.done()):
            if self.plan and done >= self.plan[0][0] * self.feeder.total:
                self.plan.pop(0)[1]()
            assert time.monotonic() < end, f"{done} of {self.feeder.total} after {longest_s} s"
            time.sleep(0.1)
        self.weather({}, {})
        scene.stop_host()
