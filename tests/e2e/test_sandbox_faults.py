"""Faults that the stand-ins are told to have: what a client sees of each, whether the request was
executed, and registrations that come through all of them."""
import collections
import email.utils
import http.client
import json
import time
import urllib.parse

import botocore.exceptions
import pytest

import hostproc
import procs
import sqs
from keycloak import Realm
from sandbox import Sandbox
from stage import new_stem, registration

DEAD_LINE = (http.client.RemoteDisconnected, ConnectionResetError, http.client.BadStatusLine)
BROKEN = (botocore.exceptions.ConnectionClosedError, botocore.exceptions.EndpointConnectionError,
          botocore.exceptions.HTTPClientError, botocore.exceptions.ResponseStreamingError)
TOKEN = "/realms/customers/protocol/openid-connect/token"
USERS = "/admin/realms/customers/users"
LOGIN = {"grant_type": "client_credentials", "client_id": "luahost-svc",
         "client_secret": hostproc.CLIENT_SECRET}


class Faults:
    """The sandbox's own side door, and plain requests that are never repeated."""

    def __init__(self, url):
        self.url = url
        self.address = urllib.parse.urlsplit(url).netloc

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body); an answer cut short raises IncompleteRead."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def on(self, *faults):
        status, _, body = self.ask("POST", "/_sandbox/faults", json.dumps(faults))
        assert status == 201, body
        return [f["id"] for f in json.loads(body)["faults"]]

    def refused(self, fault):
        text = fault if isinstance(fault, str) else json.dumps(fault)
        status, _, body = self.ask("POST", "/_sandbox/faults", text)
        assert status == 400, body
        return body.decode()

    def list(self):
        return json.loads(self.ask("GET", "/_sandbox/faults")[2])["faults"]

    def hits(self):
        return [f["hits"] for f in self.list()]

    def off(self):
        assert self.ask("DELETE", "/_sandbox/faults")[0] == 204

    def executed(self, operation=None, after=0):
        entries = json.loads(self.ask("GET", f"/_sandbox/log?after={after}")[2])["entries"]
        return [e for e in entries if operation in (None, e["operation"])]

    def mark(self):
        entries = self.executed()
        return entries[-1]["n"] if entries else 0

    # -- Keycloak, by hand

    def login(self):
        return self.ask("POST", TOKEN, urllib.parse.urlencode(LOGIN),
                        {"Content-Type": "application/x-www-form-urlencoded"})

    def token(self):
        status, _, body = self.login()
        assert status == 200, body
        return json.loads(body)

    def admin(self, method, path, token, body=None):
        return self.ask(method, path, body and json.dumps(body), {
            "Authorization": "Bearer " + token, "Content-Type": "application/json"})


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    running = Sandbox(str(tmp_path_factory.mktemp("faults")))
    yield running
    running.stop()


@pytest.fixture
def faults(stand_in):
    control = Faults(stand_in.url)
    yield control
    control.off()


@pytest.fixture
def client(stand_in):
    """A new one each time: it shall not find a connection that a fault of before has cut."""
    return sqs.client(stand_in.queue_url)


@pytest.fixture
def queue(client):
    return sqs.create_queue(client, "faults", VisibilityTimeout=30)


def status_of(call, *args, **kw):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        call(*args, **kw)
    return e.value.response


# ---- each fault on the wire

def test_an_answer_instead(faults, queue):
    faults.on({"fault": "answer", "operation": "SendMessage", "status": 503, "times": 2,
               "retry_after": 7, "headers": {"X-Why": "test"}, "body": {"message": "later"}})
    for _ in range(2):
        seen = status_of(queue.send)["ResponseMetadata"]
        assert seen["HTTPStatusCode"] == 503
        assert seen["HTTPHeaders"]["retry-after"] == "7"
        assert seen["HTTPHeaders"]["x-why"] == "test"
    assert queue.is_empty()
    queue.send()
    assert queue.counts() == (1, 0, 0)
    assert faults.hits() == [2]


def test_an_answer_after_the_request_was_executed(faults, queue):
    faults.on({"fault": "answer", "operation": "SendMessage", "status": 500, "times": 1,
               "when": "after"})
    assert status_of(queue.send)["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert queue.counts() == (1, 0, 0)


def test_throttling(faults, queue):
    faults.on({"fault": "throttle", "times": 2, "retry_after": 3})
    answer = status_of(queue.send)
    assert answer["Error"]["Code"].endswith("RequestThrottled")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    status, headers, _ = faults.login()
    assert (status, headers["Retry-After"]) == (429, "3")
    assert queue.is_empty()


@pytest.mark.parametrize("when, executed", [("before", 0), ("after", 1)])
def test_a_cut_of_the_queue(faults, queue, when, executed):
    mark = faults.mark()
    faults.on({"fault": "cut", "operation": "SendMessage", "when": when, "times": 1})
    with pytest.raises(BROKEN):
        queue.send()
    assert queue.counts() == (executed, 0, 0)
    assert len(faults.executed("SendMessage", mark)) == executed


@pytest.mark.parametrize("when, executed", [("before", 0), ("after", 1)])
def test_a_cut_of_keycloak(faults, when, executed):
    name, token = new_stem(), faults.token()["access_token"]
    faults.on({"fault": "cut", "operation": "POST /admin/realms/*/users", "when": when})
    with pytest.raises(DEAD_LINE):
        faults.admin("POST", USERS, token, {"username": name, "enabled": True})
    found = faults.admin("GET", f"{USERS}?username={name}&exact=true", token)
    assert len(json.loads(found[2])) == executed


def test_a_truncated_answer(faults, queue):
    whole = faults.login()[2]
    faults.on({"fault": "truncate", "operation": f"POST {TOKEN}", "bytes": 20, "times": 1},
              {"fault": "truncate", "operation": "SendMessage", "times": 1})
    with pytest.raises(http.client.IncompleteRead) as e:
        faults.login()
    assert e.value.partial == whole[:20]
    with pytest.raises(BROKEN):
        queue.send()
    assert queue.counts() == (1, 0, 0)


def test_a_truncated_answer_without_any_body_byte(faults):
    faults.on({"fault": "truncate", "server": "keycloak", "bytes": 0})
    with pytest.raises((http.client.IncompleteRead, *DEAD_LINE)):
        faults.login()


@pytest.mark.parametrize("when, executed", [("before", 0), ("after", 1)])
def test_a_delay(faults, stand_in, queue, when, executed):
    faults.on({"fault": "delay", "operation": "SendMessage", "ms": 1500, "when": when, "times": 2})
    start = time.monotonic()
    queue.send()
    assert 1.4 < time.monotonic() - start < 5
    hasty = sqs.client(stand_in.queue_url, read_timeout=0.3)
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        hasty.send_message(QueueUrl=queue.url, MessageBody="x")
    assert queue.counts()[0] == 1 + executed
    procs.wait_until("the late one", lambda: queue.counts()[0] == 2, 5)


def test_a_second_delivery_while_the_first_is_hidden(faults, queue):
    faults.on({"fault": "duplicate"})
    assert queue.receive() == []
    assert faults.hits() == [0]
    queue.send()
    first, second = queue.receive_one(), queue.receive_one(wait=0)
    assert first["MessageId"] == second["MessageId"]
    assert first["ReceiptHandle"] != second["ReceiptHandle"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert queue.receive() == []
    assert queue.counts() == (0, 1, 0)
    assert faults.hits() == [1]
    assert queue.delete(second["ReceiptHandle"]) == "ok"
    assert queue.is_empty()


@pytest.mark.parametrize("when, executed", [("before", 0), ("after", 1)])
def test_entries_of_a_batch_that_fail(faults, queue, when, executed):
    faults.on({"fault": "fail_entries", "operation": "SendMessageBatch", "when": when, "times": 1,
               "code": "Odd", "sender_fault": True, "message": "on purpose"})
    answer = queue.sqs.send_message_batch(QueueUrl=queue.url, Entries=[
        {"Id": "a", "MessageBody": "1"}, {"Id": "b", "MessageBody": "2"}])
    assert answer["Failed"] == [{"Id": "a", "Code": "Odd", "SenderFault": True,
                                 "Message": "on purpose"}]
    assert [e["Id"] for e in answer["Successful"]] == ["b"]
    assert queue.counts() == (1 + executed, 0, 0)


def test_tokens_that_live_for_a_second(faults):
    faults.on({"fault": "short_tokens", "seconds": 1, "times": 1})
    token = faults.token()
    assert token["expires_in"] == 1
    time.sleep(2.1)
    assert faults.admin("GET", USERS, token["access_token"])[0] == 401
    assert faults.token()["expires_in"] == 300


def test_tokens_that_are_revoked(faults):
    token = faults.token()["access_token"]
    assert faults.admin("GET", USERS, token)[0] == 200
    faults.on({"fault": "revoke_tokens", "operation": f"GET {USERS}", "times": 1})
    assert faults.admin("GET", USERS, token)[0] == 401
    assert faults.admin("GET", USERS, token)[0] == 401
    assert faults.admin("GET", USERS, faults.token()["access_token"])[0] == 200


@pytest.mark.parametrize("seconds, words", [(1000, "expired"), (-1000, "not yet current")])
def test_a_clock_too_far_off(faults, queue, seconds, words):
    faults.on({"fault": "clock_skew", "seconds": seconds})
    answer = status_of(queue.send)
    assert answer["Error"]["Code"].rpartition("#")[2] in ("InvalidSignatureException",
                                                           "SignatureDoesNotMatch")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert words in answer["Error"]["Message"]
    date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    off = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    assert abs(off - seconds) < 10
    faults.off()
    queue.send()


def test_a_clock_that_is_off_by_less_than_a_quarter_of_an_hour(faults, queue):
    faults.on({"fault": "clock_skew", "seconds": 600})
    seen = queue.send()["ResponseMetadata"]["HTTPHeaders"]
    off = email.utils.parsedate_to_datetime(seen["date"]).timestamp() - time.time()
    assert abs(off - 600) < 10


# ---- what comes up by itself

def test_the_default_queue_has_a_dead_letter_queue(stand_in, client):
    """Ten receives, and the next one finds nothing."""
    queue, dead = (sqs.Queue(client, f"{stand_in.queue_url}/000000000000/{name}", name)
                   for name in ("registrations", "registrations-dlq"))
    queue.send("poison")
    for _ in range(10):
        queue.receive_one(visibility=0)
    assert queue.receive() == []
    assert dead.receive_one()["Body"] == "poison"
    assert queue.is_empty()


# ---- which requests a fault hits

def test_probability_is_repeatable(faults):
    def drawn(seed):
        faults.off()
        faults.on({"fault": "answer", "status": 503, "probability": 0.3, "seed": seed})
        return [faults.login()[0] for _ in range(60)]

    first = drawn(17)
    assert 5 <= first.count(503) <= 35
    assert drawn(17) == first
    assert drawn(18) != first
    entry = faults.list()[0]
    assert (entry["seen"], entry["hits"]) == (60, drawn(18).count(503))


def test_a_fault_hits_its_own_server_and_operation_only(faults, queue):
    faults.on({"fault": "cut", "server": "keycloak"},
              {"fault": "cut", "operation": "ReceiveMessage"},
              {"fault": "cut", "operation": "DELETE /admin/realms/*/users/*"})
    queue.send()
    with pytest.raises(BROKEN):
        queue.receive()
    with pytest.raises(DEAD_LINE):
        faults.login()
    assert faults.hits() == [1, 1, 0]


def test_one_fault_is_switched_off(faults):
    first, second = faults.on({"fault": "cut", "times": 1}, {"fault": "delay", "ms": 1})
    assert faults.ask("DELETE", f"/_sandbox/faults/{first}")[0] == 204
    assert [f["id"] for f in faults.list()] == [second]
    assert faults.ask("DELETE", f"/_sandbox/faults/{first}")[0] == 404


@pytest.mark.parametrize("fault, words", [
    ("{", ["no JSON"]),
    ("7", ["a fault is an object"]),
    ({}, ['needs a field "fault"', "truncate"]),
    ({"fault": "cutt"}, ['no fault "cutt"', 'Did you mean "cut"?']),
    ({"fault": "cut", "tims": 1}, ['no field "tims"', 'Did you mean "times"?']),
    ({"fault": "cut", "status": 500}, ['"cut" has no field "status"']),
    ({"fault": "cut", "times": 0}, ["times: 0 is not an integer from 1"]),
    ({"fault": "cut", "times": "3"}, ['times: "3" is not an integer']),
    ({"fault": "cut", "probability": 1.5}, ["probability: 1.5", "from 0 to 1"]),
    ({"fault": "cut", "when": "aftr"}, ['when: "aftr"', 'Did you mean "after"?']),
    ({"fault": "cut", "server": "sqq"}, ["server:", 'Did you mean "sqs"?']),
    ({"fault": "cut", "operation": "RecieveMessage"}, ['Did you mean "ReceiveMessage"?']),
    ({"fault": "cut", "operation": "SendMessage", "server": "keycloak"}, ["none of keycloak's"]),
    ({"fault": "cut", "operation": "get /x"}, ["not a method and a path"]),
    ({"fault": "cut", "operation": "POST /" + "a*" * 30}, ["more than 5 stars"]),
    ({"fault": "answer"}, ['needs a field "status"']),
    ({"fault": "answer", "status": 99}, ["status: 99", "from 200 to 599"]),
    ({"fault": "answer", "status": 503, "headers": {"a": "b\r\nc: d"}}, ["headers:"]),
    ({"fault": "duplicate", "server": "keycloak"}, ["one of sqs"]),
    ({"fault": "fail_entries", "operation": "SendMessage"}, ["SendMessageBatch"]),
])
def test_what_is_wrong_is_said(faults, fault, words):
    text = faults.refused(fault)
    for word in words:
        assert word in text
    assert faults.list() == []


def test_of_a_list_all_or_none_are_switched_on(faults):
    assert "fault 2: " in faults.refused([{"fault": "cut"}, {"fault": "no"}])
    assert faults.list() == []


# ---- the host with faults on

class Scene:
    """A queue with a dead-letter queue on the stand-in, and the host on it."""

    def __init__(self, folder, stand_in, client, faults, receives=50):
        self.folder, self.faults, self.stem = str(folder), faults, new_stem()
        self.dead = sqs.create_queue(client, "dead")
        arn = client.get_queue_attributes(QueueUrl=self.dead.url, AttributeNames=["QueueArn"])
        self.queue = sqs.create_queue(
            client, "people", VisibilityTimeout=5, RedrivePolicy=json.dumps({
                "deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": receives}))
        secret = folder / "secret"
        secret.write_text(hostproc.CLIENT_SECRET)
        secret.chmod(0o600)
        self.config = {
            "queue": {"url": self.queue.url, "endpoint": stand_in.queue_url, "region": sqs.REGION,
                      "wait": 1, "visibility": 5},
            "workers": {"min": 4, "max": 4}, "retry": {"base": 1},
            "keycloak": {"url": stand_in.url, "realm": "customers", "client_id": "luahost-svc",
                         "client_secret_file": str(secret)}}
        self.realm = Realm(stand_in.url, "customers")

    def register(self, total, *faults, timeout=100):
        """All of them, until the queue is empty. What the stand-in wrote down meanwhile."""
        self.queue.send_many(json.dumps(registration(self.stem, n)) for n in range(total))
        mark = self.faults.mark()
        self.faults.on(*faults)
        with hostproc.Host(self.folder, hostproc.EXAMPLE, self.config) as host:
            host.wait_for("an empty queue", self.queue.is_empty, timeout)
            self.hits = self.faults.hits()
            self.faults.off()
            host.term()
            assert host.wait_exit(30) == 0, host.text[-4000:]
        return self.faults.executed(after=mark)

    def check(self, total, log):
        """Nobody lost, nobody twice: by the stand-in's own records."""
        names = {f"{self.stem}-{n}" for n in range(total)}
        made = [e for e in log if e["operation"] == f"POST {USERS}" and e["status"] == 201]
        assert len(made) == total
        assert max(collections.Counter(e["ids"][0] for e in made).values()) == 1
        assert {n for n in self.realm.user_names(self.stem) if n.startswith(self.stem)} == names
        assert names <= set(self.realm.member_names("/customers"))
        assert names <= set(self.realm.role_holder_names("customer"))
        assert self.dead.is_empty()


def test_registrations_while_requests_fail(tmp_path, stand_in, client, faults):
    """Outages, throttling and broken lines on both sides, before and after the work was done."""
    scene = Scene(tmp_path, stand_in, client, faults)
    log = scene.register(
        150,
        {"fault": "cut", "server": "keycloak", "when": "after", "probability": 0.02, "seed": 1},
        {"fault": "cut", "server": "keycloak", "probability": 0.02, "seed": 2},
        {"fault": "truncate", "server": "keycloak", "probability": 0.02, "seed": 3},
        {"fault": "answer", "server": "keycloak", "status": 503, "probability": 0.02, "seed": 4},
        {"fault": "throttle", "server": "keycloak", "probability": 0.02, "seed": 5,
         "retry_after": 1},
        {"fault": "throttle", "operation": "*Message*", "probability": 0.05, "seed": 6},
        {"fault": "cut", "operation": "DeleteMessageBatch", "when": "after", "probability": 0.2,
         "seed": 7})
    scene.check(150, log)
    assert all(hits > 0 for hits in scene.hits[:5]), scene.hits


def test_registrations_while_messages_come_twice(tmp_path, stand_in, client, faults):
    """Every receive is delivered to another one as well, and deletes fail though they succeed."""
    scene = Scene(tmp_path, stand_in, client, faults)
    log = scene.register(
        200, {"fault": "duplicate"},
        {"fault": "fail_entries", "operation": "DeleteMessageBatch", "when": "after",
         "probability": 0.3, "seed": 8},
        {"fault": "fail_entries", "operation": "DeleteMessageBatch", "probability": 0.2,
         "seed": 9})
    scene.check(200, log)
    assert all(scene.hits), scene.hits


def test_registrations_while_tokens_end_and_the_clock_is_wrong(tmp_path, stand_in, client, faults):
    scene = Scene(tmp_path, stand_in, client, faults)
    log = scene.register(
        200, {"fault": "revoke_tokens", "operation": f"POST {USERS}", "probability": 0.05,
              "seed": 10},
        {"fault": "short_tokens", "seconds": 1},
        {"fault": "clock_skew", "operation": "*Message*", "seconds": 1200})
    scene.check(200, log)
    assert all(scene.hits), scene.hits
