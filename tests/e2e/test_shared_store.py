"""Hosts that share a table: what each does with keys that the other has, had, or died with; and what
they do when the table is wrong or away. On ElasticMQ, with DynamoDB Local and with moto.
"""
import json
import signal
import time

import pytest

import procs
from dynamodb import DynamoDBLocal, MotoTables, Table
from hostproc import Host
from servers import cache_folder
from stage import Stage

HANDLER = """local host = require "host"
local log = require "host.log"
local M = {}
function M.handle(msg)
  local e = msg.json
  log.info("begins", { event = e.id, n = e.n })
  if e.sleep then host.sleep(e.sleep) end
  if e.fail then error "as told" end
  log.info("ran", { event = e.id, n = e.n })
end
return M
"""

V = "com.amazonaws.dynamodb.v20120810#"
THROTTLED = '{"__type":"%sProvisionedThroughputExceededException","message":"too much"}' % V
FORBIDDEN = '{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not you"}'


@pytest.fixture(scope="module")
def local(log_dir):
    running = DynamoDBLocal(cache_folder(), log_dir).start().wait()
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["dynamodb", "moto"])
def server(request, log_dir):
    if request.param == "dynamodb":
        yield request.getfixturevalue("local")
        return
    running = MotoTables(log_dir).start().wait()
    yield running
    running.stop()


class Scene(Stage):
    """A queue and a table, and hosts that share them."""

    def __init__(self, folder, queue_server, sqs, table, visibility=4):
        super().__init__(folder, queue_server, sqs, visibility=visibility,
                         routes={"tables": table.server.url})
        self.table = table
        self.source = self.handler(HANDLER)

    def shared(self, *flags, env=None, **dedupe):
        return Host(self.folder, self.source, self.config(
            queue={"wait": 1}, workers={"max": 2}, slots=2, retry={"base": 1, "cap": 2},
            limits={"time": 8}, http={"timeout": 1, "connect_timeout": 1},
            dedupe={"key": "/id", "store": "dynamodb://" + self.table.name,
                    "endpoint": self.wire.url["tables"], **dedupe}), *flags, env=env)

    def send(self, **event):
        self.queue.send(json.dumps(event))

    def pause(self, host):
        """The poll that is open ends within a second."""
        host.popen.send_signal(signal.SIGTSTP)
        time.sleep(1.5)

    def claims(self):
        return [e for e in self.wire.log() if e["route"] == "tables" and e["target"] == "UpdateItem"]


def scene_of(tmp_path, elasticmq, elasticmq_sqs, table, **options):
    return Scene(tmp_path, elasticmq, elasticmq_sqs, table, **options)


@pytest.fixture
def scene(tmp_path, elasticmq, elasticmq_sqs, server):
    one = scene_of(tmp_path, elasticmq, elasticmq_sqs, Table(server))
    yield one
    one.close()


@pytest.fixture
def local_scene(tmp_path, elasticmq, elasticmq_sqs, local):
    one = scene_of(tmp_path, elasticmq, elasticmq_sqs, Table(local))
    yield one
    one.close()


def said(host, message, event):
    return [e for e in host.log() if e.get("msg") == message and e.get("event") == event]


def outcomes(host):
    return [e["outcome"] for e in host.settled()]


# -- keys that another host has

def test_acked_on_one_host_is_not_run_on_the_other(scene):
    scene.send(id="order-1")
    with scene.shared() as a:
        a.wait_for("the ack", a.settled)
        a.term()
        assert a.wait_exit() == 0
    scene.send(id="order-1")
    scene.send(id="order-1", n=2)
    with scene.shared() as b:
        b.wait_for("both", lambda: len(b.settled()) == 2)
        b.term()
        assert b.wait_exit() == 0
        assert sorted(outcomes(b)) == ["ack", "duplicate"]
        assert [e.get("n") for e in said(b, "ran", "order-1")] == [2], "another body is another event"
    assert scene.queue.is_empty()
    (key, item), = scene.table.items().items()
    assert key.endswith("/key:order-1") and key.startswith("eu-central-1/")
    assert "token" not in item and len([n for n in item if n.startswith("done_")]) == 2


def test_a_key_that_another_host_has_is_waited_for(scene):
    with scene.shared() as a, scene.shared() as b:
        for host in (a, b):
            host.wait_says("consuming")
        scene.pause(b)
        scene.send(id="order-1", sleep=6)  # longer than all up to the other's claim takes
        a.wait_for("its run", lambda: said(a, "begins", "order-1"))
        a.popen.send_signal(signal.SIGTSTP)
        b.popen.send_signal(signal.SIGCONT)
        time.sleep(1)
        scene.send(id="order-1", sleep=6)
        b.wait_says("another host has its key")
        b.wait_for("the duplicate", b.settled)
        assert outcomes(b) == ["duplicate"] and not said(b, "begins", "order-1")
        assert outcomes(a) == ["ack"]
    assert scene.queue.is_empty()


def test_what_failed_on_one_host_runs_on_the_other(scene):
    with scene.shared() as a:
        scene.send(id="order-1", fail=True)
        a.wait_for("a failure", a.settled)
        a.kill()
    with scene.shared() as b:
        scene.send(id="order-1")
        b.wait_for("the run", lambda: said(b, "ran", "order-1"), 40)


def test_the_claim_of_a_dead_host_ends(local_scene):
    scene = local_scene
    with scene.shared() as a:
        scene.send(id="order-1", sleep=2.5)
        a.wait_for("its run", lambda: said(a, "begins", "order-1"))
        a.kill()
    killed = time.time()
    with scene.shared() as b:
        b.wait_for("the run", lambda: said(b, "ran", "order-1"), 60)
        b.wait_for("the ack", b.settled)
        assert "ack" in outcomes(b)
    entry = max(e["t0"] for e in scene.claims())
    assert entry - killed > 5, "the claim of the dead host kept nobody out"
    assert scene.queue.is_empty()


# -- tables that will not do

def stops_with(scene, *words, env=None, **dedupe):
    with scene.shared(env=env, **dedupe) as host:
        assert host.wait_exit() == 78, host.text
        host.assert_says(*words)
    assert not [e for e in scene.wire.log() if e["target"] == "ReceiveMessage"]


def test_a_missing_table(scene):
    stops_with(scene, "no-such-table", "ResourceNotFound",
               "--print-table", store="dynamodb://no-such-table")


@pytest.mark.parametrize("shape,words", [
    ({"key": "id"}, ["partition key id of type S"]),
    ({"kind": "N"}, ["partition key key of type N"]),
    ({"sort": "at"}, ["sort key at"])])
def test_a_table_with_other_keys(tmp_path, elasticmq, elasticmq_sqs, server, shape, words):
    scene = scene_of(tmp_path, elasticmq, elasticmq_sqs, Table(server, ttl=None, **shape))
    try:
        stops_with(scene, *words, "must have key of type S", "--print-table", scene.table.name)
    finally:
        scene.close()


def test_refused_credentials(local_scene):
    local_scene.wire.tell("fault", match={"target": "DescribeTable"}, times=9, status=400, body=(
        '{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"who?"}'))
    stops_with(local_scene, "UnrecognizedClient", "AWS_ACCESS_KEY_ID", local_scene.table.name)


def test_a_table_that_may_not_be_described(local_scene):
    """UpdateItem is all that is needed; what is wrong with the table, the first claim tells."""
    scene = local_scene
    scene.wire.tell("fault", match={"target": "DescribeT"}, times=9, status=400, body=FORBIDDEN)
    scene.send(id="order-1")
    with scene.shared() as host:
        host.wait_for("the ack", host.settled)
        host.assert_says("could not be checked", "dynamodb:DescribeTable")
    assert len(scene.table.items()) == 1


def test_a_table_without_ttl(tmp_path, elasticmq, elasticmq_sqs, local):
    scene = scene_of(tmp_path, elasticmq, elasticmq_sqs, Table(local, ttl=None))
    try:
        scene.send(id="order-1")
        with scene.shared() as host:
            host.wait_for("the ack", host.settled)
            host.assert_says("deletes nothing by itself", "update-time-to-live")
    finally:
        scene.close()


# -- a table that is away

def test_away_at_the_start_open(local_scene):
    scene = local_scene
    scene.wire.tell("away", route="tables")
    scene.send(id="order-1")
    with scene.shared(fail="open") as host:
        host.wait_for("the ack", host.settled, 40)
        host.assert_says("could not be checked", "unfenced", "no connection")
        scene.wire.tell("back", route="tables")

        def next_one():
            scene.send(id=f"later-{time.time()}")
            time.sleep(0.3)
            return "store is back" in host.text
        host.wait_for("its return", next_one)
        scene.send(id="order-2")
        host.wait_for("the ack", lambda: said(host, "ran", "order-2"))
        procs.wait_until("an empty queue", scene.queue.is_empty)
    (item,) = [item for key, item in scene.table.items().items() if key.endswith("order-2")]
    assert [name for name in item if name.startswith("done_")]


def test_away_at_the_start_closed(local_scene):
    scene = local_scene
    scene.wire.tell("away", route="tables")
    scene.send(id="order-1")
    with scene.shared(fail="closed") as host:
        host.wait_says("store is away")
        time.sleep(3)
        assert not host.settled() and not said(host, "begins", "order-1")
        scene.wire.tell("back", route="tables")
        host.wait_for("the ack", host.settled)
        assert outcomes(host) == ["ack"]


@pytest.mark.parametrize("answer", [THROTTLED, FORBIDDEN])
def test_refused_in_mid_run_closed(local_scene, answer):
    scene = local_scene
    with scene.shared(fail="closed") as host:
        scene.send(id="order-1")
        host.wait_for("the ack", host.settled)
        scene.wire.tell("fault", match={"target": "UpdateItem"}, times=999, status=400, body=answer)
        scene.send(id="order-2")
        host.wait_says("store is away", "messages wait")
        host.assert_says("raise the table's write capacity" if answer is THROTTLED
                         else "dynamodb:UpdateItem")
        assert len(host.settled()) == 1
        scene.wire.tell("calm")
        host.wait_for("the other ack", lambda: len(host.settled()) == 2)
        assert outcomes(host) == ["ack", "ack"]


class Restart:
    """A table server of its own that is killed in mid-run and comes back."""

    def __init__(self, kind, tmp_path, log_dir):
        folder = tmp_path / "tables"
        folder.mkdir()
        self.keeps = kind == "dynamodb"
        self.server = DynamoDBLocal(cache_folder(), log_dir, str(folder)) if self.keeps else \
            MotoTables(log_dir)
        self.server.start().wait()
        self.table = Table(self.server)

    def come_back(self):
        self.server.start().wait()
        if not self.keeps:
            self.table.create()


@pytest.mark.parametrize("fail", ["open", "closed"])
@pytest.mark.parametrize("kind", ["dynamodb", "moto"])
def test_killed_and_restarted_in_mid_run(tmp_path, log_dir, elasticmq, elasticmq_sqs, kind, fail):
    """Two hosts, sixty events, each sent twice. Nothing is lost; and with a table that keeps what it
    was told, what ran twice is what a host said it could not keep from that."""
    tables = Restart(kind, tmp_path, log_dir)
    scene = scene_of(tmp_path, elasticmq, elasticmq_sqs, tables.table)
    try:
        with scene.shared(fail=fail) as a, scene.shared(fail=fail) as b:
            for host in (a, b):
                host.wait_says("consuming")
            scene.queue.send_many([json.dumps({"id": f"e{n % 60}", "sleep": 0.5}) for n in range(120)])
            a.wait_for("some acks", lambda: len(a.settled()) > 5, 40)
            tables.server.kill()
            a.wait_says("store is away")
            time.sleep(3)
            tables.come_back()
            procs.wait_until("an empty queue", scene.queue.is_empty, 120)
            for host in (a, b):
                host.term()
            assert [h.wait_exit() for h in (a, b)] == [0, 0]
            runs = {f"e{n}": len(said(a, "ran", f"e{n}")) + len(said(b, "ran", f"e{n}"))
                    for n in range(60)}
            excused = {e["key"] for e in a.log() + b.log()
                       if e["msg"].startswith(("unfenced", "claim lost"))}
        twice = {event for event, n in runs.items() if n > 1}
        assert min(runs.values()) >= 1, "an event was lost"
        if tables.keeps:
            assert twice <= excused, (twice, excused)
        if fail == "open":
            assert excused, "nothing ran while the table was away"
    finally:
        scene.close()
        tables.server.stop()
