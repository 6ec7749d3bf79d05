"""A real Prometheus scrapes a host at work; and the alert rules that ship with it."""
import json
import os
import re
import tempfile
import urllib.parse

import pytest

import admin
import procs
from rest import Rest
from servers import ROOT, cache_folder
from stage import Stage

ALERTS = os.path.join(ROOT, "scripts", "alerts.yml")
ALERTS_TEST = os.path.join(ROOT, "tests", "e2e", "alerts_test.yml")

HANDLER = """local host = require "host"
local metrics = require "host.metrics"
local seen = metrics.counter { name = "seen_total", help = "Events.", labels = { "what" } }
local M = {}
function M.handle(msg)
  seen:inc { what = msg.json.what }
  if msg.json.what == "slow" then host.sleep(0.3) end
  if msg.json.what == "retry" then return host.retry { after = 600 } end
end
return M
"""


class Prometheus:
    def __init__(self, folder, target):
        port = procs.free_port()
        self.rest = Rest(f"http://127.0.0.1:{port}")
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w") as f:
            json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                       "rule_files": [ALERTS],
                       "scrape_configs": [{"job_name": "luahost",
                                           "static_configs": [{"targets": [target]}]}]}, f)
        self.process = procs.Process(
            "prometheus", [os.path.join(cache_folder(), "prometheus", "prometheus"),
                           f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                           f"--web.listen-address=127.0.0.1:{port}"],
            os.path.join(folder, "prometheus.log"))
        self.process.wait_ready(
            lambda: procs.listening(port) and self.rest.call("GET", "/-/ready").status == 200, 60)

    def get(self, path, **query):
        answer = self.rest.call("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
        assert answer.status == 200, answer
        return answer.json["data"]

    def query(self, expression):
        """The value of an expression with one result, or None."""
        result = self.get("query", query=expression)["result"]
        assert len(result) < 2, result
        return float(result[0]["value"][1]) if result else None

    def stop(self):
        self.rest.close()
        self.process.stop()


@pytest.fixture
def scene(tmp_path, sandbox, sandbox_sqs):
    class Queue:
        url = sandbox.queue_url
    stage = Stage(tmp_path, Queue, sandbox_sqs)
    yield stage
    stage.close()


def test_prometheus_reads_what_the_host_did(scene):
    with tempfile.TemporaryDirectory(prefix="luahost-") as runtime, scene.host(
            scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
            admin={"listen": "127.0.0.1:0"}) as host:
        a = admin.Admin(host)
        prometheus = Prometheus(scene.folder, a.where["http"])
        try:
            check_scrapes(scene, host, a, prometheus)
        finally:
            prometheus.stop()


def check_scrapes(scene, host, a, prometheus):
    def until(expression, value):
        procs.wait_until(f"{expression} = {value}",
                         lambda: prometheus.query(expression) == value, 30)

    until('up{job="luahost"}', 1)
    until('luahost_messages_settled_total{outcome="ack"}', 0)
    scene.queue.send_many(json.dumps({"what": what})
                          for what in ["fine"] * 30 + ["slow"] * 10 + ["retry"] * 5)
    host.wait_for("settlement", lambda: len(host.settled()) == 45)
    until('luahost_messages_settled_total{outcome="ack"}', 40)
    until('luahost_messages_settled_total{outcome="retry"}', 5)
    until("sum(seen_total)", 45)
    until("luahost_message_duration_seconds_count", 45)
    slowest = prometheus.query("histogram_quantile(0.9, luahost_message_duration_seconds_bucket)")
    assert 0.25 < slowest <= 2.5
    until("sum(luahost_in_hand)", 0)
    assert prometheus.query("luahost_build_info") == 1
    assert prometheus.query("time() - process_start_time_seconds") < 300
    assert prometheus.query("rate(process_cpu_seconds_total[30s])") >= 0
    a.local("/api/v1/pause", "POST")
    until("luahost_intake_held", 1)
    target = prometheus.get("targets")["activeTargets"][0]
    assert target["health"] == "up" and target["lastError"] == ""
    check_rules(prometheus)


def check_rules(prometheus):
    """Each is evaluated without an error, on series that the host has."""
    def rules():
        found = [r for g in prometheus.get("rules")["groups"] for r in g["rules"]]
        return found if all(r["health"] != "unknown" for r in found) else None

    found = procs.wait_until("evaluation", rules, 30)
    assert len(found) > 5 and {r["health"] for r in found} == {"ok"}
    known = set(prometheus.get("label/__name__/values"))
    used = {name for rule in found
            for name in re.findall(r"\b(?:luahost|process)_[a-z_]+", rule["query"])}
    # no target has failed yet, and the host has no Keycloak here whose state it would know
    assert used - known == {"luahost_breaker_state"}, used - known


def test_the_alerts_fire_when_they_should():
    code, text = admin.promtool("check", "rules", "--lint-fatal", ALERTS)
    assert code == 0, text
    code, text = admin.promtool("test", "rules", ALERTS_TEST)
    assert code == 0, text
    with open(ALERTS) as f:
        alerts = re.findall(r"- alert: (\S+)", f.read())
    with open(ALERTS_TEST) as f:
        tested = set(re.findall(r"alertname: (\w+)", f.read()))
    assert set(alerts) == tested
