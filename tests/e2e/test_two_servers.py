"""Which server a queue is looked for at, if flags, variables and the file name two."""
import json
import re
import subprocess

import boto3
import pytest

import hostproc
from sandbox import Sandbox

QUEUE = "/000000000000/registrations"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    two = [Sandbox(str(tmp_path_factory.mktemp(name)), realms=()) for name in ("a", "b")]
    yield [s.queue_url for s in two]
    for s in two:
        s.stop()


@pytest.fixture
def folder(tmp_path, servers):
    """Its configuration is for the first server, URL and endpoint."""
    (tmp_path / "h.lua").write_text("return { handle = function() end }")
    (tmp_path / "host.conf.lua").write_text("return " + hostproc.lua(
        {"queue": {"url": servers[0] + QUEUE, "endpoint": servers[0]}, "admin": {"listen": "off"}}))
    return tmp_path


def waiting(server):
    client = boto3.client("sqs", endpoint_url=server, region_name="us-east-1",
                          aws_access_key_id="k", aws_secret_access_key="s")
    got = client.get_queue_attributes(QueueUrl=server + QUEUE, AttributeNames=["All"])
    return int(got["Attributes"]["ApproximateNumberOfMessages"])


def host(folder, *args, env=None):
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    done = subprocess.run([hostproc.BINARY, *args], cwd=folder, capture_output=True, text=True,
                          timeout=60, env=hostproc.environment({**keys, **(env or {})}))
    return done.returncode, done.stdout, done.stderr


def test_a_typed_url_goes_to_its_own_server(folder, servers):
    before = [waiting(s) for s in servers]
    code, out, err = host(folder, "send", "--queue-url", servers[1] + QUEUE)
    assert code == 0, err
    assert out == f"1 of 1 messages sent to {servers[1] + QUEUE}\n"
    code, out, err = host(folder, "send", env={"LUAHOST_QUEUE_URL": servers[1] + QUEUE})
    assert code == 0, err
    assert [waiting(s) for s in servers] == [before[0], before[1] + 2]


def test_run_says_what_it_left_out(folder, servers):
    host(folder, "send", "--queue-url", servers[1] + QUEUE)
    code, _, err = host(folder, "run", "h.lua", "--until-empty", "--queue-url", servers[1] + QUEUE)
    assert code == 0, err
    assert "queue.endpoint (" + servers[0] in err and "--endpoint-url" in err
    assert waiting(servers[1]) == 0
    lines = [json.loads(line) for line in err.splitlines()]
    said = next(e for e in lines if e["msg"] == "consuming")
    assert said["queue"] == servers[1] + QUEUE and "endpoint" not in said


def test_an_endpoint_that_is_typed_is_named(folder, servers):
    before = [waiting(s) for s in servers]
    code, out, err = host(folder, "send", "--endpoint-url", servers[1])
    assert code == 0, err
    assert out == f"1 of 1 messages sent to {servers[0] + QUEUE} at {servers[1]}\n"
    assert [waiting(s) for s in servers] == [before[0], before[1] + 1]
    code, out, _ = host(folder, "check", "h.lua", "--online",
                        env={"LUAHOST_QUEUE_ENDPOINT": servers[1]})
    assert code == 0 and len(re.findall(re.escape(f"{QUEUE} at {servers[1]}"), out)) == 2, out
    code, out, err = host(folder, "send", "--queue-url", servers[0] + "/000000000000/none",
                          "--endpoint-url", servers[1])
    assert code != 0 and f"/none at {servers[1]}: " in err, err


@pytest.mark.parametrize("url", ("http://127.0.0.1:99999/0/x", "http://127.0.0.1:9324"))
def test_check_refuses_what_run_refuses(folder, url):
    for args in (("check", "h.lua"), ("run", "h.lua"), ("send",)):
        code, out, err = host(folder, *args, env={"LUAHOST_QUEUE_URL": url})
        assert code == 78 and "queue.url" in out + err and url in out + err, (args, out, err)
