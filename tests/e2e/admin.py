"""The tests' side of the admin server: HTTP over TCP or its Unix socket, and /metrics read strictly."""
import http.client
import json
import math
import os
import re
import socket
import subprocess

from servers import cache_folder

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|\Z)')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def call(connection, path, method="GET", headers=None, body=None):
    """(status, headers, text)"""
    try:
        try:
            connection.request(method, path, body=body, headers=headers or {})
        except BrokenPipeError:
            pass  # refused before the whole of it was sent: the answer is there
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


class Admin:
    """Both ways into a host that says on its log where they are."""

    def __init__(self, host):
        self.where = host.wait_for("its admin server", lambda: next(
            (e for e in host.log() if e.get("msg") == "admin"), None))

    def tcp(self, path, method="GET", **kw):
        name, _, port = self.where["http"].rpartition(":")
        return call(http.client.HTTPConnection(name, int(port), timeout=10), path, method, **kw)

    def local(self, path, method="GET", **kw):
        return call(UnixConnection(self.where["socket"]), path, method, **kw)

    def status(self):
        return json.loads(self.local("/api/v1/status")[2])

    def metrics(self):
        return parse(self.tcp("/metrics")[2])


def labels_of(text):
    found, at = [], 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"no labels: {text}"
        found.append(match.groups())
        at = match.end()
    assert len(dict(found)) == len(found), f"a label twice: {text}"
    return frozenset(found)


def number(text):
    value = float(text.replace("Inf", "inf"))
    assert not math.isnan(value), text
    return value


def family_of(name, types):
    for end in ("_bucket", "_sum", "_count"):
        base = name[:-len(end)]
        if name.endswith(end) and types.get(base) == "histogram":
            return base
    return name


def parse(text):
    """{(name, frozenset of labels): value}, with all that promtool and a scrape let pass refused:
    series that come twice or apart, samples before their metadata, histograms that are none."""
    assert text.endswith("\n")
    types, helps, samples, order = {}, set(), {}, []
    for line in text[:-1].split("\n"):
        assert line == line.strip() and line, f"a blank line, or blanks: {line!r}"
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert NAME.match(name) and name not in helps, line
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helps and name not in types, line
            assert kind in ("counter", "gauge", "histogram"), line
            types[name] = kind
            order.append(name)
        else:
            match = SAMPLE.match(line)
            assert match, f"no sample: {line!r}"
            family = family_of(match[1], types)
            assert order and order[-1] == family, f"apart from its family: {line}"
            key = match[1], labels_of(match[2] or "")
            assert key not in samples, f"twice: {line}"
            samples[key] = number(match[3])
            if types[family] == "counter" or match[1] != family:
                assert samples[key] >= 0, line
    for name, kind in types.items():
        assert kind != "counter" or name.endswith("_total"), name
        if kind == "histogram":
            check_histogram(name, samples)
    return samples


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        if sample == name + "_bucket":
            bound = number(dict(labels)["le"])
            rest = frozenset(l for l in labels if l[0] != "le")
            series.setdefault(rest, []).append((bound, value))
    for rest, buckets in series.items():
        assert [b for b, _ in buckets] == sorted({b for b, _ in buckets}), (name, rest)
        counts = [c for _, c in buckets]
        assert counts == sorted(counts), (name, rest)
        assert math.isinf(buckets[-1][0]), (name, rest)
        assert counts[-1] == samples[name + "_count", rest], (name, rest)
        assert (name + "_sum", rest) in samples


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())))


def promtool(*arguments, stdin=None):
    """(exit code, output)"""
    tool = os.path.join(cache_folder(), "prometheus", "promtool")
    done = subprocess.run([tool, *arguments], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout
