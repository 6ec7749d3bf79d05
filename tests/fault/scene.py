"""One run of the fault suite: queues, realm, proxy with faults, events that are sent, the host that
is killed, and the evidence that the checker reads."""
import json
import os
import signal
import threading
import time

import sqs
from checker import check_folder, trace_of
from keycloak import Realm
from stage import Stage, new_stem
from wire import Wire

HERE = os.path.dirname(os.path.abspath(__file__))
HANDLER = os.path.join(HERE, "handler.lua")
PAGE = 2000
BACKLOG = 2000  # more slow ElasticMQ down, whose file takes every change at once


class FaultyWire(Wire):
    program = os.path.join(HERE, "faulty.py")

    def note(self, what, **more):
        self.tell("note", what=what, **more)


def kind_of(n):
    """1 % are rejected by their handler, 0.5 % fail whenever they run."""
    return "fail" if n % 200 == 100 else "reject" if n % 100 == 50 else "register"


class Feeder(threading.Thread):
    """Sends events 1 to total straight to the queue, `rate` a second or as fast as they are worked
    off: whoever watches sets `done`. They are written down once the queue has confirmed them."""

    def __init__(self, scene, total, rate=None, kind=kind_of):
        super().__init__(daemon=True)
        self.scene, self.total, self.rate, self.kind = scene, total, rate, kind
        self.sent, self.done, self.error = 0, 0, None
        self.pause = threading.Lock()

    def run(self):
        begin, size = time.monotonic(), 10
        if self.rate:
            size = max(1, min(10, int(self.rate / 10)))
        with open(self.scene.path("sent.jsonl"), "w") as out:
            while self.sent < self.total and not self.error:
                if self.rate:
                    time.sleep(max(0, begin + self.sent / self.rate - time.monotonic()))
                elif self.sent - self.done > BACKLOG:
                    time.sleep(0.1)
                    continue
                try:
                    with self.pause:
                        self.send(out, min(size, self.total - self.sent))
                except Exception as e:  # the main thread raises it
                    self.error = e

    def send(self, out, count):
        events = [{"n": n, "kind": self.kind(n), "user": f"{self.scene.stem}-{n}"}
                  for n in range(self.sent + 1, self.sent + 1 + count)]
        answer = self.scene.client.send_message_batch(QueueUrl=self.scene.queue.url, Entries=[
            {"Id": str(e["n"]), "MessageBody": json.dumps(e), "MessageAttributes": {"traceparent": {
                "DataType": "String", "StringValue": f"00-{trace_of(e['n'])}-{1:016x}-01"}}}
            for e in events])
        assert not answer.get("Failed"), answer
        ids = {e["Id"]: e["MessageId"] for e in answer["Successful"]}
        for e in events:
            out.write(json.dumps({**e, "id": ids[str(e["n"])], "t": time.time()}) + "\n")
        out.flush()
        self.sent += count

    def check(self):
        if self.error:
            raise self.error


class Scene(Stage):
    wiring = FaultyWire

    def __init__(self, folder, elasticmq, keycloak, visibility=5, receives=20):
        self.elasticmq, self.keycloak = elasticmq, keycloak
        self.client, self.stem = sqs.client(elasticmq.url), new_stem()
        os.makedirs(folder, exist_ok=True)
        super().__init__(folder, elasticmq, self.client, keycloak, keycloak.new_realm(), visibility,
                         routes={"runs": "http://127.0.0.1:9"})
        self.dead = sqs.create_queue(self.client, "dead")
        policy = {"deadLetterTargetArn": sqs.arn(self.client, self.dead.url),
                  "maxReceiveCount": receives}
        self.client.set_queue_attributes(QueueUrl=self.queue.url, Attributes={
            "RedrivePolicy": json.dumps(policy)})
        self.running = None

    def path(self, name):
        return os.path.join(self.folder, name)

    # -- the host

    def start(self, **changes):
        self.wire.note("start")
        self.running = self.host(HANDLER, "--log-format", "json",
                                 handler={"runs": self.wire.url["runs"]}, **changes)
        return self.running

    def kill_host(self):
        self.wire.note("kill")
        self.running.kill()
        self.running.__exit__()

    def idle(self):
        """Asks the host for its state: has it nothing in hand?"""
        self.running.popen.send_signal(signal.SIGUSR1)
        states = [e for e in self.running.log() if e.get("msg") == "state"]
        return states and states[-1]["in_hand"] == 0

    def stop_host(self):
        """Once it has nothing in hand. The queue can be empty before: of deletes whose answer was
        lost the host knows nothing yet."""
        self.running.wait_for("host with nothing in hand", self.idle, 60)
        self.running.term()
        code = self.running.wait_exit(60)
        self.running.__exit__()
        assert code == 0, self.running.text[-4000:]

    # -- the servers

    def restart(self, name):
        """SIGKILL, and a while later it is back with all that it had answered."""
        server = {"queue": self.elasticmq, "keycloak": self.keycloak}[name]
        self.wire.note("away", server=name)
        server.kill()
        server.start()
        server.wait_ready()
        self.wire.note("back", server=name)

    def away(self, name):
        self.wire.note("away", server=name)
        self.wire.tell("away", route=name)

    def back(self, name):
        self.wire.tell("back", route=name)
        self.wire.note("back", server=name)

    # -- the evidence

    def names(self, path):
        """User names of a list that Keycloak gives page by page."""
        names, first = [], 0
        while True:
            page = self.realm.get(path, first=first, max=PAGE, briefRepresentation="true").json
            names += [u["username"] for u in page]
            first += PAGE
            if len(page) < PAGE:
                return [n for n in names if not n.startswith("service-account-")]

    def dead_letters(self):
        letters = []
        while got := self.dead.receive(10, visibility=600):
            letters += [self.letter(m) for m in got]
        return letters

    @staticmethod
    def letter(message):
        attributes = message.get("MessageAttributes") or {}
        failure = json.loads(attributes.get("host.failure", {}).get("StringValue", "{}"))
        return {"n": json.loads(message["Body"])["n"], "source": failure.get("message_id"),
                "outcome": failure.get("outcome"),
                "trace": attributes["traceparent"]["StringValue"].split("-")[1]}

    def account(self):
        """Everything has come to rest: gathers the evidence and has it checked."""
        self.realm = Realm(self.keycloak.url, self.realm.realm)
        self.realm.rest.timeout = 600  # the last pages of 100,000 users take long
        end = {"users": self.names("/users"), "role": self.names("/roles/customer/users"),
               "members": self.names(f"/groups/{self.realm.group_id('/customers')}/members"),
               "dead": self.dead_letters(), "left": sum(self.queue.counts())}
        self.wire.stop()
        with open(self.path("end.json"), "w") as f:
            json.dump(end, f)
        return check_folder(self.folder)

    def close(self):
        if self.running is not None:
            self.running.__exit__()
        if self.wire.popen.poll() is None:
            super().close()
