"""host check --online: what only the servers can tell, on real ones and on the stand-ins."""
import json
import subprocess

import pytest

import hostproc
import sqs
from sqs import REGION


class Scene:
    def __init__(self, folder, queue_server, client, keycloak):
        self.folder, self.server, self.client, self.keycloak = (
            folder, queue_server, client, keycloak)
        (folder / "h.lua").write_text("function handle(msg) end\n")
        self.secret("secret", hostproc.CLIENT_SECRET)

    def secret(self, name, text):
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)

    def queue(self, receives=None):
        attributes = {}
        if receives:
            dead = sqs.create_queue(self.client, "dead")
            attributes["RedrivePolicy"] = json.dumps({
                "deadLetterTargetArn": sqs.arn(self.client, dead.url),
                "maxReceiveCount": receives})
        return sqs.create_queue(self.client, "online", **attributes)

    def check(self, queue, env=None, **changes):
        """(exit code, {check: [(result, words)]})"""
        config = {"queue": {"url": queue if isinstance(queue, str) else queue.url,
                            "endpoint": self.server.url, "region": REGION},
                  "keycloak": {"url": self.keycloak.url, "realm": "customers",
                               "client_id": "luahost-svc",
                               "client_secret_file": str(self.folder / "secret")}}
        for section, members in changes.items():
            config[section] = {**config.get(section, {}), **members}
        (self.folder / "host.conf.lua").write_text("return " + hostproc.lua(config))
        done = subprocess.run([hostproc.BINARY, "check", "h.lua", "--online", "--json"],
                              cwd=self.folder, capture_output=True, text=True, timeout=60,
                              env=hostproc.environment(env))
        hostproc.check_output(done.stdout + done.stderr)
        said = {}
        for c in json.loads(done.stdout)["checks"]:
            said.setdefault(c["check"], []).append((c["result"], c["text"]))
        return done.returncode, said


@pytest.fixture(params=["real", "sandbox"])
def scene(request, tmp_path):
    names = (["elasticmq", "elasticmq_sqs", "keycloak"] if request.param == "real"
             else ["sandbox", "sandbox_sqs", "sandbox"])
    made = Scene(tmp_path, *(request.getfixturevalue(n) for n in names))
    made.name = request.param
    return made


def test_all_is_well(scene):
    queue = scene.queue(receives=20)
    code, said = scene.check(queue)
    assert code == 0, said
    assert said["credentials"][0][0] == "ok" and "environment" in said["credentials"][0][1]
    assert said["queue online"][0][0] == "ok" and queue.name in said["queue online"][0][1]
    assert said["redrive policy"] == [("ok", "maxReceiveCount 20")]
    assert said["dead letters"][0][0] == "ok"
    assert said["Keycloak token"][0][0] == "ok"
    roles = {text for result, text in said["role"] if result == "ok"}
    if scene.name == "real":
        assert {"manage-users", "view-users", "query-users"} <= roles, said
    else:  # its tokens name none, which is said
        assert said["role"][0][0] == "doubt" and "names no roles" in said["role"][0][1], said
    assert queue.is_empty()


def test_the_redrive_policy(scene):
    code, said = scene.check(scene.queue())
    assert code == 0
    result, words = said["redrive policy"][0]
    assert result == "doubt" and "RedrivePolicy" in words
    assert said["dead letters"][0][0] == "doubt"
    code, said = scene.check(scene.queue(receives=3))
    assert code == 0 and said["redrive policy"][0][0] == "doubt"
    code, said = scene.check(scene.queue(receives=3), retry={"max_attempts": 5})
    result, words = said["redrive policy"][0]
    assert code == 78 and result == "bad" and "max_attempts is 5" in words and "= 3" in words


def test_a_queue_that_is_not_there(scene):
    code, said = scene.check(scene.queue().url + "-not")
    assert code == 78 and said["queue online"][0][0] == "bad", said
    assert "redrive policy" not in said


def test_a_wrong_secret_and_a_wrong_realm(scene):
    queue = scene.queue(receives=20)
    scene.secret("wrong", "not-the-secret")
    code, said = scene.check(queue, keycloak={"client_secret_file": str(scene.folder / "wrong")})
    assert code == 78 and said["Keycloak token"][0][0] == "bad", said
    assert "not-the-secret" not in str(said) and "role" not in said
    code, said = scene.check(queue, keycloak={"realm": "nowhere"})
    assert code == 78 and "bad" in {r for r, _ in said["Keycloak token"]}, said


def test_nobody_there(scene):
    scene.server = type("Nobody", (), {"url": "http://127.0.0.1:1"})
    code, said = scene.check("http://127.0.0.1:1/000000000000/q",
                             keycloak={"url": "http://127.0.0.1:1"})
    assert code == 78
    assert said["queue online"][0][0] == said["Keycloak token"][0][0] == "bad", said
    assert "127.0.0.1:1" in said["Keycloak token"][0][1]
