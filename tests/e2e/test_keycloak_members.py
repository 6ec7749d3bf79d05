"""Client roles, organizations, passwords and mails: what Keycloak answers, asked of a real one and
of the stand-in, and what host.keycloak makes of it on both."""
import json
import re

import pytest

import keycloak as kc
from hostproc import CLIENT_SECRET
from sandbox import Sandbox
from smtp import Smtp
from test_invoke import Folder
from test_keycloak_module import HANDLER as ENSURE
from test_keycloak_module import Run, fresh, made, person, refused

NOBODY = "00000000-0000-0000-0000-000000000000"


class Server:
    """One with the realm "members", and the mails that it sent."""

    def __init__(self, url, mails):
        self.url, self.mails = url, mails


@pytest.fixture(params=["keycloak", "sandbox"], scope="module")
def server(request, tmp_path_factory):
    if request.param == "sandbox":
        running = Sandbox(str(tmp_path_factory.mktemp("members")), ("customers", "members"))
        yield Server(running.url, None)
        running.stop()
        return
    real, smtp = request.getfixturevalue("keycloak"), Smtp()
    real.add_realm("members")
    a = real.admin("PUT", "/members", {"smtpServer": {
        "host": "127.0.0.1", "port": str(smtp.port), "from": "keycloak@example.org"}})
    assert a.status == 204, a
    yield Server(real.url, smtp)
    assert real.admin("DELETE", "/members").status == 204
    smtp.stop()


@pytest.fixture(scope="module")
def realm(server):
    return kc.Realm(server.url, "members")


@pytest.fixture(scope="module")
def customers(server):
    return kc.Realm(server.url, "customers")


def says(answer, status, **body):
    assert (answer.status, answer.json) == (status, body)


def user(realm, **more):
    return realm.create(**person(fresh(), enabled=True, **more))


def client_uuid(realm, name):
    one, = realm.get("/clients", clientId=name).json
    return one["id"]


# ---- what Keycloak answers

def test_passwords(realm):
    id = user(realm)
    path = f"/users/{id}/reset-password"
    word = {"type": "password", "value": "open sesame", "temporary": True}
    assert realm.call("PUT", path, word).status == 204
    assert realm.get("/users/" + id).json["requiredActions"] == ["UPDATE_PASSWORD"]
    assert realm.call("PUT", path, {**word, "temporary": False}).status == 204
    assert realm.get("/users/" + id).json["requiredActions"] == []
    says(realm.call("PUT", path, {**word, "value": ""}), 400, error="Empty password not allowed")
    says(realm.call("PUT", path, {"type": "password"}), 400, error="No password provided")
    says(realm.call("PUT", f"/users/{NOBODY}/reset-password", word), 404, error="User not found")
    says(realm.get(f"/users/{NOBODY}/credentials"), 404, error="User not found")
    for id in (id, user(realm)):
        dates = []
        for _ in range(2):
            realm.call("PUT", f"/users/{id}/reset-password", word)
            one, = realm.get(f"/users/{id}/credentials").json
            assert one["type"] == "password"
            dates.append(one["createdDate"])
        assert dates[0] < dates[1]


def test_mails(realm, server):
    rep = person(fresh(), enabled=True)
    id = realm.create(**rep)
    actions, verify = f"/users/{id}/execute-actions-email", f"/users/{id}/send-verify-email"
    assert realm.call("PUT", actions, ["UPDATE_PASSWORD"]).status == 204
    assert realm.call("PUT", actions + "?lifespan=600&client_id=account", []).status == 204
    assert realm.call("PUT", verify).status == 204
    if server.mails:
        assert len(server.mails.to(rep["email"])) == 3

    def bad(words, path, body=None):
        says(realm.call("PUT", path, body), 400, errorMessage=words)
    bad("Provided invalid required actions", actions, ["NO_SUCH"])
    bad("Client doesn't exist", actions + "?client_id=nobody", ["UPDATE_PASSWORD"])
    bad("Client id missing", actions + "?redirect_uri=http://x", ["UPDATE_PASSWORD"])
    bad("Invalid redirect uri.", actions + "?client_id=shop&redirect_uri=http://x",
        ["UPDATE_PASSWORD"])
    bad("Client doesn't exist", verify + "?client_id=nobody")
    off = user(realm)
    realm.call("PUT", "/users/" + off, {"enabled": False})
    bad("User is disabled", f"/users/{off}/execute-actions-email", ["UPDATE_PASSWORD"])
    none = realm.create(username=fresh(), enabled=True)
    bad("User email missing", f"/users/{none}/execute-actions-email", ["UPDATE_PASSWORD"])
    bad("User email missing", f"/users/{none}/send-verify-email")


def test_mails_without_a_mail_server(customers):
    id = user(customers)
    a = customers.call("PUT", f"/users/{id}/execute-actions-email", ["UPDATE_PASSWORD"])
    assert a.status == 500
    assert a.json["errorMessage"].startswith("Failed to send execute actions email: ")
    a = customers.call("PUT", f"/users/{id}/send-verify-email")
    says(a, 500, errorMessage="Failed to send verify email")


def test_clients_and_their_roles(realm, customers):
    shop = client_uuid(realm, "shop")
    assert realm.get("/clients", clientId="nobody").json == []
    says(customers.get("/clients", clientId="luahost-svc"), 403, error="HTTP 403 Forbidden")
    role = realm.get(f"/clients/{shop}/roles/big%20spender").json
    assert (role["name"], role["clientRole"], role["containerId"]) == ("big spender", True, shop)
    says(realm.get(f"/clients/{shop}/roles/none"), 404, error="Could not find role")
    says(realm.get(f"/clients/{NOBODY}/roles/none"), 404, error="Could not find client")


def test_client_roles_of_a_user(realm):
    id, shop = user(realm), client_uuid(realm, "shop")
    role = realm.get(f"/clients/{shop}/roles/reader").json
    path, one = f"/users/{id}/role-mappings/clients/{shop}", [{"id": role["id"], "name": "reader"}]
    assert realm.get(path).json == []
    for _ in range(2):
        assert realm.call("POST", path, one).status == 204
    assert [r["name"] for r in realm.get(path).json] == ["reader"]
    says(realm.call("POST", path, [{"id": NOBODY, "name": "reader"}]), 404, error="Role not found")
    nowhere = f"/users/{id}/role-mappings/clients/{NOBODY}"
    says(realm.call("POST", nowhere, one), 404, error="Client not found")
    assert realm.call("DELETE", path, one).status == 204
    assert realm.get(path).json == []


def test_organizations(realm, customers):
    def names(**query):
        return [o["name"] for o in realm.get("/organizations", **query).json]
    assert names(search="Acme", exact="true") == ["Acme"] == names(search="acme.test", exact="true")
    assert names(search="acme", exact="true") == []
    acme = realm.get("/organizations", search="Acme", exact="true").json[0]["id"]
    members, id = f"/organizations/{acme}/members", user(realm)
    assert realm.get(f"/organizations/{acme}").json["alias"] == "acme"
    says(realm.get(f"/organizations/{NOBODY}"), 404, errorMessage="Organization not found.")
    says(realm.get(f"{members}/{id}"), 404, error="HTTP 404 Not Found")
    assert realm.call("POST", members, json.dumps(id), headers={
        "Content-Type": "application/json"}).status == 201
    says(realm.call("POST", members, json.dumps(id), headers={
        "Content-Type": "application/json"}), 409,
        errorMessage="User is already a member of the organization.")
    assert realm.get(f"{members}/{id}").json["membershipType"] == "UNMANAGED"
    assert [o["id"] for o in realm.get(f"/organizations/members/{id}/organizations").json] == [acme]
    assert realm.call("DELETE", f"{members}/{id}").status == 204
    says(realm.call("DELETE", f"{members}/{id}"), 404, error="HTTP 404 Not Found")
    says(customers.get("/organizations"), 403, error="HTTP 403 Forbidden")


# ---- what host.keycloak makes of it

CALLS = """
local kc, json, log = require "host.keycloak", require "host.json", require "host.log"
local M = {}

local function names(list)
  local out = {}
  for i, one in ipairs(list) do out[i] = one.name end
  table.sort(out)
  return table.concat(out, " ")
end

function M.handle(msg)
  local name = msg.json.name
  local function say(case, value) log.info("told", { case = case, value = tostring(value) }) end
  local function fails(case, f, ...)
    local ok, e = pcall(f, ...)
    say(case, ok and "went well" or ("%s %s %s: %s"):format(e.kind, e.retryable,
      e.target_failed or false, e.message))
  end
  local users, orgs = kc.users, kc.organizations
  local id = users.create { username = name, email = name .. "@example.org", firstName = "Ada",
    lastName = "King" }

  say("merged", select(2, users.merge(id, { firstName = "Augusta", email = name:upper()
    .. "@example.org" })))
  say("same again", select(2, users.merge(id, { firstName = "Augusta", enabled = true,
    emailVerified = false })))
  local user = users.get(id)
  say("after", user.firstName .. " " .. user.lastName .. " " .. user.email)
  users.merge(id, { firstName = json.null })
  say("taken away", users.get(id).firstName)
  fails("nobody", users.merge, "00000000-0000-0000-0000-000000000000", { firstName = "x" })
  fails("bad merge", users.merge, id, { email = "none" })
  fails("groups", users.merge, id, { groups = { "/customers" } })

  users.set_password(id, "open sesame")
  say("password", #users.get(id).requiredActions)
  users.set_password(id, "open sesame", { temporary = true })
  say("temporary", users.get(id).requiredActions[1])
  fails("no password", users.set_password, id)

  users.execute_actions(id, { "UPDATE_PASSWORD", "VERIFY_EMAIL" }, { lifespan = 600 })
  users.verify_email(id)
  fails("no such client", users.verify_email, id, { client_id = "nobody" })
  fails("no such action", users.execute_actions, id, { "NO_SUCH" })
  fails("no action", users.execute_actions, id, {})
  fails("no client", users.verify_email, id, { redirect_uri = "http://x" })
  users.update(id, { enabled = false })
  fails("disabled", users.execute_actions, id, { "UPDATE_PASSWORD" })

  users.roles.add(id, { "reader", "big spender" }, "shop")
  say("client roles", names(users.roles.list(id, "shop")))
  users.roles.remove(id, "reader", "shop")
  say("client roles left", names(users.roles.list(id, "shop")))
  fails("no such role", users.roles.add, id, "none", "shop")
  fails("no such client of roles", users.roles.add, id, "none", "nobody")

  say("organization", orgs.find("acme.test").name)
  say("no organization", orgs.find("nowhere"))
  say("joined", orgs.members.add("Acme", id))
  say("joined again", orgs.members.add(orgs.find("Acme"), id))
  say("member", orgs.members.has("Acme", id))
  say("no member", orgs.members.has("Other", id))
  say("organizations", names(orgs.of(id)))
  say("left", orgs.members.remove("Acme", id))
  say("left again", orgs.members.remove("Acme", id))
  fails("no such organization", orgs.members.add, "nowhere", id)
  say("by id", orgs.get(orgs.find("Acme").id).alias)
  say("not by id", orgs.get("00000000-0000-0000-0000-000000000000"))
end
return M
"""


def test_calls(tmp_path, elasticmq, elasticmq_sqs, server, realm):
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server, "members")
    name = fresh()
    r.cases["calls"] = {"name": name}
    r.work(CALLS)
    said = {e["case"]: e["value"] for e in r.log if e.get("msg") == "told"}
    expected = {
        "merged": "true", "same again": "false", "after": f"Augusta King {name}@example.org",
        "taken away": "nil", "nobody": "keycloak true false", "groups": "usage",
        "bad merge": "invalid false false", "password": "0", "temporary": "UPDATE_PASSWORD",
        "no password": "usage", "no such client": "keycloak true false",
        "no such action": "keycloak true false", "no action": "usage", "no client": "usage",
        "disabled": "invalid false false", "client roles": "big spender reader",
        "client roles left": "big spender", "no such role": "keycloak true false",
        "no such client of roles": "keycloak true false", "organization": "Acme",
        "no organization": "nil", "joined": "true", "joined again": "false", "member": "true",
        "no member": "false", "organizations": "Acme", "left": "true", "left again": "false",
        "no such organization": "keycloak true false", "by id": "acme", "not by id": "nil",
    }
    assert set(said) == set(expected)
    for case, words in expected.items():
        assert said[case] == words or said[case].startswith(words + " ") \
            or said[case].startswith(words + ":"), (case, said[case])
    assert "role of client shop none" in said["no such role"]
    assert "client nobody" in said["no such client of roles"]
    if server.mails:
        assert len(server.mails.to(name + "@example.org")) == 2
    merges = [e for e in r.wire.log() if e["method"] == "PUT" and
              re.search("/users/[^/]+$", e["path"])]
    assert json.loads(merges[0]["req"]) == {"firstName": "Augusta"}  # the e-mail is the same


def test_mails_that_cannot_be_sent_are_not_keycloaks_failure(tmp_path, elasticmq, elasticmq_sqs,
                                                             server):
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server, "customers")
    r.cases["mail"] = {"rep": person(fresh())}
    r.work("""
local kc, log = require "host.keycloak", require "host.log"
return { handle = function(msg)
  local user = kc.users.ensure(msg.json.rep)
  local _, e = pcall(kc.users.execute_actions, user.id, { "UPDATE_PASSWORD" })
  log.info("told", { case = "mail", kind = e.kind, retryable = e.retryable, text = e.message,
    target_failed = e.target_failed == true })
end }
""")
    told = r.one("mail")
    assert (told["kind"], told["retryable"], told["target_failed"]) == ("keycloak", True, False)
    assert "Failed to send execute actions email" in told["text"] and "SMTP" in told["text"]


@pytest.fixture(scope="module")
def ensured(tmp_path_factory, elasticmq, elasticmq_sqs, server, realm):
    r = Run(tmp_path_factory.mktemp("ensured"), elasticmq, elasticmq_sqs, server, "members")
    roles = {"clientRoles": {"shop": ["reader", "big spender"], "billing": "payer"},
             "realmRoles": ["customer"], "groups": ["/customers"]}
    r.add("new", person(fresh(), **roles))
    half = person(fresh())
    r.add("half done", {**half, **roles}, half=half)
    for case, more in (("self-registered", {"runs": 2}), ("adopted", {"opts": {"adopt": True}})):
        own = person(fresh())
        realm.create(enabled=True, **own)
        r.add(case, {**own, **roles}, **more)
    r.add("no such role", person(fresh(), clientRoles={"shop": ["none"]}))
    r.add("no such client", person(fresh(), clientRoles={"nobody": ["none"]}))
    r.add("a list", person(fresh(), clientRoles=["reader"]))
    return r.work(ENSURE)


def roles_of(realm, id, client):
    return {r["name"] for r in realm.get(
        f"/users/{id}/role-mappings/clients/{client_uuid(realm, client)}").json}


@pytest.mark.parametrize("case", ["new", "half done", "adopted"])
def test_ensure_gives_client_roles(ensured, realm, case):
    id = made(ensured.one(case), by_this_message=case != "adopted")
    assert roles_of(realm, id, "shop") == {"reader", "big spender"}
    assert roles_of(realm, id, "billing") == {"payer"}
    assert "customer" in {r["name"] for r in realm.get(f"/users/{id}/role-mappings/realm").json}


def test_ensure_gives_a_strangers_account_none(ensured):
    text = refused(ensured.told("self-registered")[0], "conflict", True)
    assert "role reader of client shop" in text and "adopt" in text


@pytest.mark.parametrize("case, words, kind", [
    ("no such role", "role of client shop none", "keycloak"),
    ("no such client", "no client nobody", "keycloak"),
    ("a list", "clientRoles is a table of client ids", "usage")])
def test_ensure_tells_a_wrong_name_before_anything_is_made(ensured, realm, case, words, kind):
    told = ensured.one(case)
    assert not told["ok"] and told["kind"] == kind and words in told["text"], told
    name = ensured.cases[case]["rep"]["username"]
    assert realm.get("/users", username=name, exact="true").json == []


def test_a_dry_run_knows_clients_and_organizations(tmp_path, server, realm):
    folder = Folder(tmp_path, server.url, CLIENT_SECRET, "members", """
local kc, log = require "host.keycloak", require "host.log"
return { handle = function(msg)
  local id = msg.json.id
  kc.users.roles.add(id, "reader", "shop")
  log.warn("now", { roles = #kc.users.roles.list(id, "shop"),
    joined = kc.organizations.members.add("Acme", id),
    again = kc.organizations.members.add("Acme", id) })
end }
""")
    id = user(realm)
    code, out, err = folder.invoke({"id": id})
    assert code == 0, out + err
    assert "joined=true" in err and "again=false" in err and "roles=1" in err, out + err
    assert roles_of(realm, id, "shop") == set()
    assert realm.get(f"/organizations/members/{id}/organizations").json == []


def test_a_membership_whose_answer_is_lost(tmp_path, elasticmq, elasticmq_sqs, server, realm):
    """It is looked up, and the request is not repeated."""
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server, "members")
    r.wire.tell("fault", times=1, pass_on=True, match={"method": "^POST$", "path": "/members$"})
    r.cases["join"] = {"id": user(realm)}
    r.work("""
local kc, log = require "host.keycloak", require "host.log"
return { handle = function(msg)
  log.info("told", { case = "join", joined = kc.organizations.members.add("Acme", msg.json.id) })
end }
""")
    assert r.one("join")["joined"] is True
    joins = [e for e in r.wire.log() if e["method"] == "POST" and e["path"].endswith("/members")]
    assert len(joins) == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_a_password_whose_answer_is_lost(tmp_path, elasticmq, elasticmq_sqs, server, realm,
                                         arrives):
    """Its date tells whether it was set; the request is not repeated."""
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server, "members")
    r.wire.tell("fault", times=1, pass_on=arrives,
                match={"method": "^PUT$", "path": "/reset-password$"})
    id = user(realm)
    r.cases["password"] = {"id": id}
    r.work("""
local kc, log = require "host.keycloak", require "host.log"
return { handle = function(msg)
  local ok, e = pcall(kc.users.set_password, msg.json.id, "open sesame")
  log.info("told", { case = "password", ok = ok, unknown = not ok and e.outcome_unknown == true })
end }
""")
    told = r.one("password")
    assert (told["ok"], told["unknown"]) == (arrives, not arrives)
    assert len(realm.get(f"/users/{id}/credentials").json) == int(arrives)
    sent = [e for e in r.wire.log() if e["path"].endswith("/reset-password")]
    assert len(sent) == 1
