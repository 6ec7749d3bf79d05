"""What the shared store promises (src/seam.h, struct shared), asked of DynamoDB Local and of moto:
two independent implementations of conditional writes. The store runs without the rest of the host
(tests/tools/claims.c). TTL deletes nothing here: expiry is compared, never trusted to deletion.
"""
import hashlib
import os
import time

import pytest

import procs
import sqs
from dynamodb import Claimer, DynamoDBLocal, MotoTables, Table
from servers import cache_folder
from wire import Wire

A, B, C = "a1", "b2", "c3"
GRACE = 2.0  # CLAIM_TABLE_GRACE_MS


@pytest.fixture(scope="module", params=["dynamodb", "moto"])
def server(request, log_dir):
    running = DynamoDBLocal(cache_folder(), log_dir) if request.param == "dynamodb" else \
        MotoTables(log_dir)
    running.start().wait()
    yield running
    running.stop()


@pytest.fixture
def table(server):
    return Table(server)


@pytest.fixture
def store(table):
    with Claimer(table) as one:
        yield one


@pytest.fixture
def wire(tmp_path, server):
    proxy = Wire(str(tmp_path / "wire.jsonl"), tables=server.url)
    yield proxy
    proxy.stop()


def updates(wire):
    return [e for e in wire.log() if e["target"] == "UpdateItem"]


def assert_sent(wire, count):
    """The proxy writes a request down after it was answered."""
    procs.wait_until("requests", lambda: len(updates(wire)) >= count, 10)
    assert len(updates(wire)) == count


def hash_of(body):
    return hashlib.sha256(body.encode()).hexdigest()


def only_item(table):
    (key, item), = table.items().items()
    return key, item


# -- the rules

def test_a_claim_is_an_item_that_says_all(table, store):
    before = time.time()
    assert store.claim("order-17", "body", A, 30000) == "ok"
    key, item = only_item(table)
    assert key == "eu-central-1/0/q/key:order-17"
    assert item["token"] == A + "0" * 30
    assert 28 < item["until"] / 1000 - before < 33
    assert 3600 < item["expires"] - before < 3700
    assert set(item) == {"token", "until", "expires"}


def test_foreign_claims_are_refused_with_their_time(store):
    assert store.claim("k", "body", A, 30000) == "ok"
    for body in ("body", "another"):
        refusal = store.one(f"claim k {body} {B} 30000")
        assert refusal["answer"] == "held"
        assert 25000 < refusal["wait_ms"] <= 30000 + GRACE * 1000


def test_the_own_token_renews(table, store):
    assert store.claim("k", "body", A, 5000) == "ok"
    first = only_item(table)[1]["until"]
    time.sleep(0.05)
    assert store.claim("k", "body", A, 5000) == "ok"
    assert only_item(table)[1]["until"] > first


def test_an_expired_claim_is_taken_over(store):
    assert store.claim("k", "body", A, 1000) == "ok"
    assert store.claim("k", "body", B) == "held"
    began = time.monotonic()
    procs.wait_until("takeover", lambda: store.claim("k", "body", B) == "ok", 30)
    assert time.monotonic() - began > 2, "it was taken over before the grace was over"
    assert store.claim("k", "body", A) == "held"
    assert store.free("k", A) == "ok"
    assert store.claim("k", "body", C) == "held", "A freed what was B's"


def test_free_is_the_owners(table, store):
    assert store.claim("k", "body", A) == "ok"
    assert store.free("k", B) == "ok"
    assert store.claim("k", "body", B) == "held"
    assert store.free("k", A) == "ok"
    assert "token" not in only_item(table)[1]
    assert store.free("k", A) == "ok"
    assert store.claim("k", "body", B) == "ok"


def test_free_of_what_was_never_claimed(table, store):
    assert store.free("nothing", A) == "ok"
    assert table.items() == {}


def test_what_was_acked_stays_acked(table, store):
    assert store.claim("k", "body", A) == "ok"
    assert store.done("k", "body", A) == "ok"
    _, item = only_item(table)
    assert set(item) == {"expires", "done_" + hash_of("body")}
    assert store.claim("k", "body", B) == "acked"
    assert store.claim("k", "other", B) == "ok", "another body is another event"
    assert store.claim("k", "body", C) == "acked"
    assert store.free("k", B) == "ok"
    assert store.claim("k", "body", A) == "acked"


def test_done_is_repeated_after_a_lost_answer(table, store):
    assert store.claim("k", "body", A) == "ok"
    assert store.done("k", "body", A) == "ok"
    assert store.done("k", "body", A) == "ok"
    assert store.claim("k", "body", B) == "acked"


def test_done_without_a_claim_leaves_the_claim_of_another(table, store):
    """A run that was unfenced, or outlived its claim."""
    assert store.claim("k", "other", B) == "ok"
    assert store.done("k", "body", A) == "ok"
    assert store.claim("k", "other", C) == "held"
    assert store.claim("k", "body", C) == "acked"
    assert store.done("new", "body", A) == "ok"
    assert store.claim("new", "body", B) == "acked"


def test_a_renewal_learns_that_the_body_was_acked(store):
    assert store.claim("k", "body", A) == "ok"
    assert store.done("k", "body", B) == "ok"
    assert store.claim("k", "body", A) == "acked"


def test_what_was_acked_is_forgotten_in_time(store):
    assert store.done("k", "body", A, 500) == "ok"
    assert store.claim("k", "body", B) == "acked"
    procs.wait_until("forgetting", lambda: store.claim("k", "body", B) == "ok", 30)


def test_only_the_last_bodies_are_remembered(table, store):
    for n in range(12):
        assert store.done("k", f"body-{n}", A, 60000 + n) == "ok"
    remembered = {name for name in only_item(table)[1] if name.startswith("done_")}
    assert remembered == {"done_" + hash_of(f"body-{n}") for n in range(4, 12)}
    assert store.claim("k", "body-11", A) == "acked"
    assert store.claim("k", "body-0", A) == "ok"


def test_claims_that_are_asked_for_at_once(server, table, store):
    """More than go on the wire together; and of two hosts that claim the same keys, one gets each.
    (moto, in its one thread, is slow.)"""
    count = 20 if server.name == "moto-tables" else 60
    with Claimer(table) as other:
        other.begin(*(f"claim k{n} body {B} 30000" for n in range(count)))
        store.begin(*(f"claim k{n} body {A} 30000" for n in range(count)))
        for mine, theirs in zip(store.end(count), other.end(count)):
            assert sorted([mine["answer"], theirs["answer"]]) == ["held", "ok"]


# -- keys

def test_queues_share_a_table(table, store):
    assert store.claim("k", "body", A) == "ok"
    with Claimer(table, scope="eu-central-1/0/other") as other:
        assert other.claim("k", "body", B) == "ok"
    assert len(table.items()) == 2


@pytest.mark.parametrize("length", [900, 2048, 8000])
def test_long_keys(table, store, length):
    long = "k" * length
    assert store.claim(long, "body", A) == "ok"
    assert store.claim(long, "body", B) == "held"
    assert store.claim(long[:-1] + "x", "body", B) == "ok"
    keys = set(table.items())
    expected = f"eu-central-1/0/q/key:{long}" if length == 900 else \
        f"eu-central-1/0/q/sha256:{hash_of(long)}"
    assert expected in keys
    if length > 1024:
        assert store.claim(f"sha256:{hash_of(long)}", "body", C) == "ok", "a forged hash met it"


def test_odd_keys(store):
    for n, key in enumerate(['"', "\\", "{}", "#t", "ключ", "𝄞", "a/key:b", "'", "null"]):
        assert store.claim(key, "body", A) == "ok"
        assert store.claim(key, "body", B) == "held", key


# -- bad days

def test_a_lost_answer_of_a_claim_that_took_effect(table, wire):
    wire.tell("fault", match={"target": "UpdateItem"}, times=1, pass_on=True)
    with Claimer(table, wire.url["tables"]) as store:
        assert store.claim("k", "body", A) == "ok"
        assert store.claim("k", "body", B) == "held"
    assert_sent(wire, 3)
    assert [e["status"] for e in updates(wire)] == [200, 200, 400]


@pytest.mark.parametrize("code,status", [
    ("com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", 400),
    ("com.amazon.coral.availability#ThrottlingException", 400),
    ("com.amazonaws.dynamodb.v20120810#RequestLimitExceeded", 400),
    ("com.amazonaws.dynamodb.v20120810#TransactionConflictException", 400),
    ("com.amazonaws.dynamodb.v20120810#InternalServerError", 500),
])
def test_a_busy_table_is_asked_again(table, wire, code, status):
    wire.tell("fault", match={"target": "UpdateItem"}, times=2, status=status,
              body='{"__type":"%s","message":"slow down"}' % code)
    with Claimer(table, wire.url["tables"]) as store:
        assert store.claim("k", "body", A) == "ok"
    assert_sent(wire, 3)


def test_a_table_that_stays_busy_is_away(table, wire):
    wire.tell("fault", match={"target": "UpdateItem"}, times=99, status=400,
              body='{"__type":"com.amazonaws.dynamodb.v20120810#'
                   'ProvisionedThroughputExceededException","message":"too much"}')
    with Claimer(table, wire.url["tables"]) as store:
        answer = store.one(f"claim k body {A} 30000")
    assert answer["answer"] == "away"
    for word in ("ProvisionedThroughputExceeded", table.name, sqs.REGION, "raise the table's"):
        assert word in answer["text"]
    assert_sent(wire, 5)


def test_a_server_that_does_not_answer_is_away_in_time(table, wire):
    wire.tell("delay", method="POST", path="/", before=20)
    with Claimer(table, wire.url["tables"]) as store:
        began = time.monotonic()
        answers = store.all(*(f"claim k{n} body {A} 30000" for n in range(50)))
        assert time.monotonic() - began < 9
    assert {a["answer"] for a in answers} == {"away"}
    assert all(a["text"] for a in answers)


@pytest.mark.parametrize("code,words", [
    ("com.amazon.coral.service#AccessDeniedException", ["dynamodb:UpdateItem", "policy"]),
    ("com.amazon.coral.service#UnrecognizedClientException", ["AWS_ACCESS_KEY_ID"]),
    ("com.amazon.coral.service#ExpiredTokenException", ["session token"]),
])
def test_denied(table, wire, code, words):
    wire.tell("fault", match={"target": "UpdateItem"}, times=99, status=400,
              body='{"__type":"%s","message":"no"}' % code)
    with Claimer(table, wire.url["tables"]) as store:
        answer = store.one(f"claim k body {A} 30000")
    assert answer["answer"] == "fault"
    for word in words + [table.name]:
        assert word in answer["text"]
    assert_sent(wire, 1)  # only a person can help


def test_a_missing_table(server):
    class Missing:
        name = "claims-that-are-not"
    Missing.server = server
    with Claimer(Missing) as store:
        answer = store.one(f"claim k body {A} 30000")
    assert answer["answer"] == "fault"
    for word in ("ResourceNotFound", "claims-that-are-not", sqs.REGION, server.url, "create it"):
        assert word in answer["text"]


@pytest.mark.parametrize("shape", [{"key": "id"}, {"kind": "N"}, {"sort": "at"}])
def test_other_keys(server, shape):
    with Claimer(Table(server, ttl=None, **shape)) as store:
        answer = store.one(f"claim k body {A} 30000")
    assert answer["answer"] == "fault"
    assert '"key"' in answer["text"] and "no sort key" in answer["text"], answer["text"]


def test_what_is_no_dynamodb(table, wire):
    wire.tell("fault", match={"target": "UpdateItem"}, times=99, status=200, body="<html>hello")
    with Claimer(table, wire.url["tables"]) as store:
        answer = store.one(f"claim k body {A} 30000")
    assert answer["answer"] == "away"
    assert "is this a DynamoDB endpoint?" in answer["text"]


def test_a_refusal_without_its_item(table, wire):
    """A server that does not know ReturnValuesOnConditionCheckFailure."""
    wire.tell("fault", match={"target": "UpdateItem"}, times=99, status=400,
              body='{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",'
                   '"message":"The conditional request failed"}')
    with Claimer(table, wire.url["tables"]) as store:
        answer = store.one(f"claim k body {A} 30000")
        assert answer["answer"] == "fault"
        assert "ReturnValuesOnConditionCheckFailure" in answer["text"]
        assert store.free("k", A) == "ok"


# -- clocks

@pytest.mark.parametrize("ahead", ["+240", "-240"])
def test_hosts_with_wrong_clocks_agree(table, store, ahead, tmp_path):
    """One host's clock is four minutes off: its claim does not end early for the others, nor late."""
    library = os.path.join(os.path.dirname(__file__), "..", "tools", "skew.c")
    shim = str(tmp_path / "skew.so")
    assert os.system(f"cc -shared -fPIC -o {shim} {library} -ldl") == 0
    off = {"LD_PRELOAD": shim, "SKEW_S": ahead, "ASAN_OPTIONS": "verify_asan_link_order=0"}
    with Claimer(table, env=off) as wrong:
        assert wrong.claim("k", "body", A, 4000) == "ok"
        refusal = store.one(f"claim k body {B} 4000")
        assert refusal["answer"] == "held"
        assert 4000 < refusal["wait_ms"] < 8500
        assert wrong.claim("k", "body", A, 4000) == "ok"
        assert store.claim("mine", "body", B, 30000) == "ok"
        refusal = wrong.one(f"claim mine body {A} 4000")
        assert refusal["answer"] == "held" and 28000 < refusal["wait_ms"] < 34500
        procs.wait_until("takeover", lambda: store.claim("k", "body", B) == "ok", 30)
