"""What Keycloak refuses though nothing is wrong with the message: a role that was taken away, tokens
that it does not take, too many requests. The first such answer parks the message that got it and all
others, none of them costs a receive, and work goes on by itself when Keycloak means it again."""
import json
import time

import pytest

import hostproc
import sqs
from stage import Stage, new_stem, registration
from test_registration import dead_letter_queue
from test_sandbox_faults import Faults, Scene

TOTAL = 12


@pytest.fixture(scope="module")
def realm(keycloak):
    return keycloak.new_realm()


@pytest.fixture
def scene(tmp_path, elasticmq, elasticmq_sqs, keycloak, realm):
    """Tokens live for four seconds; a dead-letter queue must stay empty."""
    stage = Stage(tmp_path, elasticmq, elasticmq_sqs, keycloak, realm)
    stage.stem, stage.dead = new_stem(), dead_letter_queue(stage)
    change_realm(stage, keycloak, accessTokenLifespan=4)
    yield stage
    stage.close()


def change_realm(scene, keycloak, **settings):
    name = scene.realm.realm
    assert keycloak.admin("PUT", "/" + name, {"realm": name, **settings}).status == 204


def send(scene, first, count):
    scene.queue.send_many(json.dumps(registration(scene.stem, n))
                          for n in range(first, first + count))


def start(scene):
    send(scene, 0, 1)
    return scene.host(hostproc.EXAMPLE, breaker={"probe": 1}, queue={"wait": 1})


def check_the_end(scene, host):
    """All registered once, each received once, nothing exhausted."""
    host.wait_for("all registered", lambda: len(host.settled()) == TOTAL, 60)
    host.term()
    assert host.wait_exit() == 0, host.text[-4000:]
    assert {e["outcome"] for e in host.settled()} == {"ack"}
    log = scene.wire.log()
    assert set(scene.wire.times_received(log).values()) == {1}
    made = [e for e in scene.wire.creates(log) if e["status"] == 201]
    assert len(made) == len({e["req"] for e in made}) == TOTAL
    assert scene.queue.is_empty() and scene.dead.is_empty()


def check_that_it_waits(scene, host, seconds):
    """Parked, not hammering: about one probe a second, and they take turns. No receive is begun."""
    host.wait_says("receiving nothing", "parked")
    host.wait_for("all that came to be parked", lambda: len(
        {e["id"] for e in host.log() if e["msg"] == "parked"}) ==
        len(scene.wire.times_received()) - 1)
    time.sleep(2)  # a poll that was open when the target went down has ended
    mark = len(scene.wire.log())
    time.sleep(seconds)
    log = scene.wire.log()[mark:]
    refused = [e for e in log if e["status"] in (400, 401, 403)]
    assert len(refused) <= 2 * (seconds + 1)  # a token, too, may be asked for twice
    assert not [e for e in log if e["target"] == "ReceiveMessage"]


def test_a_role_that_is_taken_away_for_a_while(scene, keycloak):
    path = "/" + scene.realm.realm
    account = keycloak.admin("GET", path + "/users?username=service-account-luahost-svc").json[0]
    client = keycloak.admin("GET", path + "/clients?clientId=realm-management").json[0]["id"]
    roles = f"{path}/users/{account['id']}/role-mappings/clients/{client}"
    manage = [r for r in keycloak.admin("GET", roles).json if r["name"] == "manage-users"]
    with start(scene) as host:
        host.wait_for("the first", lambda: len(host.settled()) == 1)
        assert keycloak.admin("DELETE", roles, manage).status == 204
        time.sleep(4)  # the token of before may still have the role
        send(scene, 1, TOTAL - 1)
        host.wait_says("answered 403", "lacks the role manage-users of realm-management",
                       "target is down")
        try:
            check_that_it_waits(scene, host, 3)
        finally:
            assert keycloak.admin("POST", roles, manage).status == 204
        host.wait_says("target is back")
        check_the_end(scene, host)


def test_tokens_that_are_refused_for_a_while(scene, keycloak):
    """Revoked up to a time that is still to come: fresh ones are refused as well."""
    with start(scene) as host:
        host.wait_for("the first", lambda: len(host.settled()) == 1)
        change_realm(scene, keycloak, notBefore=int(time.time()) + 12)
        send(scene, 1, TOTAL - 1)
        host.wait_says("answered 401", "it refused a fresh token", "target is down")
        check_that_it_waits(scene, host, 2)
        host.wait_says("target is back")
        check_the_end(scene, host)


def test_one_refused_token_is_replaced_in_passing(scene, keycloak):
    """Revoked up to now: 401, a fresh token, and the same request again; nothing is parked."""
    change_realm(scene, keycloak, accessTokenLifespan=300)
    with start(scene) as host:
        host.wait_for("the first", lambda: len(host.settled()) == 1)
        time.sleep(1.1)  # tokens are dated in whole seconds
        change_realm(scene, keycloak, notBefore=int(time.time()))
        send(scene, 1, TOTAL - 1)
        check_the_end(scene, host)
        assert "parked" not in host.text and "is down" not in host.text
    assert [e for e in scene.wire.log() if e["status"] == 401 and "/admin/" in e["path"]]


def test_a_client_that_is_disabled_for_a_while(scene, keycloak):
    """No token at all: the server of the tokens is the target."""
    path = "/" + scene.realm.realm
    client = keycloak.admin("GET", path + "/clients?clientId=luahost-svc").json[0]
    with start(scene) as host:
        host.wait_for("the first", lambda: len(host.settled()) == 1)
        keycloak.admin("PUT", f"{path}/clients/{client['id']}", {**client, "enabled": False})
        time.sleep(4)
        send(scene, 1, TOTAL - 1)
        host.wait_says("no token from Keycloak", 'for client "luahost-svc"', "target is down")
        try:
            check_that_it_waits(scene, host, 2)
        finally:
            keycloak.admin("PUT", f"{path}/clients/{client['id']}", {**client, "enabled": True})
        host.wait_says("target is back")
        check_the_end(scene, host)


def test_too_many_requests_trip_nothing(tmp_path, sandbox, sandbox_sqs):
    """429: the message comes back after Retry-After and a backoff on top; the others go on."""
    faults = Faults(sandbox.url)
    scene = Scene(tmp_path, sandbox, sqs.client(sandbox.queue_url), faults)
    scene.config["retry"] = {"base": 2}
    faults.on({"fault": "throttle", "operation": "POST /admin/realms/*/users", "times": 3,
               "retry_after": 2})
    try:
        scene.queue.send_many(json.dumps(registration(scene.stem, n)) for n in range(TOTAL))
        with hostproc.Host(scene.folder, hostproc.EXAMPLE, scene.config) as host:
            host.wait_for("an empty queue", scene.queue.is_empty)
            host.term()
            assert host.wait_exit() == 0
            retried = [e for e in host.settled() if e["outcome"] == "retry"]
            assert len(retried) == 3 and "is down" not in host.text
            assert all("answered 429" in e["reason"] and 3 <= e["again_s"] <= 4 for e in retried)
            assert len(host.settled()) == TOTAL + 3
    finally:
        faults.off()
