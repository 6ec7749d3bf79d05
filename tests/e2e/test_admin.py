"""The admin server of a host at work: metrics as Prometheus's own tool reads them, health, status,
and who may change what."""
import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import time

import pytest

import admin
import procs
from hostproc import BINARY, command, environment
from sqs import create_queue
from stage import Stage

TOKEN = "admin-token-8453"

HANDLER = """local host = require "host"
local http = require "host.http"
local metrics = require "host.metrics"
local seen = metrics.counter { name = "seen_total", help = "Events seen.", labels = { "what" } }
local size = metrics.histogram { name = "body_bytes", help = "Sizes.", buckets = { 10, 100 } }
local M = {}
function M.handle(msg)
  local what = msg.json.what
  seen:inc { what = what }
  size:observe(#msg.body)
  if what == "call" then http.get(host.config.url .. "/realms/customers") end
  if what == "away" then http.get(host.config.url .. "/nowhere", { expect = 200 }) end
  if what == "retry" then return host.retry { after = 600 } end
  if what == "bad" then return false end
end
return M
"""


@pytest.fixture
def scene(tmp_path, sandbox, sandbox_sqs):
    stage = Stage(tmp_path, Queue(sandbox.queue_url), sandbox_sqs)
    yield stage
    stage.close()


class Queue:
    def __init__(self, url):
        self.url = url


@pytest.fixture
def runtime():
    """A folder for sockets, whose paths may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="luahost-", dir="/tmp") as folder:
        yield folder


@pytest.fixture
def running(scene, sandbox, runtime):
    """(stage, host, its admin) of a host that receives, with a token for changes over TCP."""
    token = scene.secret("token", TOKEN)
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": "127.0.0.1:0", "token_file": token},
                    handler={"url": sandbox.url}) as host:
        host.wait_says("consuming")
        yield scene, host, admin.Admin(host)


def settle(scene, host, *whats):
    before = len(host.settled())
    scene.queue.send_many(json.dumps({"what": what}) for what in whats)
    host.wait_for("settlement", lambda: len(host.settled()) >= before + len(whats))


def test_metrics_are_right_and_there_from_the_start(running):
    _, _, a = running
    status, headers, text = a.tcp("/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert admin.promtool("check", "metrics", stdin=text) == (0, "")
    samples = admin.parse(text)
    for outcome in ("ack", "duplicate", "retry", "reject", "release"):
        assert admin.value(samples, "luahost_messages_settled_total", outcome=outcome) == 0
    for kind in ("lua", "contract", "time", "cpu", "memory"):
        assert admin.value(samples, "luahost_lua_errors_total", kind=kind) == 0
    for name in ("messages_received_total", "lease_lost_total", "message_duration_seconds_count",
                 "message_wait_seconds_count", "message_age_seconds_count", "workers_busy",
                 "slots_busy"):
        assert admin.value(samples, "luahost_" + name) == 0, name
    assert admin.value(samples, "luahost_workers") == 4
    assert admin.value(samples, "luahost_lua_memory_bytes") > 100000
    assert admin.value(samples, "process_open_fds") > 10
    bounds = [dict(l)["le"] for n, l in samples if n == "luahost_message_duration_seconds_bucket"]
    assert bounds[0] == "0.001" and bounds[-2:] == ["60.0", "+Inf"]


def test_metrics_count_what_happened(running):
    scene, host, a = running
    settle(scene, host, "fine", "fine", "call", "retry", "bad", "away")
    samples = host.wait_for("counts", lambda: counted(a, 6))
    assert admin.value(samples, "luahost_messages_received_total") == 6
    assert admin.value(samples, "luahost_messages_settled_total", outcome="ack") == 3
    assert admin.value(samples, "luahost_messages_settled_total", outcome="retry") == 3
    assert admin.value(samples, "luahost_message_duration_seconds_count") == 6
    assert admin.value(samples, "luahost_message_wait_seconds_count") == 6
    assert admin.value(samples, "luahost_message_age_seconds_count") == 3
    assert admin.value(samples, "luahost_lua_errors_total", kind="contract") == 1
    assert admin.value(samples, "luahost_lua_errors_total", kind="http") == 1
    requests = {dict(l)["code"]: v for (n, l), v in samples.items()
                if n == "luahost_http_requests_total"}
    assert requests == {"200": 1, "404": 1}
    assert admin.value(samples, "luahost_sqs_requests_total", op="DeleteMessageBatch",
                       code="200") >= 1
    assert admin.value(samples, "seen_total", what="fine") == 2
    assert admin.value(samples, "body_bytes_count") == 6
    assert admin.value(samples, "luahost_log_lines_total", level="warn") >= 3
    assert abs(admin.value(samples, "luahost_last_receive_timestamp_seconds") - time.time()) < 60
    assert admin.promtool("check", "metrics", stdin=a.tcp("/metrics")[2]) == (0, "")


def counted(a, settled):
    samples = a.metrics()
    sums = [v for (n, _), v in samples.items() if n == "luahost_messages_settled_total"]
    return samples if sum(sums) == settled else None


def test_health_and_readiness(running):
    _, host, a = running
    assert a.tcp("/healthz")[::2] == (200, "ok\n")
    assert a.tcp("/readyz")[::2] == (200, "ok\n")
    a.local("/api/v1/pause", "POST")
    assert a.tcp("/healthz")[0] == 200
    assert a.tcp("/readyz")[0] == 200
    host.term()


def test_an_outage_elsewhere_fails_no_liveness(running):
    scene, host, a = running
    scene.wire.tell("away", route="queue")
    host.wait_says("receive failed")
    host.wait_for("not ready", lambda: a.tcp("/readyz")[0] == 503)
    assert "cannot be received from" in a.tcp("/readyz")[2]
    assert a.tcp("/healthz")[::2] == (200, "ok\n")
    hold = a.status()["hold"]
    assert hold["reason"] == "the queue cannot be received from" and hold["for_s"] >= 0
    scene.wire.tell("back", route="queue")
    host.wait_for("readiness", lambda: a.tcp("/readyz")[0] == 200)
    assert a.status()["hold"] is None


def test_pausing_and_resuming(running):
    scene, host, a = running
    status, _, text = a.local("/api/v1/pause", "POST")
    assert status == 200 and json.loads(text)["hold"]["reason"] == "paused"
    host.wait_for("end of the open poll", lambda: a.status()["polls_open"] == 0, 15)
    scene.queue.send('{"what": "fine"}')
    time.sleep(1)
    status = a.status()
    assert status["state"] == "held" and status["counts"]["received"] == 0
    assert 0.9 < status["hold"]["for_s"] < 30
    assert admin.value(a.metrics(), "luahost_intake_held") == 1
    assert json.loads(a.local("/api/v1/resume", "POST")[2])["hold"] is None
    host.wait_for("settlement", lambda: host.settled())
    assert admin.value(a.metrics(), "luahost_intake_held") == 0


def test_a_pause_says_whether_more_may_come(running, runtime):
    _, host, a = running
    host.wait_for("a poll", lambda: a.status()["polls_open"] == 1)
    code, text = tool(runtime, "pause")
    assert code == 0 and "1 poll is still open and may bring up to ten messages" in text
    host.wait_says("what the open poll may still bring")
    host.wait_for("end of the open poll", lambda: a.status()["polls_open"] == 0, 15)
    code, text = tool(runtime, "status")
    assert code == 0 and "no poll is open: nothing more comes, and nothing is in hand" in text


def test_changes_over_tcp_need_the_token(running):
    _, _, a = running
    for path in ("/api/v1/pause", "/api/v1/resume", "/api/v1/scale?workers=1"):
        status, headers, text = a.tcp(path, "POST")
        assert status == 401 and headers["WWW-Authenticate"] == "Bearer" and "token" in text
        for wrong in ("Bearer", "Bearer ", "Bearer x" + TOKEN, "Basic " + TOKEN,
                      "Bearer " + TOKEN[:-1], "Bearer " + TOKEN + "x"):
            assert a.tcp(path, "POST", headers={"Authorization": wrong})[0] == 401, wrong
    assert not a.status()["paused"]
    good = {"Authorization": "Bearer " + TOKEN}
    assert a.tcp("/api/v1/pause", "POST", headers=good)[0] == 200
    assert a.status()["paused"]
    assert a.tcp("/api/v1/resume", "POST", headers=good)[0] == 200
    assert not a.status()["paused"]


def test_without_a_token_file_tcp_is_read_only(scene, runtime):
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": "127.0.0.1:0"}) as host:
        a = admin.Admin(host)
        status, _, text = a.tcp("/api/v1/pause", "POST", headers={"Authorization": "Bearer x"})
        assert status == 403 and "admin.token_file" in text


def test_a_token_file_that_is_gone(scene, runtime):
    token = scene.secret("token", TOKEN)
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": "127.0.0.1:0", "token_file": token}) as host:
        a = admin.Admin(host)
        os.unlink(token)
        good = {"Authorization": "Bearer " + TOKEN}
        status, _, text = a.tcp("/api/v1/pause", "POST", headers=good)
        assert status == 500 and "cannot be read" in text and TOKEN not in text
        host.wait_says("a change was refused", token)


def test_wrong_requests(running):
    _, host, a = running
    assert a.tcp("/nope")[0] == 404 and "/metrics" in a.tcp("/nope")[2]
    assert a.tcp("/api/v1/redrive", "POST")[0] == 404
    assert a.tcp("/metrics", "POST")[0] == 405
    assert a.tcp("/metrics", "DELETE")[1]["Allow"] == "GET, HEAD"
    assert a.local("/api/v1/pause")[0] == 405
    status, headers, text = a.tcp("/metrics", "HEAD")
    assert status == 200 and text == "" and int(headers["Content-Length"]) > 1000
    assert a.tcp("/metrics", headers={"Host": "evil.example"})[0] == 403
    assert a.local("/metrics", headers={"Host": "anything.example"})[0] == 200
    assert a.local("/api/v1/pause", "POST", body=b"x" * 100000)[0] == 413
    assert a.tcp("/" + "x" * 100000)[0] in (414, 431)
    for query in ("", "?workers=", "?workers=0", "?workers=3:2", "?workers=a", "?workers=1:",
                  "?workers=-1", "?workers=99999999999999999999", "?n=3"):
        status, _, text = a.local("/api/v1/scale" + query, "POST")
        assert status == 400 and "workers=MIN:MAX" in text, query
    assert a.tcp("/healthz")[0] == 200
    assert host.popen.poll() is None


def test_clients_that_send_half_a_request(running):
    """They cost a connection each, and nobody else waits for them."""
    _, _, a = running
    name, _, port = a.where["http"].rpartition(":")
    slow = [socket.create_connection((name, int(port))) for _ in range(20)]
    try:
        for s in slow:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")
        began = time.monotonic()
        assert a.tcp("/healthz")[0] == 200
        assert time.monotonic() - began < 5
    finally:
        for s in slow:
            s.close()


def test_the_socket_is_for_this_user_and_leaves_with_the_host(running):
    _, host, a = running
    path = a.where["socket"]
    assert os.path.basename(path).endswith(f"-{host.popen.pid}.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    host.term()
    assert host.wait_exit() == 0
    assert not os.path.exists(path)


def test_what_a_killed_host_left_is_removed(running, runtime):
    scene, host, a = running
    host.kill()
    assert os.path.exists(a.where["socket"])
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": "off"}) as second:
        other = admin.Admin(second)
        assert "http" not in other.where
        assert not os.path.exists(a.where["socket"])
        assert other.status()["pid"] == second.popen.pid


def test_a_taken_port_and_a_taken_path_are_warnings(running, scene, runtime):
    _, _, a = running
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": a.where["http"], "socket": a.where["socket"]}) as second:
        second.wait_says("consuming")
        second.assert_says("admin.listen", a.where["http"], "admin.socket", a.where["socket"])
        second.term()
        assert second.wait_exit() == 0
    assert a.local("/healthz")[0] == 200  # it is still the first one's


def test_a_run_until_empty_has_no_admin_server(scene, runtime):
    with scene.host(scene.handler(HANDLER), "--until-empty",
                    env={"XDG_RUNTIME_DIR": runtime}) as host:
        assert host.wait_exit() == 0
        assert not [e for e in host.log() if e.get("msg") == "admin"]
    assert not os.path.exists(runtime + "/luahost")


def test_health_while_it_starts_and_stops(scene, runtime):
    handler = scene.handler("""local host = require "host"
local M = {}
function M.init() host.sleep(3) end
function M.handle() host.sleep(4) end
return M
""")
    with scene.host(handler, env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": "127.0.0.1:0"}) as host:
        a = admin.Admin(host)
        assert a.tcp("/healthz")[0] == 200
        status, _, text = a.tcp("/readyz")
        assert status == 503 and "starting" in text
        assert a.status()["state"] == "starting"
        assert a.local("/api/v1/pause", "POST")[0] == 409
        admin.parse(a.tcp("/metrics")[2])
        host.wait_for("readiness", lambda: a.tcp("/readyz")[0] == 200)
        scene.queue.send("{}")
        host.wait_for("a run", lambda: a.status()["in_hand"]["running"] == 1)
        assert [w["running"] for w in json.loads(a.tcp("/api/v1/workers")[2])].count(1) == 1
        host.term()
        procs.wait_until("stopping", lambda: a.tcp("/readyz")[0] == 503, 3)
        assert "stopping" in a.tcp("/readyz")[2]
        host.assert_says("waiting for 1 in hand", "s at most (drain)", "a second signal gives up")
        assert a.tcp("/healthz")[0] == 200
        assert host.wait_exit() == 0


def test_signals_and_the_server_agree(running):
    _, host, a = running
    host.popen.send_signal(signal.SIGTSTP)
    procs.wait_until("pause", lambda: a.status()["paused"], 5)
    host.popen.send_signal(signal.SIGCONT)
    procs.wait_until("going on", lambda: not a.status()["paused"], 5)


# ---- host status, pause, resume, scale


def tool(runtime, *arguments, **env):
    return command(*arguments, env={"XDG_RUNTIME_DIR": runtime, **env})


def test_the_tools_find_the_only_host(running, runtime):
    scene, host, a = running
    settle(scene, host, "fine", "retry")
    code, text = tool(runtime, "status")
    assert code == 0 and "receiving" in text and "acked 1, retried 1" in text
    assert f"pid {host.popen.pid}" in text
    code, text = tool(runtime, "pause")
    assert code == 0 and "held: paused, for 0 s" in text
    assert a.status()["paused"]
    code, text = tool(runtime, "resume", "--json")
    assert code == 0 and json.loads(text)["paused"] is False
    code, text = tool(runtime, "status", "--json")
    answer = json.loads(text)
    assert answer["counts"]["received"] == 2 and len(answer["worker_list"]) == 4


def test_the_tools_with_several_hosts_and_with_none(running, scene, runtime, tmp_path):
    _, host, a = running
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime},
                    admin={"listen": "off"}) as second:
        other = admin.Admin(second)
        for name in ("status", "pause", "resume"):
            code, text = tool(runtime, name)
            assert code == 1 and a.where["socket"] in text and other.where["socket"] in text
        assert not a.status()["paused"] and not other.status()["paused"]
        for wanted, paths in ((host, a), (second, other)):
            code, text = tool(runtime, "status", "--json", "--socket", paths.where["socket"])
            assert code == 0 and json.loads(text)["pid"] == wanted.popen.pid
            code, text = tool(runtime, "status", "--json",
                              LUAHOST_ADMIN_SOCKET=paths.where["socket"])
            assert code == 0 and json.loads(text)["pid"] == wanted.popen.pid
        second.term()
        second.wait_exit()
    host.term()
    host.wait_exit()
    if not os.path.isdir("/run/luahost") or not os.listdir("/run/luahost"):  # root looks there too
        code, text = tool(runtime, "status")
        assert code == 1 and "no running host is found" in text and "--socket" in text
    code, text = tool(runtime, "status", "--socket", str(tmp_path / "no.sock"))
    assert code == 1 and "no host answers at" in text


def test_the_configuration_of_this_folder_says_which(running, scene, runtime, tmp_path,
                                                     sandbox_sqs):
    """By its socket; or by its queue, if one host consumes that."""
    _, host, a = running
    folder = tmp_path / "here"
    folder.mkdir()
    url = create_queue(sandbox_sqs, "other").url
    with scene.host(scene.handler(HANDLER), env={"XDG_RUNTIME_DIR": runtime}, queue={"url": url},
                    admin={"listen": "off"}) as second:
        other = admin.Admin(second)
        for text, wanted in ((f'admin = {{ socket = "{a.where["socket"]}" }}', host),
                             (f'admin = {{ socket = "{other.where["socket"]}" }}', second),
                             (f'queue = {{ url = "{scene.queue.url}" }}', host)):
            (folder / "host.conf.lua").write_text(f"return {{ {text} }}\n")
            done = subprocess.run([BINARY, "status", "--json"], cwd=folder, capture_output=True,
                                  env=environment({"XDG_RUNTIME_DIR": runtime}), timeout=20)
            assert done.returncode == 0, (text, done.stderr)
            assert json.loads(done.stdout)["pid"] == wanted.popen.pid, text


def test_the_configuration_of_this_folder_names_another_queue(running, runtime, tmp_path):
    """Then the only host that runs is not the one that is meant, unless it reads that very file."""
    _, host, a = running
    folder = tmp_path / "here"
    folder.mkdir()

    def ask(*arguments, **env):
        done = subprocess.run([BINARY, *arguments], cwd=folder, capture_output=True, text=True,
                              env=environment({"XDG_RUNTIME_DIR": runtime, **env}), timeout=20)
        return done.returncode, done.stdout + done.stderr

    conf = folder / "host.conf.lua"
    conf.write_text('return { queue = { url = "http://127.0.0.1:1/0/another" } }')
    for arguments in (["pause"], ["resume"], ["scale", "3"], ["reload"], ["status"]):
        code, text = ask(*arguments)
        assert code == 1 and '"another"' in text and "host.conf.lua" in text, text
        assert "--socket " + a.where["socket"] in text, text
    assert not a.status()["paused"] and len(a.status()["worker_list"]) == 4
    assert a.status()["generation"] == 1
    code, text = ask("pause", "--socket", a.where["socket"])
    assert code == 0 and a.status()["paused"]
    conf.unlink()
    assert ask("resume")[0] == 0 and not a.status()["paused"]
    code, text = ask("pause", LUAHOST_QUEUE_NAME="another", LUAHOST_QUEUE_REGION="eu-west-1")
    assert code == 1 and "LUAHOST_QUEUE_NAME" in text
    conf.symlink_to(a.status()["config"])
    code, text = ask("status", "--json", LUAHOST_QUEUE_URL="http://127.0.0.1:1/0/another")
    assert code == 0 and json.loads(text)["pid"] == host.popen.pid, text


def test_the_tools_refuse_what_is_none(runtime):
    for arguments, words in ((("scale",), "N|MIN:MAX"), (("scale", "x"), '"x"'),
                             (("scale", "5:2"), "smaller"), (("scale", "0"), "from 1"),
                             (("scale", "-1"), "unknown option"), (("status", "now"), "too many"),
                             (("status", "--sokcet", "x"), "--socket"),
                             (("pause", "--socket", "/" + "x" * 200), "too long")):
        code, text = tool(runtime, *arguments)
        assert code == 2 and words in text, (arguments, code, text)


def test_a_trace_goes_from_the_message_into_the_log(scene, runtime):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    handler = scene.handler("""local log = require "host.log"
return { handle = function(msg) log.info("seen", { trace_seen = msg.trace }) end }
""")
    with scene.host(handler, env={"XDG_RUNTIME_DIR": runtime}, admin={"listen": "off"}) as host:
        scene.queue.send("{}", MessageAttributes={
            "traceparent": {"DataType": "String", "StringValue": trace}})
        host.wait_for("settlement", lambda: host.settled())
        seen = next(e for e in host.log() if e["msg"] == "seen")
        assert (seen["trace"], seen["trace_seen"]) == (trace, trace)
        assert host.settled()[0]["trace"] == trace
