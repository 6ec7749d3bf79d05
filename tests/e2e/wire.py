"""The tests' side of proxy.py: start it, steer it, read its log, and know what SQS calls mean."""
import collections
import json
import os
import subprocess
import sys

import procs

PROXY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")


class Wire:
    """routes: name -> URL of the server. url[name] is the proxy's own URL for it."""

    program = PROXY

    def __init__(self, log_path, **routes):
        self.log_path = log_path
        targets = [f"{name}={url.rpartition('//')[2].rstrip('/')}" for name, url in routes.items()]
        self.popen = procs.spawn([sys.executable, self.program, log_path, *targets],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ports = json.loads(self.popen.stdout.readline())
        self.url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}

    def tell(self, do, **arguments):
        self.popen.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.popen.stdin.flush()
        return json.loads(self.popen.stdout.readline())

    def creates_on_the_wire(self):
        """How many POSTs of users the proxy has and has not answered yet."""
        return sum(m == "POST" and p.endswith("/users") for m, p in self.tell("open")["open"])

    def stop(self):
        self.popen.stdin.close()
        self.popen.wait(10)
        self.popen.stdout.close()

    def log(self):
        with open(self.log_path) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def creates(self, log=None):
        """Every POST of a user to Keycloak's admin API."""
        return [e for e in log or self.log()
                if e["method"] == "POST" and e["path"].endswith("/users")]

    def receives(self, log=None):
        """Every message handed out, in order: (log entry, message)."""
        for e in log or self.log():
            if e["target"] == "ReceiveMessage" and e["status"] == 200 and e["res"]:
                for m in json.loads(e["res"]).get("Messages") or []:
                    yield e, m

    def deletes(self, log=None):
        """Every delete entry: (log entry, receipt handle, error code or None)."""
        for e in log or self.log():
            if e["target"] == "DeleteMessage":
                error = None if e["status"] == 200 else e["res"]
                yield e, json.loads(e["req"])["ReceiptHandle"], error
            elif e["target"] == "DeleteMessageBatch":
                failed = {}
                if e["status"] == 200:
                    failed = {f["Id"]: f["Code"] for f in json.loads(e["res"]).get("Failed") or []}
                for entry in json.loads(e["req"])["Entries"]:
                    error = failed.get(entry["Id"]) if e["status"] == 200 else str(e["status"])
                    yield e, entry["ReceiptHandle"], error

    def visibility_changes(self, log=None):
        """Every entry that changes a visibility: (log entry, receipt handle, seconds)."""
        for e in log or self.log():
            if e["target"] == "ChangeMessageVisibility":
                body = json.loads(e["req"])
                yield e, body["ReceiptHandle"], body["VisibilityTimeout"]
            elif e["target"] == "ChangeMessageVisibilityBatch":
                for entry in json.loads(e["req"])["Entries"]:
                    yield e, entry["ReceiptHandle"], entry["VisibilityTimeout"]

    def times_received(self, log=None):
        return collections.Counter(m["MessageId"] for _, m in self.receives(log))


def created_name(entry):
    """The user name in a POST of a user."""
    return json.loads(entry["req"])["username"]
