"""The main job: registrations sent by boto3 end in a real Keycloak, each exactly once."""
import hashlib
import json
import time

import hostproc
import sqs
from keycloak import Realm
from stage import new_stem, registration
from wire import created_name

ENSURE = """
local kc = require "host.keycloak"
local M = {}
function M.handle(msg)
  local u = msg.json.user
  kc.users.ensure { username = u.username, email = u.email, firstName = "FIRST", enabled = true }
end
return M
"""


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def dead_letter_queue(stage):
    dead = sqs.create_queue(stage.queue.sqs, "dead")
    arn = sqs.arn(stage.queue.sqs, dead.url)
    stage.queue.sqs.set_queue_attributes(QueueUrl=stage.queue.url, Attributes={
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})})
    return dead


def test_a_thousand_registrations(big_stage):
    stage, stem, total = big_stage, new_stem(), 1000
    names = {f"{stem}-{n}" for n in range(total)}
    stage.queue.send_many(json.dumps(registration(stem, n)) for n in range(total))
    with stage.host(hostproc.EXAMPLE, "--until-empty") as host:
        assert host.wait_exit(120) == 0, host.text[-4000:]
        settled = host.settled()
    assert stage.queue.is_empty()

    log = stage.wire.log()
    creates = stage.wire.creates(log)
    assert len(creates) == total
    assert {created_name(e) for e in creates} == names
    assert {e["status"] for e in creates} == {201}
    assert not [e for e in log if e["status"] == 409]
    assert not [e for e in log if e["gone"]]
    deletes = list(stage.wire.deletes(log))
    assert len(deletes) == total
    assert not [error for _, _, error in deletes if error]
    received = stage.wire.times_received(log)
    assert len(received) == total
    assert set(received.values()) == {1}
    assert len([e for e in log if e["path"].endswith("/token")]) == 1

    assert {n for n in stage.realm.user_names(stem) if n.startswith(stem)} == names
    assert names <= set(stage.realm.member_names("/customers"))
    assert names <= set(stage.realm.role_holder_names("customer"))
    one = stage.realm.get("/users", username=f"{stem}-7", exact="true").json[0]
    assert (one["enabled"], one["firstName"], one["lastName"]) == (True, "Anna", "Bell")
    assert one["email"] == f"{stem}-7@example.org"

    assert len(settled) == total
    assert {e["outcome"] for e in settled} == {"ack"}
    assert {e["id"] for e in settled} == set(received)


def test_an_edited_handler_changes_the_next_run(stage):
    stem, binary = new_stem(), sha256(hostproc.BINARY)
    for n, first_name in enumerate(("Before", "After")):
        handler = stage.handler(ENSURE.replace("FIRST", first_name))
        stage.queue.send(json.dumps(registration(stem, n)))
        with stage.host(handler, "--until-empty") as host:
            assert host.wait_exit(60) == 0, host.text
        user = stage.realm.get("/users", username=f"{stem}-{n}", exact="true").json[0]
        assert user["firstName"] == first_name
    assert sha256(hostproc.BINARY) == binary


def test_the_same_registration_twice_makes_one_user(stage):
    """Two messages, two ids, one event: the second finds the user and is done."""
    stem = new_stem()
    event = json.dumps(registration(stem, 1))
    stage.queue.send(event)
    with stage.host(hostproc.EXAMPLE, "--until-empty") as host:
        assert host.wait_exit(60) == 0, host.text
    stage.queue.send(event)
    with stage.host(hostproc.EXAMPLE, "--until-empty") as host:
        assert host.wait_exit(60) == 0, host.text
    assert stage.queue.is_empty()
    assert stage.realm.user_names(stem) == [f"{stem}-1"]
    assert [e["status"] for e in stage.wire.creates()].count(201) == 1


def test_somebody_elses_account_is_left_alone(stage):
    """The name is taken by another e-mail: a conflict, not a success, and nobody gets rights."""
    stem, dead = new_stem(), dead_letter_queue(stage)
    user_id = stage.realm.create(username=f"{stem}-1", email=f"other-{stem}@example.org",
                                 enabled=True)
    stage.queue.send(json.dumps(registration(stem, 1)))
    with stage.host(hostproc.EXAMPLE) as host:
        host.wait_for("its outcome", host.settled)
        assert host.settled()[0]["outcome"] == "reject"
        host.term()
        assert host.wait_exit() == 0
    assert stage.realm.get(f"/users/{user_id}/groups").json == []
    assert stage.queue.is_empty()
    assert dead.counts() == (1, 0, 0)


def test_a_client_secret_that_is_rotated(big_stage, keycloak):
    """In Keycloak first, a while later in the file; tokens live for seconds here."""
    stage, stem, sent = big_stage, new_stem(), 0
    path = "/" + stage.realm.realm
    client = keycloak.admin("GET", path + "/clients?clientId=luahost-svc").json[0]["id"]
    keycloak.admin("PUT", path, {"realm": stage.realm.realm, "accessTokenLifespan": 6})
    dead = dead_letter_queue(stage)

    def tokens(*statuses):
        return [e for e in stage.wire.log() if e["path"].endswith("/token")
                and e["status"] in statuses]

    def feed_until(what, probe):
        nonlocal sent
        end = time.monotonic() + 30
        while not probe():
            assert time.monotonic() < end, what
            stage.queue.send(json.dumps(registration(stem, sent)))
            sent += 1
            time.sleep(0.1)

    with stage.host(hostproc.EXAMPLE) as host:
        feed_until("some registered", lambda: len(host.settled()) > 5)
        new = keycloak.admin("POST", f"{path}/clients/{client}/client-secret").json["value"]
        feed_until("a refused token", lambda: tokens(400, 401))
        refused = tokens(400, 401)[-1]["n"]
        stage.secret("client-secret", new)
        feed_until("a token again", lambda: [e for e in tokens(200) if e["n"] > refused])
        host.wait_for("all registered", lambda: len(host.settled()) >= sent)
        host.term()
        assert host.wait_exit() == 0, host.text[-4000:]
        assert new not in host.text
        assert {e["outcome"] for e in host.settled()} == {"ack"}
    log = stage.wire.log()
    assert set(stage.wire.times_received(log).values()) == {1}
    assert sorted(created_name(e) for e in stage.wire.creates(log) if e["status"] == 201) == \
        sorted(f"{stem}-{n}" for n in range(sent))
    assert stage.queue.is_empty() and dead.is_empty()
    realm = Realm(keycloak.url, stage.realm.realm, client_secret=new)
    assert len(realm.member_names("/customers")) == sent
