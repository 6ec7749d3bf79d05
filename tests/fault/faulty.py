"""The counting proxy of the end-to-end tests, with faults drawn at random.

Runs as e2e/proxy.py does and takes its commands, and two more:

    {"do": "faults", "route": NAME, "seed": N, "rates": {FAULT: SHARE, ...}}
    {"do": "note", "what": TEXT, ...}   written to the log as it is: what the driver did

FAULT is one of these; the first seven befall a whole request and are its `fate`:

    cut_before   cut before it is forwarded: it never happened
    cut_after    carried out, then cut without an answer
    cut_within   carried out, then cut in the middle of the answer
    truncated    carried out, the answer's body ends in its middle
    stalled      carried out at once, answered STALL_S later
    late         forwarded STALL_S later, even if the client has left: a packet that took its time
    throttled    not forwarded; answered 429 or 503 (Keycloak), RequestThrottled or 503 (queue)
    fail_delete  an entry of a delete is kept back and reported as failed
    duplicate    a message comes again in a later receive, with the same receipt handle

The log holds what the checker needs, one line of JSON a request, written when its fate is known:

    route, n, conn, t0, t1, method, path, target, status, gone     as in e2e/proxy.py
    told         the status that the client was sent; 0: none. `status` is the server's
    fate         what befell it, or ""
    trace        trace id in the request's head, or ""
    user         POST of a user: its user name
    got          receive: [[message id, receipt handle, receive count], ...] as the client was told
    again        receive: ids of those that were the proxy's own doing
    entries      delete or change of visibility: [[handle, result, seconds or null], ...]; result is
                 "ok", an error code, "kept" (never forwarded) or "" (no answer)
    dead         send: trace id in the attributes of the message that was sent

The route "runs" has no server: a handler tells it when it begins. That line is the run.
"""
import asyncio
import collections
import json
import os
import random
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from proxy import Proxy, Route  # noqa: E402

STALL_S = 4.0
DUPLICATE_WITHIN_S = 8.0
DUPLICATES_AT_ONCE = 3
FATES = ("cut_before", "cut_after", "cut_within", "truncated", "stalled", "late", "throttled")
JSON_TYPE = "application/x-amz-json-1.0"
KEPT = "made up by the proxy"


def http_answer(status, body="", kind="application/json"):
    text = body.encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def with_body(head, body):
    """The same head with the length of another body."""
    lines = [line for line in head.split(b"\r\n")
             if not line.lower().startswith((b"content-length:", b"transfer-encoding:"))]
    lines[1:1] = [b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines)


def first_part(fate, answer):
    """As much of an answer as goes out before it breaks off."""
    head = answer.find(b"\r\n\r\n") + 4
    if fate == "truncated" and len(answer) > head:
        return answer[:(head + len(answer)) // 2]
    return answer[:len(answer) // 2]


class Faults:
    """What is to go wrong on one route, drawn from a seed."""

    def __init__(self):
        self.rates, self.random = {}, random.Random(0)

    def set(self, rates, seed):
        unknown = set(rates) - set(FATES) - {"fail_delete", "duplicate"}
        if unknown:
            raise ValueError(f"unknown faults {unknown}")
        self.rates, self.random = rates, random.Random(seed)

    def fate(self):
        draw = self.random.random()
        for name in FATES:
            draw -= self.rates.get(name, 0)
            if draw < 0:
                return name
        return ""

    def hits(self, name):
        return self.random.random() < self.rates.get(name, 0)


class Duplicates:
    """Messages that will come again, by queue."""

    def __init__(self, faults):
        self.faults = faults
        self.waiting = collections.defaultdict(list)

    def due(self, queue, room):
        now = time.time()
        due = [item for item in self.waiting[queue] if item[0] <= now]
        due = due[:max(0, min(room, DUPLICATES_AT_ONCE))]
        for item in due:
            self.waiting[queue].remove(item)
        return [message for _, message in due]

    def watch(self, queue, messages):
        for message in messages:
            if self.faults.hits("duplicate"):
                when = time.time() + self.faults.random.uniform(0, DUPLICATE_WITHIN_S)
                self.waiting[queue].append((when, message))


class FaultyRoute(Route):
    def __init__(self, proxy, name, address):
        super().__init__(proxy, name, address)
        self.faults = Faults()
        self.duplicates = Duplicates(self.faults)

    async def answer(self, call):
        entry = call.entry
        entry.update(fate="", trace=call.fields.get("traceparent", "--").split("-")[1])
        if self.name == "runs":
            return self.say(entry, 204), False
        fate = entry["fate"] = self.faults.fate()
        if fate == "cut_before":
            call.writer.transport.abort()
            return None, True
        if fate == "throttled":
            return self.refusal(entry), False
        if fate == "late":
            await asyncio.sleep(STALL_S)
        answer, closing = await super().answer(call)
        if fate == "stalled":
            await asyncio.sleep(STALL_S)
        if fate == "cut_after":
            call.writer.transport.abort()
            entry["told"] = 0
            return None, True
        return answer, closing

    async def tell(self, call, answer):
        fate = call.entry["fate"]
        if fate not in ("cut_within", "truncated"):
            call.entry.setdefault("told", call.entry["status"])
            return await super().tell(call, answer)
        call.entry["told"] = 0
        await super().tell(call, first_part(fate, answer))
        if fate == "cut_within":
            call.writer.transport.abort()
        return False

    @staticmethod
    def say(entry, status, *body):
        entry["told"] = status
        return http_answer(status, *body)

    def refusal(self, entry):
        plain = self.faults.random.random() < 0.5
        if self.name != "queue":
            return self.say(entry, 429 if plain else 503, '{"error":"throttled by the test"}')
        if plain:
            return self.say(entry, 503, "<html>Service Unavailable</html>", "text/html")
        error = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": KEPT}
        return self.say(entry, 400, json.dumps(error), JSON_TYPE)

    async def exchange(self, call):
        if call.entry["fate"] == "late":  # carried out whether or not anybody waits for it
            return await call.upstream.exchange(call.head, call.raw, call.entry["method"])
        return await super().exchange(call)

    async def pass_on(self, call):
        rewrite = {"ReceiveMessage": self.receive, "DeleteMessage": self.delete_one,
                   "DeleteMessageBatch": self.delete_many}.get(call.entry["target"])
        if rewrite and self.faults.rates:
            return await rewrite(call, json.loads(call.entry["req"]))
        return await super().pass_on(call)

    async def pass_on_changed(self, call, request):
        call.raw = json.dumps(request).encode()
        call.head = with_body(call.head, call.raw)
        return await super().pass_on(call)

    # -- what the proxy makes of the queue's words

    async def receive(self, call, request):
        queue, room = request["QueueUrl"], request.get("MaxNumberOfMessages", 1)
        again = self.duplicates.due(queue, room - 1)
        if again:
            request.update(MaxNumberOfMessages=room - len(again), WaitTimeSeconds=0)
        answer, closing = await self.pass_on_changed(call, request)
        if not answer or call.entry["status"] != 200:
            return answer, closing
        told = json.loads(call.entry["res"] or "{}")
        messages = told.get("Messages") or []
        self.duplicates.watch(queue, messages)
        if again:
            call.entry["again"] = [m["MessageId"] for m in again]
            told["Messages"] = messages + again
            call.entry["res"] = json.dumps(told)
            answer = self.say(call.entry, 200, call.entry["res"], JSON_TYPE)
        return answer, closing

    async def delete_one(self, call, request):
        if not self.faults.hits("fail_delete"):
            return await super().pass_on(call)
        call.entry["kept"] = [request["ReceiptHandle"]]
        error = {"__type": "com.amazonaws.sqs#InternalError", "message": KEPT}
        return self.say(call.entry, 500, json.dumps(error), JSON_TYPE), False

    async def delete_many(self, call, request):
        kept = [e for e in request["Entries"] if self.faults.hits("fail_delete")]
        if not kept:
            return await super().pass_on(call)
        call.entry["kept"] = [e["ReceiptHandle"] for e in kept]
        request["Entries"] = [e for e in request["Entries"] if e not in kept]
        told, closing = {}, False
        if request["Entries"]:
            answer, closing = await self.pass_on_changed(call, request)
            if not answer or call.entry["status"] != 200:
                return answer, closing
            told = json.loads(call.entry["res"])
        told["Failed"] = (told.get("Failed") or []) + [
            {"Id": e["Id"], "Code": "InternalError", "SenderFault": False, "Message": KEPT}
            for e in kept]
        call.entry["res"] = json.dumps(told)
        return self.say(call.entry, 200, call.entry["res"], JSON_TYPE), closing


# -- the log

PLAIN = ("route", "conn", "t0", "t1", "method", "path", "target", "status", "gone", "trace",
         "fate")


def entries_of(entry, request):
    """[[handle, result, seconds]] of a delete or a change of visibility, batched or not."""
    answered = entry["told"] == 200 or entry["status"] == 200
    failed = {}
    if answered and entry["res"]:
        failed = {f["Id"]: f["Code"] for f in json.loads(entry["res"]).get("Failed") or []}
    alone = "ok" if answered else str(entry["status"]) if entry["status"] else ""
    result = []
    for e in request.get("Entries") or [request]:
        handle = e["ReceiptHandle"]
        word = failed.get(e["Id"], alone) if "Id" in e else alone
        if handle in entry.get("kept", ()):
            word = "kept"
        result.append([handle, word, e.get("VisibilityTimeout")])
    return result


def line_of(entry):
    line = {name: entry[name] for name in PLAIN}
    line["told"] = entry.setdefault("told", 0)
    target = entry["target"]
    if entry["method"] == "POST" and entry["path"].endswith("/users"):
        line["user"] = json.loads(entry["req"])["username"]
    elif target == "ReceiveMessage" and entry["status"] == 200 and entry["res"]:
        line["got"] = [[m["MessageId"], m["ReceiptHandle"],
                        int(m["Attributes"]["ApproximateReceiveCount"])]
                       for m in json.loads(entry["res"]).get("Messages") or []]
        line["again"] = entry.get("again", [])
    elif target.startswith(("DeleteMessage", "ChangeMessageVisibility")):
        line["entries"] = entries_of(entry, json.loads(entry["req"]))
    elif target == "SendMessage":
        attributes = json.loads(entry["req"]).get("MessageAttributes") or {}
        parent = attributes.get("traceparent", {}).get("StringValue", "--")
        line["dead"] = parent.split("-")[1]
    return line


class FaultyProxy(Proxy):
    route = FaultyRoute

    def record(self, entry):
        super().record(line_of(entry))

    async def command(self, c):
        if c["do"] == "faults":
            self.routes[c["route"]].faults.set(c["rates"], c["seed"])
        elif c["do"] == "note":
            super().record({**c, "route": "note", "t0": time.time()})
        else:
            return await super().command(c)
        return {}


if __name__ == "__main__":
    asyncio.run(FaultyProxy(sys.argv[1]).run(sys.argv[2:]))
