"""Events that their producer sends twice, on ElasticMQ, with the memory of one process."""
import collections
import http.server
import json
import threading
import time

import pytest

from stage import Stage

HANDLER = """
local host = require "host"
local http = require "host.http"
local M = {}
function M.handle(msg)
  http.post(host.config.target, { body = msg.body, expect = "2xx" })
end
return M
"""


class Target:
    """Takes a while for each request, and notes its body and when it came and went."""

    def __init__(self):
        self.runs, target = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                began = time.monotonic()
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                time.sleep(0.03)
                target.runs.append((body, began, time.monotonic()))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/run"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def run(tmp_path, elasticmq, elasticmq_sqs):
    """run(bodies, key): sends them and lets a host work to the end. → (the runs, the host)"""
    target, scene = Target(), Stage(tmp_path, elasticmq, elasticmq_sqs)

    def work(bodies, key):
        scene.queue.send_many(bodies)
        with scene.host(scene.handler(HANDLER), dedupe={"key": key},
                        handler={"target": target.url}) as host:
            host.wait_for("an empty queue", scene.queue.is_empty, 60)
            host.term()
            assert host.wait_exit() == 0, host.text[-4000:]
        return target.runs, host

    yield work
    scene.close()
    target.stop()


def event(key, **more):
    return json.dumps({"detail": {"id": key}, **more})


def test_a_tenth_sent_twice_runs_once(run):
    bodies = [event(f"e{n}") for n in range(200)]
    runs, host = run([b for n, b in enumerate(bodies) for b in [b] * (2 if n % 10 == 0 else 1)],
                     "/detail/id")
    assert collections.Counter(body for body, _, _ in runs) == {b: 1 for b in bodies}
    assert len([e for e in host.settled() if e["outcome"] == "duplicate"]) == 20


def test_a_changed_body_runs_after_the_first(run):
    bodies = [event("same", version=n) for n in range(6)]
    runs, _ = run(bodies, "/detail/id")
    assert sorted(body for body, _, _ in runs) == bodies
    runs.sort(key=lambda r: r[1])
    for one, other in zip(runs, runs[1:]):
        assert one[2] <= other[1], "two of one key ran side by side"


def test_bodies_without_a_key_go_by_their_message_id(run):
    odd = [event(None), event({"a": 1}), event([1]), event(True), event(""), "{}", "no json", "[]",
           "7", '{"detail":']
    numbers = [event(7), event(7), event("7")]
    long_ones = [event("k" * 2048 + x) for x in "aab"]
    runs, host = run(odd + odd + numbers + long_ones, "/detail/id")
    times = collections.Counter(body for body, _, _ in runs)
    assert {b: times[b] for b in odd} == {b: 2 for b in odd}
    assert times[event(7)] == times[event("7")] == 1
    assert [times[event("k" * 2048 + x)] for x in "ab"] == [1, 1]
    stopped = [e for e in host.log() if e.get("msg") == "no key in this message: it goes by its "
               "message id"]
    assert stopped and stopped[0]["key"] == "/detail/id" and stopped[0]["reason"]
