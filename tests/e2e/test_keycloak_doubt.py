"""users.ensure when nobody knows what became of a request: it is looked up before anything is sent
again, and one account comes of it, by a real Keycloak and by the stand-in.

One host works off all events of a server; the proxy does to each event's request what its case says.
"""
import json
import uuid

import pytest

from keycloak import Realm
from stage import Stage

HANDLER = """local host = require "host"
local kc = require "host.keycloak"
local log = require "host.log"
local M = {}
function M.handle(msg)
  local ok, user, created = pcall(kc.users.ensure, msg.json)
  local e = ok and {} or user
  log.info("told", { name = msg.json.username, attempt = msg.attempt, ok = ok,
    created = created == true, kind = e.kind or "", retryable = e.retryable == true,
    status = e.status or 0, text = e.message or "" })
  if not ok and e.retryable then return host.retry { after = 0 } end
end
return M
"""

UNKNOWN = '{"error":"unknown_error"}'
LOST = {"pass_on": True}           # carried out, its answer is lost
STOPPED = {}                       # read, never carried out, no answer
HTML = {"body": "<html>bad gateway</html>", "headers": {"X-From": "a gateway"}}

# case: what happens to the POST of the user; POSTs on the wire; what ensure said, run by run.
CREATES = {
    "cut, carried out": (LOST, 1, ["made"]),
    "cut, not carried out": (STOPPED, 2, ["retry", "made"]),
    "500, carried out": ({**LOST, "status": 500, "body": UNKNOWN}, 1, ["made"]),
    "500, not carried out": ({"status": 500, "body": UNKNOWN}, 2, ["retry", "made"]),
    "409 from the commit, carried out": ({**LOST, "status": 409, "body": UNKNOWN}, 1, ["made"]),
    "409 from the commit, not carried out":
        ({"status": 409, "body": UNKNOWN}, 2, ["retry", "made"]),
    "502 of a gateway, carried out": ({**LOST, **HTML, "status": 502}, 1, ["made"]),
    "503 of a gateway, not carried out": ({**HTML, "status": 503}, 2, ["retry", "made"]),
    "timeout, carried out": ({**LOST, "after": 2.5}, 1, ["made"]),
    "timeout, not carried out": ({"after": 2.5}, 2, ["retry", "made"]),
    "201 without a Location": ({**LOST, "status": 201}, 1, ["retry", "made"]),
}


def person():
    name = "d" + uuid.uuid4().hex[:10]
    return {"username": name, "email": name + "@example.org"}


class Doubts:
    """Events, what the proxy does to their requests, and what came of it."""

    def __init__(self, stage):
        self.stage, self.people = stage, {}

    def add(self, case, fault=None, path="/users$", req=None, **more):
        who = self.people[case] = {**person(), **more}
        if fault is not None:
            self.stage.wire.tell("fault", times=1, match={
                "method": "^POST$", "path": path, "req": req or who["username"]}, **fault)
        return who

    def work(self):
        self.stage.queue.send_many(json.dumps(who) for who in self.people.values())
        handler = self.stage.handler(HANDLER)
        with self.stage.host(handler, "--until-empty", "--log-format", "json", queue={"wait": 1},
                             http={"timeout": 1.5}, workers={"max": 1}) as host:
            assert host.wait_exit(90) == 0, host.text
            self.lines = [e for e in host.log() if e.get("msg") == "told"]
        self.log = self.stage.wire.log()
        return self

    def told(self, case):
        """What ensure said of a case, run by run."""
        words = []
        for e in self.lines:
            if e["name"] == self.people[case]["username"]:
                words.append(("made" if e["created"] else "there") if e["ok"]
                             else "retry" if e["retryable"] else e["kind"])
        return words

    def wire_of(self, case):
        """Requests about a case's user, by name: ("POST" or "GET", status of the server)."""
        name = self.people[case]["username"]
        return [(e["method"], e["status"]) for e in sorted(self.log, key=lambda e: e["t0"])
                if e["route"] == "keycloak" and e["path"].partition("?")[0].endswith("/users")
                and name in e["path"] + e["req"]]


@pytest.fixture(scope="module")
def doubts(tmp_path_factory, elasticmq, elasticmq_sqs, server, realm):
    stage = Stage(tmp_path_factory.mktemp("doubts"), elasticmq, elasticmq_sqs, server)
    d = Doubts(stage)
    for case, (fault, _, _) in CREATES.items():
        d.add(case, fault, groups=["/customers"])
    d.add("carried out late", {**LOST, "before": 2.5}, groups=["/customers"])
    who = person()
    d.add("cut, in capitals", LOST, req=who["username"].upper(), groups=["/customers"],
          **{field: value.upper() for field, value in who.items()})
    who = d.add("the look-up fails as well", LOST, groups=["/customers"])
    stage.wire.tell("fault", times=1, status=503, match={
        "method": "^GET$", "path": r"/users\?.*" + who["username"]})
    who = d.add("409 from the commit, somebody else's", {"status": 409, "body": UNKNOWN})
    realm.create(enabled=True, username=who["username"], email="other-" + who["email"])
    who = d.add("409 from the commit, all that is wanted", {"status": 409, "body": UNKNOWN})
    realm.create(enabled=True, username=who["username"], email=who["email"])
    who = d.add("a database without accents", {
        "status": 409, "body": '{"errorMessage":"User exists with same email"}'},
        username=f"ü{person()['username']}", email=f"ü{person()['email']}", groups=["/customers"])
    plain = {field: who[field].replace("ü", "u") for field in ("username", "email")}
    stage.wire.tell("fault", times=-1, status=200, body=json.dumps([{"id": "of-another", **plain}]),
                    match={"method": "^GET$", "path": r"/users\?.*%C3%BC"})
    role_posts = "/role-mappings/realm$"
    d.add("role, carried out", LOST, role_posts, '"gold customer"', realmRoles=["gold customer"])
    d.add("role, not carried out", STOPPED, role_posts, '"customer"', realmRoles=["customer"])
    yield d.work()
    stage.close()


def check_account(doubts, realm, case):
    who = doubts.people[case]
    found = realm.get("/users", search=who["username"]).json
    assert [(u["username"], u["email"]) for u in found] == \
        [(who["username"].lower(), who["email"].lower())]
    groups = realm.get(f"/users/{found[0]['id']}/groups").json
    assert [g["path"] for g in groups] == who.get("groups", [])
    roles = realm.get(f"/users/{found[0]['id']}/role-mappings/realm").json
    assert {r["name"] for r in roles} == {"default-roles-customers", *who.get("realmRoles", [])}


def check_no_blind_repeat(wire):
    """Between two POSTs of a user somebody looked."""
    methods = [m for m, _ in wire]
    assert not any(a == b == "POST" for a, b in zip(methods, methods[1:])), wire


@pytest.mark.parametrize("case", CREATES)
def test_a_create_in_doubt(doubts, realm, case):
    _, posts, told = CREATES[case]
    assert doubts.told(case) == told
    check_account(doubts, realm, case)
    wire = doubts.wire_of(case)
    assert [m for m, _ in wire].count("POST") == posts, wire
    assert [s for m, s in wire if m == "POST"].count(201) == 1, wire
    assert any(m == "GET" for m, _ in wire)
    check_no_blind_repeat(wire)


def test_a_create_that_is_carried_out_late(doubts, realm):
    """After the look-up, when the next run may be posting already: Keycloak makes one of the two."""
    told = doubts.told("carried out late")
    assert told[-1] == "made" and set(told[:-1]) <= {"retry"}, told
    check_account(doubts, realm, "carried out late")
    wire = doubts.wire_of("carried out late")
    assert [s for m, s in wire if m == "POST"].count(201) == 1, wire
    check_no_blind_repeat(wire)


def test_capitals_are_looked_up_as_keycloak_keeps_them(doubts, realm):
    assert doubts.told("cut, in capitals") == ["made"]
    check_account(doubts, realm, "cut, in capitals")


def test_a_look_up_that_fails_as_well(doubts, realm):
    assert doubts.told("the look-up fails as well") == ["retry", "made"]
    check_account(doubts, realm, "the look-up fails as well")
    wire = doubts.wire_of("the look-up fails as well")
    assert [m for m, _ in wire].count("POST") == 1, wire


def test_a_lost_race_is_not_taken_for_ones_own(doubts):
    assert doubts.told("409 from the commit, somebody else's") == ["conflict"]
    assert doubts.told("409 from the commit, all that is wanted") == ["there"]


def test_a_database_without_accents_decides_nothing(doubts):
    """Asked for ü it answers with u: an account of somebody else, and no group for that one."""
    assert doubts.told("a database without accents") == ["conflict"]
    assert [e["text"] for e in doubts.lines if "of-another" in e["text"]]
    assert not [e for e in doubts.log if "of-another" in e["path"]]


@pytest.mark.parametrize("case, posts", [("role, carried out", 1), ("role, not carried out", 2)])
def test_a_role_in_doubt(doubts, realm, case, posts):
    assert doubts.told(case) == ["retry", "made"]
    check_account(doubts, realm, case)
    assert [m for m, _ in doubts.wire_of(case)].count("POST") == 1
    role = doubts.people[case]["realmRoles"][0]
    given = [e for e in doubts.log if e["method"] == "POST" and f'"{role}"' in e["req"]
             and e["path"].endswith("/role-mappings/realm")]
    assert len(given) == posts


MAIL_CASES = ("cut, carried out", "500, carried out", "409 from the commit, carried out")


@pytest.fixture(scope="module")
def mail_doubts(tmp_path_factory, elasticmq, elasticmq_sqs, server):
    """A realm that takes the e-mail for the user name, and events that name another one."""
    stage = Stage(tmp_path_factory.mktemp("mail"), elasticmq, elasticmq_sqs, server, "mailnames")
    d = Doubts(stage)
    for case in MAIL_CASES:
        d.add(case, CREATES[case][0])
    yield d.work()
    stage.close()


@pytest.mark.parametrize("case", MAIL_CASES)
def test_a_create_in_doubt_where_the_email_is_the_name(mail_doubts, server, case):
    assert mail_doubts.told(case) == ["made"]
    who = mail_doubts.people[case]
    found = Realm(server.url, "mailnames").get("/users", search=who["username"]).json
    assert [u["username"] for u in found] == [who["email"]]
    assert [m for m, _ in mail_doubts.wire_of(case)].count("POST") == 1
