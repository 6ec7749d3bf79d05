"""host check --online: what only the servers can tell, on real ones and on the stand-ins."""
import json
import subprocess
import time
import types
import uuid

import pytest

import hostproc
import sqs
from keycloak import Realm
from rest import Rest
from sqs import REGION
from wire import Wire


def said_by(folder, *flags, env=None):
    """(exit code, {check: [(result, words)]})"""
    done = subprocess.run([hostproc.BINARY, "check", "h.lua", "--online", "--json", *flags],
                          cwd=folder, capture_output=True, text=True, timeout=60,
                          env=hostproc.environment(env))
    hostproc.check_output(done.stdout + done.stderr)
    said = {}
    for c in json.loads(done.stdout)["checks"]:
        said.setdefault(c["check"], []).append((c["result"], c["text"]))
    return done.returncode, said


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
            self.dead = sqs.create_queue(self.client, "dead")
            attributes["RedrivePolicy"] = json.dumps({
                "deadLetterTargetArn": sqs.arn(self.client, self.dead.url),
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
        return said_by(self.folder, env=env)


@pytest.fixture(params=["keycloak", "sandbox"])
def scene(request, tmp_path):
    names = (["elasticmq", "elasticmq_sqs", "keycloak"] if request.param == "keycloak"
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
    if scene.name == "keycloak":
        assert [(result, text.split(",")[0]) for result, text in said["role"]] == [
            ("ok", "manage-users"), ("ok", "view-users"), ("ok", "view-realm")], said
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


@pytest.mark.parametrize("policy, result, words", [
    ('{"redrivePermission":"allowAll"}', "ok", ""),
    ('{"redrivePermission":"denyAll"}', "bad", "denyAll"),
    ('{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:eu-central-1:1:x"]}', "bad",
     "does not name this queue"),
    ('{"redrivePermission":"byQueue","sourceQueueArns":["OURS"]}', "ok", ""),
    ('{"redrivePermission":"other"}', "doubt", '{"redrivePermission":"other"}')])
def test_a_dead_letter_queue_that_refuses(tmp_path, sandbox, sandbox_sqs, policy, result, words):
    """No server here knows the attribute, so the proxy puts it into the answer, as SQS has it."""
    wire = Wire(str(tmp_path / "wire.jsonl"), queue=sandbox.url)
    scene = Scene(tmp_path, types.SimpleNamespace(url=wire.url["queue"]), sandbox_sqs, sandbox)
    queue = scene.queue(receives=20)
    ours = sqs.arn(sandbox_sqs, queue.url)
    attributes = sandbox_sqs.get_queue_attributes(
        QueueUrl=scene.dead.url, AttributeNames=["All"])["Attributes"]
    attributes["RedriveAllowPolicy"] = policy.replace("OURS", ours)
    wire.tell("fault", match={"target": "GetQueueAttributes", "req": scene.dead.name},
              times=-1, status=200, body=json.dumps({"Attributes": attributes}))
    try:
        code, said = scene.check(queue)
    finally:
        wire.stop()
    assert code == (78 if result == "bad" else 0), said
    (got, text), = said["dead letters"]
    assert got == result and words in text, said
    assert result != "bad" or ours in text  # the fix


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


# ---- what the handler's calls need of the realm

CALLS = """
local kc = require "host.keycloak"
local calls = {
  register = function(c) kc.users.ensure(c.rep) end,
  find = function() kc.users.find { username = "nobody" } end,
  role = function() kc.roles.get "customer" end,
  new_role = function() kc.request("POST", "/roles", { json = { name = "fresh" } }) end,
  client_role = function() kc.users.ensure { username = "nobody-yet", email = "n@example.org",
      clientRoles = { account = { "view-profile" } } } end,
  member = function(c) kc.request("POST", { "organizations", c.organization, "members" },
      { body = '"' .. c.user .. '"', headers = { ["content-type"] = "application/json" } }) end,
  elsewhere = function() require("host.http").post("http://crm.example.org/", { body = "x" }) end,
  silent = function() end,
}
local M = {}
function M.handle(msg) calls[msg.json.call](msg.json) end
return M
"""


class Rights:
    """A realm of a real Keycloak where clients get roles, and the check of one of its clients."""

    def __init__(self, folder, keycloak):
        self.folder, self.keycloak, self.rest = folder, keycloak, Rest(keycloak.url)
        self.token_end = 0.0
        self.realm = "rights-" + uuid.uuid4().hex[:8]
        keycloak.add_realm("members", self.realm)
        self.management = self.admin("GET", "/clients?clientId=realm-management").json[0]["id"]
        (folder / "h.lua").write_text(CALLS)
        (folder / "secret").write_text("s")
        (folder / "secret").chmod(0o600)

    def admin(self, method, path, body=None):
        if time.monotonic() > self.token_end:  # each costs Keycloak the hash of a password
            self.token, self.token_end = self.keycloak.admin_token(), time.monotonic() + 30
        a = self.rest.call(method, f"/admin/realms/{self.realm}{path}", body, token=self.token)
        assert a.status < 300, (method, path, a)
        return a

    def client(self, *roles, **attributes):
        name = "client-" + uuid.uuid4().hex[:8]
        self.admin("POST", "/clients", {
            "clientId": name, "secret": "s", "publicClient": False, "serviceAccountsEnabled": True,
            "standardFlowEnabled": False, "attributes": attributes})
        self.give(name, roles)
        return name

    def give(self, client, roles):
        uuid, = [c["id"] for c in self.admin("GET", "/clients?clientId=" + client).json]
        account = self.admin("GET", f"/clients/{uuid}/service-account-user").json["id"]
        given = [self.admin("GET", f"/clients/{self.management}/roles/{r}").json for r in roles]
        self.admin("POST", f"/users/{account}/role-mappings/clients/{self.management}", given)

    def as_client(self, client):
        return Realm(self.keycloak.url, self.realm, client, "s")

    def check(self, client, *events, realm=None):
        (self.folder / "host.conf.lua").write_text("return " + hostproc.lua({
            "keycloak": {"url": self.keycloak.url, "realm": realm or self.realm,
                         "client_id": client, "client_secret_file": str(self.folder / "secret")}}))
        flags = []
        for n, event in enumerate(events):
            (self.folder / f"{n}.json").write_text(json.dumps(event))
            flags += ["-e", f"{n}.json"]
        return said_by(self.folder, *flags)[1]


@pytest.fixture(scope="module")
def rights(keycloak, tmp_path_factory):
    made = Rights(tmp_path_factory.mktemp("rights"), keycloak)
    yield made
    keycloak.admin("DELETE", "/" + made.realm)


def bad(said, what):
    return [words for result, words in said.get(what, ()) if result == "bad"]


def good(said, what):
    return [words for result, words in said.get(what, ()) if result == "ok"]


def person():
    name = "u" + uuid.uuid4().hex[:10]
    return {"username": name, "email": name + "@example.org"}


@pytest.mark.parametrize("call, method, path, body", [
    ("register", "POST", "/users", {"enabled": True}), ("find", "GET", "/users?username=nobody", None),
    ("role", "GET", "/roles/customer", None), ("new_role", "POST", "/roles", {}),
    ("client_role", "GET", "/clients?clientId=account", None),
    ("member", "POST", "/organizations/{organization}/members", "{user}")])
def test_the_roles_that_are_told_are_those_that_help(rights, call, method, path, body):
    organization = rights.admin("GET", "/organizations").json[0]["id"]
    rights.admin("POST", "/users", {**person(), "enabled": True})
    user = rights.admin("GET", "/users?search=u").json[0]["id"]
    if isinstance(body, dict):
        body = {**body, **(person() if call == "register" else {"name": uuid.uuid4().hex})}
    elif body:
        body = json.dumps(user)
    path = path.format(organization=organization)
    event = {"call": call, "organization": organization, "user": user, "rep": person()}
    client = rights.client()
    assert rights.as_client(client).call(method, path, body).status == 403
    said = rights.check(client, event)
    told = bad(said, "role")
    assert told and not good(said, "role"), said
    for words in told:
        assert (f"kcadm.sh add-roles -r {rights.realm} --uusername service-account-{client}"
                " --cclientid realm-management --rolename ") in words
    rights.give(client, [words.rsplit(" ", 1)[1] for words in told])
    assert rights.as_client(client).call(method, path, body).status < 300
    said = rights.check(client, event)
    assert good(said, "role") and not bad(said, "role"), said


def test_a_role_that_is_not_needed_is_not_asked_for(rights):
    """manage-users reads as well; who gives no roles needs no view-realm."""
    said = rights.check(rights.client("manage-users"), {
        "call": "register", "rep": {**person(), "groups": ["/customers"]}})
    assert [r for r, _ in said["role"]] == ["ok"] and "manage-users" in said["role"][0][1], said
    assert said["group"] == [("ok", "/customers")], said
    # query-users alone finds nobody, whoever is there
    assert "view-users" in bad(rights.check(rights.client("query-users"), {"call": "find"}), "role")[0]


def test_tokens_that_name_no_roles(rights):
    client = rights.client("manage-users", **{"client.use.lightweight.access.token.enabled": "true"})
    said = rights.check(client, {"call": "register", "rep": {**person(), "groups": ["/nowhere"]}})
    assert said["role"][0][0] == "doubt" and "names no roles" in said["role"][0][1], said
    assert "/nowhere is not in realm" in bad(said, "group")[0], said


def test_names_that_the_realm_lacks(rights):
    client = rights.client("manage-users", "view-realm", "view-clients", "view-organizations")
    said = rights.check(client, {"call": "register", "rep": {
        **person(), "groups": ["/customers", "/no where/new"], "realmRoles": ["customer", "gone"],
        "clientRoles": {"account": ["view-profile", "lost"], "no-client": ["x"]}}})
    for what, there, missing in (("group", "/customers", "/no where/new"),
                                 ("realm role", "customer", "gone"),
                                 ("client", "account", "no-client"),
                                 ("client role", "account: view-profile", "account: lost")):
        assert good(said, what) == [there], said
        assert bad(said, what) == [f"{missing} is not in realm {rights.realm}: make it there, or"
                                   " correct its name in the handler"], said
    # users.create looks nothing up, and an unknown group is a 500
    said = rights.check(rights.client("view-realm"), {
        "call": "register", "rep": {**person(), "groups": ["/customers"]}})
    assert said["group"][0][0] == "doubt" and bad(said, "role"), said


@pytest.mark.parametrize("policy", [None, "ADMIN_VIEW", "ADMIN_EDIT", "ENABLED"])
def test_attributes_that_keycloak_drops(rights, policy):
    profile = rights.admin("GET", "/users/profile").json
    names = {a["name"] for a in profile["attributes"]}
    for name, edit in (("ours", ["admin"]), ("theirs", ["user"]), ("nobodys", [])):
        if name not in names:
            profile["attributes"].append({"name": name, "permissions": {
                "view": ["admin"], "edit": edit}})
    profile["attributes"] = [a for a in profile["attributes"] if a["name"] != "lastName"]
    profile.pop("unmanagedAttributePolicy", None)
    if policy:
        profile["unmanagedAttributePolicy"] = policy
    rights.admin("PUT", "/users/profile", profile)
    sent = {name: ["1"] for name in ("ours", "theirs", "nobodys", "free")}
    rep = {**person(), "firstName": "Ada", "lastName": "Byron", "attributes": sent}
    said = rights.check(rights.client("manage-users"), {"call": "register", "rep": rep})
    rights.admin("POST", "/users", {**rep, "enabled": True})
    user, = rights.admin("GET", "/users?exact=true&username=" + rep["username"]).json
    kept = set(user.get("attributes", {})) | {n for n in ("firstName", "lastName") if user.get(n)}
    assert set(good(said, "attribute")[0].split(", ")) == kept, said
    assert {w.split()[0] for w in bad(said, "attribute")} == {*sent, "firstName", "lastName"} - kept


def test_nothing_is_written(rights):
    client = rights.client("manage-users", "manage-realm")
    rep = person()
    rights.check(client, {"call": "register", "rep": rep}, {"call": "new_role"})
    assert rights.admin("GET", "/users?exact=true&username=" + rep["username"]).json == []
    assert "fresh" not in {r["name"] for r in rights.admin("GET", "/roles").json}


def test_events_that_tell_nothing(rights):
    client = rights.client("manage-users")
    said = rights.check(client, {"call": "silent"}, {"call": "elsewhere"}, {"call": "none such"})
    silent, elsewhere, failed = said["event"]
    assert silent[0] == elsewhere[0] == failed[0] == "doubt"
    assert "0.json: the handler asks nothing of Keycloak" in silent[1]
    assert "park" in elsewhere[1] and "not asked: POST http://crm.example.org/" in elsewhere[1]
    assert "retry" in failed[1] and "h.lua:" in failed[1]
    said = rights.check(client)
    assert said["event"][0][0] == "doubt" and "-e FILE" in said["event"][0][1]
    assert "manage-users" in good(said, "role")[0]
    (rights.folder / "latin1.json").write_bytes(b'"\xe9"')
    for name in ("missing.json", "latin1.json"):
        code, said = said_by(rights.folder, "-e", name)
        assert code == 78 and name in bad(said, "event")[0], said


def test_the_sample_beside_the_handler_is_taken(rights):
    client = rights.client("manage-users")
    sample = rights.folder / "event.json"
    sample.write_text('{"call": "find"}')
    assert rights.check(client)["event"][0][1].startswith("event.json, run dry")
    (rights.folder / "h.event.json").write_text('{"call": "silent"}')
    assert rights.check(client)["event"][0][1].startswith("h.event.json: ")
    sample.unlink()
    (rights.folder / "h.event.json").unlink()


def test_an_event_without_online_is_a_slip(tmp_path):
    (tmp_path / "h.lua").write_text("function handle() end")
    done = subprocess.run([hostproc.BINARY, "check", "h.lua", "-e", "e.json"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=20, env=hostproc.environment())
    assert done.returncode == 2 and "--online" in done.stderr


# ---- the queue and its dead letters

def queue_check(folder, moto, url, queue=None, **changes):
    (folder / "h.lua").write_text("function handle(msg) end\n")
    (folder / "host.conf.lua").write_text("return " + hostproc.lua({
        "queue": {"url": url, "endpoint": moto.url, "region": REGION, **(queue or {})}, **changes}))
    return said_by(folder)


def queues(client, dead=None, **attributes):
    dead = sqs.create_queue(client, "dead", **(dead or {}))
    policy = {"deadLetterTargetArn": sqs.arn(client, dead.url),
              "maxReceiveCount": attributes.pop("receives", 20)}
    return dead, sqs.create_queue(client, "online", RedrivePolicy=json.dumps(policy), **attributes)


def test_visibility(tmp_path, moto, moto_sqs):
    _, queue = queues(moto_sqs, VisibilityTimeout="7")
    _, said = queue_check(tmp_path, moto, queue.url)
    result, words = said["visibility"][0]
    assert result == "ok" and "30 s with each receive" in words and "queue's own, 7 s" in words
    _, said = queue_check(tmp_path, moto, queue.url, queue={"visibility": 5})
    assert "visibility" not in said
    assert any("queue.visibility (5 s)" in words for _, words in said["configuration"])


def test_retries_that_outlive_the_message(tmp_path, moto, moto_sqs):
    _, queue = queues(moto_sqs, receives=100, MessageRetentionPeriod="3600")
    code, said = queue_check(tmp_path, moto, queue.url)
    result, words = said["retention"][0]
    assert code == 0 and result == "doubt" and "after 1.0 h" in words and "maxReceiveCount" in words
    for retry in ({"cap": 20}, {"max_attempts": 10}):
        _, said = queue_check(tmp_path, moto, queue.url, retry=retry)
        assert said["retention"][0][0] == "ok", said


def test_a_dead_letter_queue_that_loses_them(tmp_path, moto, moto_sqs):
    _, queue = queues(moto_sqs, {"MessageRetentionPeriod": "3600"})
    code, said = queue_check(tmp_path, moto, queue.url)
    result, words = said["dead letters"][0]
    assert code == 0 and result == "doubt" and "keeps messages for 1.0 h" in words, said


def test_an_encrypted_dead_letter_queue(tmp_path, moto, moto_sqs):
    _, queue = queues(moto_sqs, {"KmsMasterKeyId": "alias/letters"})
    _, said = queue_check(tmp_path, moto, queue.url)
    result, words = said["dead letters"][0]
    assert result == "ok" and "kms:GenerateDataKey" in words and "alias/letters" in words


def test_a_dead_letter_queue_of_the_other_kind(tmp_path, moto, moto_sqs):
    _, queue = queues(moto_sqs)
    fifo = sqs.create_queue(moto_sqs, "dead", FifoQueue="true")
    code, said = queue_check(tmp_path, moto, queue.url, queue={"dlq_url": fifo.url})
    result, words = said["dead letters"][0]
    assert code == 78 and result == "bad" and "is a FIFO queue" in words, said
