"""A counting proxy: what really went over the wire between host and its servers.

Runs as a process of its own (python proxy.py LOG NAME=HOST:PORT ...), one listening port per named
route. Every request becomes one line of JSON in LOG, written when its fate is known:

    route, n, conn      which route, running number, client connection
    t0, t1              when the request had been read whole, when its answer was done (epoch s)
    method, path, target  target is the operation in X-Amz-Target, if any
    status              of the server's answer; 0: the server never answered
    gone                the client went away before the answer had been written to it
    req, res            the two bodies as text

Heads are passed on unchanged, Host too (it is part of AWS signatures). When the client of a route
"queue" goes away, the server's connection is cut as well, as the kernel would do without a proxy.
On other routes the answer is awaited, so that the log knows what became of the request.

Commands come as lines of JSON on stdin, each answered by a line on stdout:
    {"do": "delay", "method": "POST", "path": REGEX, "before": S, "after": S}
        sleeps before a matching request is passed on, and before its answer is
    {"do": "undelay"}
    {"do": "fault", "match": {FIELD OF THE LOG: REGEX, ...}, "times": N, "pass_on": BOOL,
     "before": S, "after": S, "status": S, "body": TEXT, "headers": {NAME: VALUE}}
        the next N requests that match are passed on or kept from the server, and answered so;
        without a status the connection is cut. before and after as above. The log has
        "fault": true and, as always, what the server said
    {"do": "calm"}                  no more faults
    {"do": "away", "route": NAME}   stops listening and resets all connections: nobody is there
    {"do": "back", "route": NAME}   listens again, on the same port
    {"do": "open"}                  answers {"open": [["POST", "/path"], ...]}: what is on the wire
The process ends when stdin does.
"""
import asyncio
import dataclasses
import json
import re
import socket
import sys
import time

from procs import free_port

HEAD_LIMIT = 64 * 1024


class Gone(Exception):
    """The peer closed the connection."""


async def read_head(reader):
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError) as e:
        raise Gone(str(e)) from None


def head_fields(head):
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name.lower()] = value.strip()
    return first, fields


async def read_body(reader, fields, until_close=False):
    """Returns the body as it came over the wire, and decoded."""
    try:
        if "chunked" in fields.get("transfer-encoding", "").lower():
            raw, body = b"", b""
            while True:
                line = await reader.readuntil(b"\r\n")
                size = int(line.split(b";")[0], 16)
                chunk = await reader.readexactly(size + 2)
                raw += line + chunk
                if size == 0:
                    return raw, body
                body += chunk[:-2]
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        else:
            body = await reader.read() if until_close else b""
        return body, body
    except (asyncio.IncompleteReadError, ConnectionError) as e:
        raise Gone(str(e)) from None


def is_gone(reader, writer):
    return reader.at_eof() or reader.exception() is not None or writer.is_closing()


async def until_gone(reader, writer):
    """Returns when the client has closed its connection. It does not pipeline, so no data waits."""
    while not is_gone(reader, writer):
        await asyncio.sleep(0.02)


class Fault:
    """What is done to the next requests of one kind."""

    def __init__(self, rule):
        self.match, self.left = rule["match"], rule["times"]
        self.pass_on, self.status = rule.get("pass_on", False), rule.get("status", 0)
        self.before, self.after = rule.get("before", 0), rule.get("after", 0)
        self.headers, self.body = rule.get("headers", {}), rule.get("body", "").encode()

    def takes(self, entry):
        if self.left == 0 or not all(re.search(r, entry[f]) for f, r in self.match.items()):
            return False
        self.left -= 1
        return True

    def answer(self):
        if not self.status:
            return None
        lines = [f"HTTP/1.1 {self.status} Fault", "Content-Type: application/json",
                 f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class Upstream:
    """The server's end of one client connection, opened when it is first needed."""

    def __init__(self, address):
        self.address = address
        self.reader = self.writer = None

    async def exchange(self, head, raw, method):
        if self.writer is None or is_gone(self.reader, self.writer):
            self.close()
            self.reader, self.writer = await asyncio.open_connection(*self.address,
                                                                     limit=HEAD_LIMIT)
        self.writer.write(head + raw)
        answer_head = await read_head(self.reader)
        while answer_head.startswith(b"HTTP/1.1 100"):
            answer_head = await read_head(self.reader)
        first, fields = head_fields(answer_head)
        status = int(first.split()[1])
        raw_answer = body = b""
        if method != "HEAD" and status not in (204, 304):
            raw_answer, body = await read_body(self.reader, fields, until_close=True)
        framed = status in (204, 304) or "content-length" in fields or "transfer-encoding" in fields
        closing = fields.get("connection", "").lower() == "close" or not framed
        if closing:
            self.close()
        return status, answer_head + raw_answer, body, closing

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


@dataclasses.dataclass
class Call:
    """One request on its way: its line in the log, its head's fields, and its bytes."""
    entry: dict
    fields: dict
    head: bytes
    raw: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: Upstream


class Route:
    """One listening port and the server behind it."""

    def __init__(self, proxy, name, address):
        self.proxy, self.name, self.address = proxy, name, address
        self.clients = set()
        self.server = None
        self.port = free_port()

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port,
                                                 limit=HEAD_LIMIT)

    async def away(self):
        self.server.close()
        for writer in list(self.clients):
            writer.transport.abort()

    async def serve(self, reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients.add(writer)
        upstream = Upstream(self.address)
        connection = self.proxy.next_connection()
        try:
            while await self.one_request(connection, reader, writer, upstream):
                pass
        except (Gone, ConnectionError, asyncio.CancelledError):
            pass  # the last of them: the process ends
        finally:
            self.clients.discard(writer)
            upstream.close()
            writer.close()

    async def one_request(self, connection, reader, writer, upstream):
        head = await read_head(reader)
        first, fields = head_fields(head)
        raw, body = await read_body(reader, fields)
        method, path, _ = first.split(" ", 2)
        entry = {"route": self.name, "conn": connection, "t0": time.time(), "method": method,
                 "path": path, "target": fields.get("x-amz-target", "").rpartition(".")[2],
                 "status": 0, "gone": False, "req": body.decode("utf-8", "replace"), "res": ""}
        call = Call(entry, fields, head, raw, reader, writer, upstream)
        self.proxy.open[id(entry)] = (method, path)
        try:
            answer, closing = await self.answer(call)
        except (Gone, OSError):
            upstream.close()
            answer, closing = None, True
        entry["gone"] = is_gone(reader, writer)
        if answer and not entry["gone"]:
            closing = not await self.tell(call, answer) or closing
        entry["t1"] = time.time()
        del self.proxy.open[id(entry)]
        self.proxy.record(entry)
        return not closing and not entry["gone"]

    async def answer(self, call):
        """What the client is to be told, None for nothing, and whether the connection ends there."""
        entry = call.entry
        fault = next((f for f in self.proxy.faults if f.takes(entry)), None)
        before, after = self.proxy.delay_of(entry["method"], entry["path"])
        if fault:
            entry["fault"] = True
            before, after = before + fault.before, after + fault.after
        if before:
            await asyncio.sleep(before)
        answer, closing = None, True
        if not fault or fault.pass_on:
            answer, closing = await self.pass_on(call)
        if fault:
            answer, closing = fault.answer(), not fault.status
        if after:
            await asyncio.sleep(after)
        return answer, closing

    async def pass_on(self, call):
        """The server's answer, written into the entry too; (None, True) if there was none."""
        got = await self.exchange(call)
        if not got:
            return None, True
        call.entry["status"], answer, body, closing = got
        call.entry["res"] = body.decode("utf-8", "replace")
        return answer, closing

    async def tell(self, call, answer):
        """False: the connection ends here."""
        call.writer.write(answer)
        try:
            await call.writer.drain()
        except ConnectionError:
            call.entry["gone"] = True
        return True

    async def exchange(self, call):
        upstream = call.upstream
        talk = asyncio.ensure_future(upstream.exchange(call.head, call.raw, call.entry["method"]))
        if self.name != "queue":
            return await talk
        watch = asyncio.ensure_future(until_gone(call.reader, call.writer))
        await asyncio.wait({talk, watch}, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        if talk.done():
            return talk.result()
        talk.cancel()
        upstream.close()
        return None


class Proxy:
    route = Route

    def __init__(self, log_path):
        self.log = open(log_path, "a", buffering=1)
        self.routes = {}
        self.delays = []
        self.faults = []
        self.open = {}
        self.connections = self.requests = 0

    def next_connection(self):
        self.connections += 1
        return self.connections

    def delay_of(self, method, path):
        for rule in self.delays:
            if rule["method"] == method and re.search(rule["path"], path):
                return rule.get("before", 0), rule.get("after", 0)
        return 0, 0

    def record(self, entry):
        self.requests += 1
        entry["n"] = self.requests
        self.log.write(json.dumps(entry) + "\n")

    async def command(self, c):
        if c["do"] == "open":
            return {"open": list(self.open.values())}
        if c["do"] == "delay":
            self.delays.append(c)
        elif c["do"] == "undelay":
            self.delays.clear()
        elif c["do"] == "fault":
            self.faults.append(Fault(c))
        elif c["do"] == "calm":
            self.faults.clear()
        elif c["do"] == "away":
            await self.routes[c["route"]].away()
        elif c["do"] == "back":
            await self.routes[c["route"]].listen()
        else:
            raise ValueError(f"unknown command {c}")
        return {}

    async def run(self, routes):
        for spec in routes:
            name, _, address = spec.partition("=")
            host, _, port = address.rpartition(":")
            self.routes[name] = self.route(self, name, (host, int(port)))
            await self.routes[name].listen()
        print(json.dumps({name: r.port for name, r in self.routes.items()}), flush=True)
        stdin = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        while line := await stdin.readline():
            print(json.dumps(await self.command(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(Proxy(sys.argv[1]).run(sys.argv[2:]))
