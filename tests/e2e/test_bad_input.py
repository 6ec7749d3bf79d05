"""What users get wrong: each has its exit code, and words that name the place and what to do.

Asserted are codes and words, not sentences. Every Host also checks that no secret was printed.
"""
import http.server
import json
import threading
import time

import pytest

import hostproc
from hostproc import Host, command
from stage import new_stem, registration

OK = "function handle(msg) end\n"


@pytest.fixture
def handler(tmp_path):
    path = tmp_path / "handler.lua"
    path.write_text(OK)
    return path


def ends(tmp_path, handler, config, code, *words, flags=(), env=None, timeout=10):
    with Host(str(tmp_path), handler, config, *flags, env=env) as host:
        got = host.wait_exit(timeout)
        host.assert_says(*words)
        assert got == code, host.text


def queue_config(url="http://127.0.0.1:1/000000000000/q", **more):
    return {"queue": {"url": url, "region": "eu-central-1", **more}}


# ---- the handler

def test_a_handler_that_does_not_compile(tmp_path, handler):
    handler.write_text("local M = {}\nfunction M.handle(msg)\n  if x the return end\nend\n")
    ends(tmp_path, handler, queue_config(), 78, "handler.lua:3", "the")


def test_a_handler_that_fails_while_loading(tmp_path, handler):
    handler.write_text("local M = {}\nlocal x = nil\nx.y = 1\nreturn M\n")
    ends(tmp_path, handler, queue_config(), 78, "handler.lua:3", "nil value")


def test_a_handler_without_handle(tmp_path, handler):
    handler.write_text("return {}\n")
    ends(tmp_path, handler, queue_config(), 78, "handler.lua", "handle")


def test_a_handler_file_that_is_missing(tmp_path):
    ends(tmp_path, tmp_path / "nowhere.lua", queue_config(), 78, "nowhere.lua", "no such file")


# ---- configuration

def test_no_queue(tmp_path, handler):
    ends(tmp_path, handler, {}, 78, "queue.url", "--queue-url")


def test_an_unknown_key(tmp_path, handler):
    config = queue_config(visiblity=5)
    ends(tmp_path, handler, config, 78, "conf-", "queue.visiblity", "queue.visibility")


def test_a_value_of_the_wrong_type(tmp_path, handler):
    config = {**queue_config(), "workers": {"max": "many"}}
    ends(tmp_path, handler, config, 78, "conf-", "workers.max", "number")


def test_a_value_out_of_range(tmp_path, handler):
    ends(tmp_path, handler, queue_config(wait=21), 78, "queue.wait", "20")


def test_a_configuration_that_is_no_lua(tmp_path, handler):
    ends(tmp_path, handler, "return {\n  queue = {\n}\n", 78, "conf-", ":4")


def test_a_variable_of_the_wrong_type(tmp_path, handler):
    ends(tmp_path, handler, queue_config(), 78, "LUAHOST_WORKERS_MAX", "many",
         env={"LUAHOST_WORKERS_MAX": "many"})


def test_no_credentials(tmp_path, handler):
    ends(tmp_path, handler, queue_config(), 78, "AWS_ACCESS_KEY_ID",
         env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})


# ---- the command line

def test_an_unknown_command():
    code, text = command("rnu")
    assert code == 2
    assert "rnu" in text and "did you mean" in text.lower() and "run" in text.split("mean")[1]


def test_an_unknown_flag(handler):
    code, text = command("run", str(handler), "--until-emtpy")
    assert code == 2
    assert "--until-emtpy" in text and "did you mean" in text.lower() and "--until-empty" in text


def test_a_flag_without_its_value(handler):
    code, text = command("run", str(handler), "--queue-url")
    assert code == 2
    assert "--queue-url" in text


def test_no_handler_given():
    code, text = command("run")
    assert code == 2
    assert "handler" in text.lower()


def test_help_and_version():
    code, text = command("run", "--help")
    assert code == 0
    assert "Usage" in text and "Example" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert command("version")[0] == 0
    code, text = command()
    assert code == 0
    assert all(f"host {name} " in text for name in ("run", "dev", "init", "invoke", "send", "test"))


def test_the_effective_configuration_is_printed_without_secrets(tmp_path, handler):
    config = tmp_path / "host.conf.lua"
    config.write_text('return { queue = { url = "http://127.0.0.1:1/0/q" }, slots = 3 }\n')
    code, text = command("run", str(handler), "-c", str(config), "--print-config", env={
        "LUAHOST_WORKERS_MAX": "7", "LUAHOST_KEYCLOAK_CLIENT_SECRET": hostproc.CLIENT_SECRET})
    assert code == 0, text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "3" in lines["slots"] and "host.conf.lua" in lines["slots"]
    assert "7" in lines["workers.max"] and "LUAHOST_WORKERS_MAX" in lines["workers.max"]
    assert "default" in lines["queue.visibility"]
    assert hostproc.CLIENT_SECRET not in text


# ---- the queue

def test_a_queue_that_is_missing(tmp_path, handler, elasticmq):
    url = f"{elasticmq.url}/000000000000/not-there"
    ends(tmp_path, handler, queue_config(url, endpoint=elasticmq.url), 78, "not-there")


class Denying(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"__type": "com.amazon.coral.service#AccessDeniedException",
                           "message": "User is not authorized to perform: sqs:ReceiveMessage"})
        self.send_response(403)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def test_a_queue_that_is_forbidden(tmp_path, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denying)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        ends(tmp_path, handler, queue_config(endpoint + "/000000000000/q", endpoint=endpoint), 78,
             "AccessDenied", "/000000000000/q")
    finally:
        server.shutdown()
        server.server_close()


# ---- Keycloak

def test_keycloak_away_at_the_start(stage):
    """It starts and says so. One short receive asks whether the queue is there; what that brought
    waits here, the rest stays on the queue, and nothing is received twice."""
    stem, total = new_stem(), 25
    stage.queue.send_many(json.dumps(registration(stem, n)) for n in range(total))
    stage.wire.tell("away", route="keycloak")
    with stage.host(hostproc.EXAMPLE) as host:
        host.wait_says(stage.wire.url["keycloak"], "receiving nothing")
        time.sleep(3)
        assert len([e for e in stage.wire.log() if e["target"] == "ReceiveMessage"]) <= 1
        assert stage.queue.counts()[0] >= total - 10
        stage.wire.tell("back", route="keycloak")
        host.wait_for("an empty queue", stage.queue.is_empty, 40)
        host.term()
        assert host.wait_exit() == 0
    assert len(stage.realm.user_names(stem)) == total
    assert set(stage.wire.times_received().values()) == {1}


def test_keycloak_away_for_a_while(stage):
    """An outage in the middle costs no receive: every message is received once."""
    stem, total = new_stem(), 60
    stage.queue.send_many(json.dumps(registration(stem, n)) for n in range(total // 2))
    with stage.host(hostproc.EXAMPLE) as host:
        host.wait_for("an empty queue", stage.queue.is_empty, 40)
        stage.wire.tell("away", route="keycloak")
        stage.queue.send_many(json.dumps(registration(stem, n)) for n in range(total // 2, total))
        host.wait_says(stage.wire.url["keycloak"], "receiving nothing")
        stage.wire.tell("back", route="keycloak")
        host.wait_for("an empty queue", stage.queue.is_empty, 60)
        host.term()
        assert host.wait_exit() == 0
    assert len(stage.realm.user_names(stem)) == total
    assert set(stage.wire.times_received().values()) == {1}
    assert max(m["Attributes"]["ApproximateReceiveCount"] for _, m in stage.wire.receives()) == "1"


def test_a_wrong_client_secret(stage):
    """Nothing is lost: the message waits, and the reason names client, realm and URL."""
    stage.queue.send(json.dumps(registration(new_stem(), 1)))
    wrong = stage.secret("wrong-secret", "not-the-secret-at-all")
    with stage.host(hostproc.EXAMPLE, keycloak={"client_secret_file": wrong}) as host:
        host.wait_says("luahost-svc", "customers", stage.wire.url["keycloak"], "client")
        host.term()
        assert host.wait_exit(90) == 0, host.text
        assert "not-the-secret-at-all" not in host.text
    assert not list(stage.wire.deletes())
    assert sum(stage.queue.counts()) == 1


def test_a_secret_file_that_is_missing(stage):
    """It may be mounted late: the host waits for it, and takes nothing off the queue until then."""
    stage.queue.send(json.dumps(registration(new_stem(), 1)))
    absent = stage.folder + "/absent"
    with stage.host(hostproc.EXAMPLE, keycloak={"client_secret_file": absent}) as host:
        host.wait_says(absent, "no such file", "receiving nothing")
        assert stage.queue.counts() == (1, 0, 0)
        stage.secret("absent", hostproc.CLIENT_SECRET)
        host.wait_for("an empty queue", stage.queue.is_empty)
        host.term()
        assert host.wait_exit() == 0


def test_a_secret_file_that_everybody_may_read(stage):
    with open(stage.secret_file) as f:
        loose = stage.file("loose-secret", f.read())
    stage.queue.send(json.dumps(registration(new_stem(), 1)))
    with stage.host(hostproc.EXAMPLE, keycloak={"client_secret_file": loose}) as host:
        host.wait_for("an empty queue", stage.queue.is_empty)
        host.assert_says(loose, "chmod")
        host.term()
        assert host.wait_exit() == 0
        assert host.text.count('"level":"warn"') == 1


# ---- an unreachable queue: started with the test session, see conftest.py

def test_an_unreachable_queue(unreachable):
    assert unreachable.wait_exit(90) == 69, unreachable.text
    took = unreachable.ended - unreachable.started
    assert 55 < took < 80
    unreachable.assert_says(unreachable.url, "connect", "endpoint")
