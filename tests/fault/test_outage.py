"""A server is away for a while and events keep coming: it costs no receives and fills no dead-letter
queue. The queue would move a message at its fourth receive."""
import time

import pytest

import procs
from scene import Feeder

BEFORE_S = 5  # long enough for a poll to be open, and for work to be in hand at the higher rates
AT_MOST_BROUGHT = 12  # by the poll that was open, and one or two to try the server with
OPEN_AGAIN_S = 5


class Lane:
    """One queue, realm and host, events at one rate, and the server that goes away."""

    def __init__(self, scene, server, rate, outage_s):
        self.scene, self.server, self.rate = scene, server, rate
        total = max(3, round(rate * (BEFORE_S + outage_s)))
        self.feeder = Feeder(scene, total, rate, kind=lambda n: "register")

    def start(self):
        self.scene.start()
        self.feeder.start()

    def at_rest(self):
        self.feeder.check()
        return self.feeder.sent == self.feeder.total and self.scene.queue.is_empty()

    def account(self):
        self.scene.stop_host()
        self.checker = self.scene.account()
        counts = {}
        for event in self.checker.log.events.values():
            counts[event.n] = max(count for _, count, _ in event.receives)
        self.twice = [n for n, count in counts.items() if count > 1]
        print(f"{self.server} away, {self.rate} a second: {len(counts)} events,"
              f" {len(self.twice)} received twice\n{self.checker.summary()}")
        return counts

    def check(self):
        counts, checker = self.account(), self.checker
        assert not checker.violations, checker.summary()
        assert checker.fates == {"user": self.feeder.total}
        assert max(counts.values()) <= 2, counts
        (away, back, _), = checker.log.away
        for n in self.twice:
            self.check_received_twice(checker.log.events[n], away)
        if self.server == "queue":
            assert not checker.extra, "a handler ran again, though no run had failed"
        else:
            assert self.brought(away + 1, back) <= AT_MOST_BROUGHT
            self.check_open_again(back)

    def check_open_again(self, back):
        """Events that came meanwhile wait for it."""
        after = [line["t1"] - back for event in self.checker.log.events.values()
                 for line, _, _ in event.receives if line["t1"] > back]
        print(f"  open again {min(after):.2f} s after its return")
        assert min(after) < OPEN_AGAIN_S

    def brought(self, begin, end):
        """Messages that were received between two times."""
        return sum(begin < line["t1"] < end for event in self.checker.log.events.values()
                   for line, _, _ in event.receives)

    def check_received_twice(self, event, away):
        """Brought by the poll that was open, or, with the queue away, in hand at that moment: longer
        than a lease nothing can be kept hidden. (`away` is written down a moment before it is so.)"""
        first, count, _ = event.receives[0]
        if self.server == "keycloak":
            assert away - 1 < first["t1"] and first["t0"] < away + 1
            return
        deleted = [line for line, result in event.deletes if result == "ok" and line["t1"] < away]
        assert first["t0"] < away + 1 or count == 2
        assert not deleted


def proxies_away(lanes, seconds):
    for lane in lanes:
        lane.scene.away(lane.server)
    time.sleep(seconds)
    for lane in lanes:
        lane.scene.back(lane.server)


def keycloak_killed(lanes, seconds):
    """SIGKILL, and started again after that time."""
    server = lanes[0].scene.keycloak
    for lane in lanes:
        lane.scene.wire.note("away", server="keycloak")
    server.kill()
    time.sleep(seconds)
    server.start()
    server.wait_ready()
    for lane in lanes:
        lane.scene.wire.note("back", server="keycloak")


def outage(lanes, seconds, go_away=proxies_away):
    for lane in lanes:
        lane.start()
    time.sleep(BEFORE_S)
    go_away(lanes, seconds)
    for lane in lanes:
        procs.wait_until("end of the work", lane.at_rest, 600)
    for lane in lanes:
        lane.check()


def test_ten_seconds_away(scenes):
    outage([Lane(scenes(server, visibility=30, receives=3), server, 20, 10)
            for server in ("keycloak", "queue")], 10)


@pytest.mark.soak
@pytest.mark.parametrize("server", ("keycloak", "queue"))
def test_a_minute_away(scenes, server):
    outage([Lane(scenes(f"rate-{rate}", visibility=30, receives=3), server, rate, 60)
            for rate in (0.1, 0.6, 100)], 60)


@pytest.mark.soak
def test_keycloak_killed_for_a_minute(scenes):
    outage([Lane(scenes(f"rate-{rate}", visibility=30, receives=3), "keycloak", rate, 60)
            for rate in (0.6, 100)], 60, keycloak_killed)
