"""host.keycloak as handlers use it, on a real Keycloak and on the stand-in in the binary.

One run of host per realm and rights works off a table of events; each event's handler says in the
log what it was told. What Keycloak holds afterwards is then looked at from outside.
"""
import json
import uuid

import pytest

import procs
from hostproc import Host
from keycloak import Realm
from sqs import create_queue
from wire import Wire

HANDLER = """
local host = require "host"
local kc = require "host.keycloak"
local log = require "host.log"
local M = {}

local function report(case, msg, ok, user, created)
  local e = ok and {} or user
  if type(e) ~= "table" then e = { kind = "lua", message = tostring(e) } end
  log.info("told", { case = case, attempt = msg.attempt, ok = ok, user = ok and user.id or "",
    created = ok and created or false, kind = e.kind or "", text = e.message or "",
    retryable = e.retryable == true, target_failed = e.target_failed == true,
    status = e.status or 0 })
end

function M.handle(msg)
  local c = msg.json
  if c.half and msg.attempt == 1 then
    kc.users.ensure(c.half)
    return host.retry { after = 0, reason = "half done on purpose" }
  end
  if c.plain then return kc.users.ensure(c.rep) and true end
  report(c.case, msg, pcall(kc.users.ensure, c.rep, c.opts))
  if c.runs and msg.attempt < c.runs then return host.retry { after = 0 } end
end
return M
"""

CALLS = """
local kc = require "host.keycloak"
local log = require "host.log"
local M = {}

local function names(list)
  local out = {}
  for i, one in ipairs(list) do out[i] = one.path or one.name end
  table.sort(out)
  return table.concat(out, " ")
end

function M.handle(msg)
  local name = msg.json.name
  local function say(case, value) log.info("told", { case = case, value = tostring(value) }) end
  local id = kc.users.create { username = name, email = name .. "@example.org" }
  say("created", id)
  say("enabled", kc.users.get(id).enabled)
  kc.users.update(id, { firstName = "Ada" })
  say("updated", kc.users.get(id).firstName)
  say("found", kc.users.find { email = name:upper() .. "@example.org" }[1].id)
  say("not found", #kc.users.find { username = name .. " +&%/x" })
  kc.users.groups.add(id, "/customers/new")
  kc.users.groups.add(id, kc.groups.find("/staff"))
  say("groups", names(kc.users.groups.list(id)))
  kc.users.groups.remove(id, "/staff")
  say("groups left", names(kc.users.groups.list(id)))
  kc.users.roles.add(id, { "customer", kc.roles.get("gold customer") })
  say("roles", names(kc.users.roles.list(id)))
  kc.users.roles.remove(id, "customer")
  say("roles left", names(kc.users.roles.list(id)))
  say("no group", kc.groups.find("/nowhere"))
  say("no role", kc.roles.get("nobody"))
  local answer, count = kc.request("GET", { "users", id, "groups", "count" })
  say("request", answer.status .. " " .. count.count)
  say("everybody", select(2, pcall(kc.users.find, { username = "" })).kind)
  say("deleted", kc.users.delete(id))
  say("deleted again", kc.users.delete(id))
  say("gone", kc.users.get(id))
end
return M
"""


def fresh():
    return "k" + uuid.uuid4().hex[:10]


def person(name, **more):
    return {"username": name, "email": name + "@example.org", **more}


@pytest.fixture(scope="module")
def mail_realm(server):
    return Realm(server.url, "mailnames")


class Run:
    """Events that one host works off until the queue is empty, and what their handler said."""

    def __init__(self, folder, elasticmq, sqs, server, realm="customers",
                 client=("luahost-svc", "svc-secret-3141")):
        self.folder, self.realm, self.client = str(folder), realm, client
        self.queue = create_queue(sqs, "module", VisibilityTimeout=30)
        self.wire = Wire(f"{self.folder}/wire.jsonl", queue=elasticmq.url, keycloak=server.url)
        self.cases = {}

    def add(self, case, rep, **more):
        self.cases[case] = {"case": case, "rep": rep, **more}
        return rep

    def config(self):
        secret = f"{self.folder}/secret"
        with open(secret, "w") as f:
            f.write(self.client[1])
        return {
            "queue": {"url": f"{self.wire.url['queue']}/000000000000/{self.queue.name}",
                      "endpoint": self.wire.url["queue"], "region": "eu-central-1", "wait": 1},
            "workers": {"min": 1, "max": 1},
            "keycloak": {"url": self.wire.url["keycloak"], "realm": self.realm,
                         "client_id": self.client[0], "client_secret_file": secret},
        }

    def work(self, handler=HANDLER):
        path = f"{self.folder}/handler.lua"
        with open(path, "w") as f:
            f.write(handler)
        self.queue.send_many(json.dumps(c) for c in self.cases.values())
        with Host(self.folder, path, self.config(), "--log-format", "json",
                  "--until-empty") as host:
            assert host.wait_exit(60) == 0, host.text
            self.log = host.log()
        self.wire.stop()
        return self

    def told(self, case):
        """Each run of a case, in order."""
        lines = [e for e in self.log if e.get("msg") == "told" and e.get("case") == case]
        assert lines, [e for e in self.log if e.get("level") != "info"] or self.log
        return lines

    def one(self, case):
        told = self.told(case)
        assert len(told) == 1, told
        return told[0]


def group_paths(realm, user_id):
    return {g["path"] for g in realm.get(f"/users/{user_id}/groups").json}


def role_names(realm, user_id):
    names = {r["name"] for r in realm.get(f"/users/{user_id}/role-mappings/realm").json}
    return {n for n in names if not n.startswith("default-roles-")}


def made(answer, by_this_message=True):
    assert answer["ok"], answer["text"]
    assert answer["created"] is by_this_message, answer
    return answer["user"]


def refused(answer, kind, retryable):
    assert not answer["ok"], answer
    assert (answer["kind"], answer["retryable"]) == (kind, retryable), answer
    return answer["text"]


# ---- a realm with user names, and every right

@pytest.fixture(scope="module")
def run(tmp_path_factory, elasticmq, elasticmq_sqs, server, realm):
    r = Run(tmp_path_factory.mktemp("module"), elasticmq, elasticmq_sqs, server)
    both = {"groups": ["/customers"], "realmRoles": ["customer"]}
    r.add("new", person(fresh(), firstName="Anna", **both))
    r.add("new, a list of one as text", person(fresh(), groups="customers", realmRoles="customer"))
    r.add("nothing but a name", {"username": fresh()})
    r.add("disabled", person(fresh(), enabled=False))

    known = person(fresh())
    r.known_id = realm.create(enabled=True, **known)
    group = realm.group_id("/customers")
    role = realm.get("/roles/customer").json
    realm.call("PUT", f"/users/{r.known_id}/groups/{group}")
    realm.call("POST", f"/users/{r.known_id}/role-mappings/realm", [role])
    r.add("there already", {**known, **both, "firstName": "Other"})
    r.add("there in other letters", {"username": known["username"].upper(), **both,
                                     "email": known["email"].upper()})
    r.add("its name with another e-mail", {**known, "email": fresh() + "@example.org"})
    r.add("its e-mail with another name", {**known, "username": fresh()})
    r.add("its name without an e-mail", {"username": known["username"]})
    r.add("its name alone, asked for", {"username": known["username"]},
          opts={"match": "username"})
    r.add("beyond ASCII", {**person("ÄÖ" + fresh()), "email": "Ü" + fresh() + "@example.org"})
    beyond = {"username": "éü" + fresh(), "email": "ñ" + fresh() + "@example.org"}
    r.beyond_id = realm.create(enabled=True, **beyond)
    r.add("beyond ASCII, in capitals", {k: v.upper() for k, v in beyond.items()})

    dim = person(fresh(), firstName="Ida")
    r.dim_id = realm.create(enabled=False, **dim)
    r.add("there, and different", {**dim, "enabled": True, "firstName": "Other", "lastName": "New",
                                   "emailVerified": True, **both}, opts={"adopt": True})
    dated = person(fresh(), createdTimestamp=1700000000123)
    r.dated_id = realm.create(enabled=True, **dated)
    r.add("made by an earlier copy of the event", {**dated, **both})

    r.add("no such group", person(fresh(), groups=["/customers/nowhere"]))
    r.add("no such role", person(fresh(), realmRoles=["no such"]))
    r.add("role with a blank", person(fresh(), realmRoles=["gold customer"]))
    r.add("invalid twice", {"username": "x", "email": "none"})

    half = person(fresh())
    r.add("half done", {**half, **both}, half=half)
    whole = person(fresh(), **both)
    r.add("done and come again", whole, half=whole)
    nameless = {"username": fresh(), **both}
    r.add("come again without an e-mail", nameless, half={"username": nameless["username"]})

    for case, more in (("self-registered", {}), ("self-registered, adopted", {"adopt": True}),
                       ("self-registered, nothing to give", None)):
        own = person(fresh())
        realm.create(enabled=True, **own)
        if more is None:
            r.add(case, own)
        else:
            r.add(case, {**own, **both}, opts=more, runs=2 if not more else 1)
    return r.work()


def test_a_new_user(run, realm):
    user_id = made(run.one("new"))
    user = realm.get("/users/" + user_id).json
    assert (user["enabled"], user["firstName"]) == (True, "Anna")
    assert group_paths(realm, user_id) == {"/customers"}
    assert role_names(realm, user_id) == {"customer"}


def test_one_group_and_role_as_text(run, realm):
    user_id = made(run.one("new, a list of one as text"))
    assert group_paths(realm, user_id) == {"/customers"}
    assert role_names(realm, user_id) == {"customer"}


def test_enabled_unless_said_otherwise(run, realm):
    assert realm.get("/users/" + made(run.one("nothing but a name"))).json["enabled"] is True
    assert realm.get("/users/" + made(run.one("disabled"))).json["enabled"] is False


@pytest.mark.parametrize("case", ["there already", "there in other letters"])
def test_who_is_there_stays_as_is(run, realm, case):
    assert made(run.one(case), by_this_message=False) == run.known_id
    assert "firstName" not in realm.get("/users/" + run.known_id).json


def test_adopting_changes_nothing_else(run, realm):
    before = {"enabled": False, "emailVerified": False, "firstName": "Ida"}
    assert made(run.one("there, and different"), by_this_message=False) == run.dim_id
    user = realm.get("/users/" + run.dim_id).json
    assert {k: user[k] for k in before} == before
    assert "lastName" not in user
    assert group_paths(realm, run.dim_id) == {"/customers"}


def test_an_event_that_carries_its_own_time(run, realm):
    assert made(run.one("made by an earlier copy of the event")) == run.dated_id
    assert group_paths(realm, run.dated_id) == {"/customers"}
    assert role_names(realm, run.dated_id) == {"customer"}


@pytest.mark.parametrize("case", ["its name with another e-mail", "its e-mail with another name",
                                  "its name without an e-mail"])
def test_somebody_elses_account(run, case):
    assert run.known_id in refused(run.one(case), "conflict", False)


def test_the_name_alone_if_asked_for(run):
    assert made(run.one("its name alone, asked for"), by_this_message=False) == run.known_id


def test_letters_beyond_ascii(run):
    made(run.one("beyond ASCII"))
    answer = run.one("beyond ASCII, in capitals")
    assert made(answer, by_this_message=False) == run.beyond_id


@pytest.mark.parametrize("case, name", [("no such group", "/customers/nowhere"),
                                        ("no such role", "no such")])
def test_a_wrong_name_is_told_before_anything_is_made(run, realm, case, name):
    assert name in refused(run.one(case), "keycloak", True)
    assert realm.get("/users", username=run.cases[case]["rep"]["username"]).json == []


def test_a_role_with_a_blank(run, realm):
    assert role_names(realm, made(run.one("role with a blank"))) == {"gold customer"}


def test_keycloaks_own_words_about_bad_data(run):
    text = refused(run.one("invalid twice"), "invalid", False)
    assert "username: error-invalid-length (3 to 255)" in text
    assert "email: error-invalid-email" in text
    assert "none" not in text


@pytest.mark.parametrize("case", ["half done", "done and come again",
                                  "come again without an e-mail"])
def test_what_the_same_message_began_is_finished(run, realm, case):
    answer = run.one(case)
    assert answer["attempt"] >= 2  # more, if another case took the target down meanwhile
    user_id = made(answer)
    assert group_paths(realm, user_id) == {"/customers"}
    assert role_names(realm, user_id) == {"customer"}
    name = run.cases[case]["rep"]["username"]
    creates = [e for e in run.wire.creates() if json.loads(e["req"])["username"] == name]
    assert [e["status"] for e in creates] == [201]


def test_a_self_registered_account_is_given_nothing(run, realm):
    first, second = run.told("self-registered")
    text = refused(first, "conflict", True)
    assert "adopt" in text and "/customers" in text and "customer" in text
    refused(second, "conflict", False)
    name = run.cases["self-registered"]["rep"]["username"]
    user_id = realm.get("/users", username=name, exact="true").json[0]["id"]
    assert group_paths(realm, user_id) == set()
    assert role_names(realm, user_id) == set()


def test_no_attribute_makes_an_account_ones_own(tmp_path, elasticmq, elasticmq_sqs, server, realm):
    """A dead-letter copy says when its message was first sent; so may anybody who can send."""
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server)
    own = person(fresh())
    user_id = realm.create(enabled=True, **own)
    stamp = realm.get("/users/" + user_id).json["createdTimestamp"]
    failure = json.dumps({"reason": "none", "sent_at": stamp})
    case = {"case": "forged", "rep": {**own, "groups": ["/customers"]}, "runs": 2}
    r.queue.send(json.dumps(case), MessageAttributes={
        "host.failure": {"DataType": "String", "StringValue": failure}})
    for told in r.work().told("forged"):
        assert "adopt" in refused(told, "conflict", told["attempt"] == 1)
    assert group_paths(realm, user_id) == set()


def test_unless_it_is_adopted(run, realm):
    user_id = made(run.one("self-registered, adopted"), by_this_message=False)
    assert group_paths(realm, user_id) == {"/customers"}
    assert role_names(realm, user_id) == {"customer"}


def test_a_self_registered_account_may_be_all_that_is_wanted(run):
    made(run.one("self-registered, nothing to give"), by_this_message=False)


# ---- a realm with the e-mail as user name

@pytest.fixture(scope="module")
def mail_run(tmp_path_factory, elasticmq, elasticmq_sqs, server, mail_realm):
    r = Run(tmp_path_factory.mktemp("mail"), elasticmq, elasticmq_sqs, server, "mailnames")
    r.add("new", person(fresh(), groups=["/customers"]))
    r.add("new, only an e-mail", {"email": fresh() + "@example.org"})
    known = person(fresh())
    r.known_id = mail_realm.create(enabled=True, **known)
    r.add("same", known)
    r.add("another name", {**known, "username": fresh()})
    r.add("capitals", {"email": known["email"].upper()})
    half = person(fresh())
    r.add("half done", {**half, "realmRoles": ["customer"]}, half=half)
    r.add("no e-mail", {"username": fresh()})
    return r.work()


def test_mail_names_new(mail_run, mail_realm):
    for case in ("new", "new, only an e-mail"):
        user = mail_realm.get("/users/" + made(mail_run.one(case))).json
        assert user["username"] == user["email"] == mail_run.cases[case]["rep"]["email"]


@pytest.mark.parametrize("case", ["same", "another name", "capitals"])
def test_mail_names_the_email_alone_counts(mail_run, case):
    assert made(mail_run.one(case), by_this_message=False) == mail_run.known_id


def test_mail_names_half_done(mail_run, mail_realm):
    assert role_names(mail_realm, made(mail_run.one("half done"))) == {"customer"}


def test_mail_names_without_an_email(mail_run):
    assert "email: error-user-attribute-required" in refused(mail_run.one("no e-mail"),
                                                             "invalid", False)


# ---- rights, costs, and the other calls

@pytest.mark.parametrize("client, rep, role", [
    (("luahost-weak", "weak-secret-2718"), {}, "manage-users"),
    (("luahost-weak", "weak-secret-2718"), {"realmRoles": ["customer"]}, "view-realm"),
    (("luahost-none", "none-secret-1618"), {"groups": ["/customers"]}, "view-users"),
], ids=["manage-users", "view-realm", "view-users"])
def test_a_missing_role_is_named(tmp_path, elasticmq, elasticmq_sqs, server, client, rep, role):
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server, client=client)
    r.add("weak", person(fresh(), **rep))
    answer = r.work().one("weak")
    assert role in refused(answer, "keycloak", True)
    assert (answer["target_failed"], answer["status"]) == (True, 403)


def test_what_a_registration_costs(tmp_path, elasticmq, elasticmq_sqs, server):
    """One POST of the user and one of its role; names are looked up once."""
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server)
    for n in range(20):
        r.add(str(n), person(fresh(), groups=["/customers"], realmRoles=["customer"]))
    r.work()
    for n in range(20):
        made(r.one(str(n)))
    calls = [e for e in r.wire.log() if e["path"].startswith("/admin/")]
    assert all(e["status"] < 300 for e in calls)
    assert sum(e["method"] == "POST" and e["path"].endswith("/users") for e in calls) == 20
    assert sum(e["path"].endswith("/role-mappings/realm") for e in calls) == 20
    # A name may be looked up by each of the four messages that one worker starts with.
    assert len(calls) <= 40 + 2 * 4
    assert sum("/protocol/openid-connect/token" in e["path"] for e in r.wire.log()) == 1


def test_a_conflict_that_nobody_catches_is_final(tmp_path, elasticmq, elasticmq_sqs, server, realm):
    known = person(fresh())
    realm.create(enabled=True, **known)
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server)
    r.queue.send(json.dumps({"plain": True, "rep": {**known, "email": "x" + known["email"]}}))
    path = tmp_path / "handler.lua"
    path.write_text(HANDLER)
    with Host(r.folder, path, r.config(), "--log-format", "json") as host:
        host.wait_for("a verdict", host.settled)
        entry = host.settled()[0]
        host.term()
        assert host.wait_exit() == 0, host.text
    r.wire.stop()
    assert entry["note"] == "kept: the queue has no dead-letter queue"  # or it were there now
    assert "another e-mail" in entry["reason"]


def test_the_other_calls(tmp_path, elasticmq, elasticmq_sqs, server):
    r = Run(tmp_path, elasticmq, elasticmq_sqs, server)
    r.cases["calls"] = {"name": fresh()}
    r.work(CALLS)
    said = {e["case"]: e["value"] for e in r.log if e.get("msg") == "told"}
    user_id = said.pop("created")
    assert said == {
        "enabled": "true", "updated": "Ada", "found": user_id, "not found": "0",
        "groups": "/customers/new /staff", "groups left": "/customers/new",
        "roles": "customer default-roles-customers gold customer",
        "roles left": "default-roles-customers gold customer",
        "no group": "nil", "no role": "nil", "request": "200 1", "everybody": "usage",
        "deleted": "true", "deleted again": "false", "gone": "nil",
    }


def test_an_answer_that_is_lost(stage):
    """Keycloak makes the user but its answer comes too late: it is looked up, not made again."""
    name = fresh()
    stage.wire.tell("delay", method="POST", path="/users$", before=0, after=3)
    handler = stage.handler(HANDLER)
    stage.queue.send(json.dumps({"case": "lost", "rep": person(name, realmRoles=["customer"])}))
    with stage.host(handler, "--log-format", "json", http={"timeout": 1}) as host:
        host.wait_for("a verdict", host.settled)
        told = [e for e in host.log() if e.get("msg") == "told"]
        host.term()
        assert host.wait_exit() == 0, host.text
    assert [(e["ok"], e["created"]) for e in told] == [(True, True)], told
    procs.wait_until("the proxy's word on the create", stage.wire.creates, 10)
    assert len(stage.wire.creates()) == 1
    user_id = stage.realm.get("/users", username=name, exact="true").json[0]["id"]
    assert role_names(stage.realm, user_id) == {"customer"}
