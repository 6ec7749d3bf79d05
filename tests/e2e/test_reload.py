"""A handler that is replaced while it runs: by SIGHUP, `host reload`, a watched file."""
import collections
import os
import signal
import threading
import types

import pytest

import hostproc
from admin import Admin, parse, promtool, value
from stage import Stage

# Says on the wire which message it ran, under which version of itself.
HANDLER = """local http = require "host.http"
local host = require "host"
local M = {{}}
function M.handle(msg)
  http.post {{ url = ("%s/%s/{version}"):format(host.config.runs, msg.body), idempotent = true }}
end
return M
"""


@pytest.fixture(params=["sandbox"])
def scene(request, tmp_path):
    server = request.getfixturevalue(request.param)
    client = request.getfixturevalue(request.param + "_sqs")
    url = types.SimpleNamespace(url=getattr(server, "queue_url", server.url))
    scene = Stage(tmp_path, url, client, routes={"runs": "http://127.0.0.1:9"})
    scene.wire.tell("fault", match={"route": "runs"}, times=-1, status=200)
    yield scene
    scene.close()


def start(scene, text, *flags, path=None, **changes):
    path = path or scene.handler(text)
    handler = {"runs": scene.wire.url["runs"]}
    return scene.host(path, "--log-format", "json", *flags, handler=handler, **changes)


def runs(scene):
    """{message: versions that ran it}"""
    found = collections.defaultdict(list)
    for e in scene.wire.log():
        if e["route"] == "runs":
            _, body, version = e["path"].split("/")
            found[body].append(version)
    return found


def reload(host):
    return hostproc.command("reload", "--socket", Admin(host).where["socket"])


def said(host, words):
    return [e for e in host.log() if e["msg"].startswith(words)]


def metric(host, name):
    return value(Admin(host).metrics(), name)


def test_while_messages_flow(scene):
    """Twenty generations under load: each message ran once, all of one version, and none was lost."""
    scene.queue.send_many([f"m{n}" for n in range(400)])
    with start(scene, HANDLER.format(version=0)) as host:
        host.wait_says("consuming")
        for version in range(1, 21):
            scene.handler(HANDLER.format(version=version))
            if version % 2:
                code, text = reload(host)
                assert code == 0, text
            else:
                before = len(said(host, "reloaded"))
                host.popen.send_signal(signal.SIGHUP)
                host.wait_for("a reload", lambda: len(said(host, "reloaded")) > before)
            scene.queue.send_many([f"v{version}-{n}" for n in range(10)])
        host.wait_for("an empty queue", scene.queue.is_empty, 60)
        assert metric(host, "luahost_handler_generation") == 21
        host.term()
        assert host.wait_exit() == 0, host.text[-4000:]
    found = runs(scene)
    assert len(found) == 600
    assert {len(versions) for versions in found.values()} == {1}
    assert {e["gen"] for e in host.settled()} == {int(v[0]) + 1 for v in found.values()}
    for version in range(1, 21):  # sent after the reload was over: not older than that
        assert all(int(found[f"v{version}-{n}"][0]) >= version for n in range(10))


def test_a_bad_one_changes_nothing(scene):
    with start(scene, HANDLER.format(version="good")) as host:
        host.wait_says("consuming")
        for text, words in (("return {", "handler.lua:1:"),
                            ("return { handle = function() end, init = function() error 'no db' end }",
                             "no db"),
                            ("return { handle = function() end,\n"
                             "selftest = function() assert(1 == 2, 'sums') end }", "handler.lua:2"),
                            ("return { handle = require 'nowhere' }", "nowhere")):
            scene.handler(text)
            code, said_words = reload(host)
            assert code == 78 and words in said_words, said_words
            assert metric(host, "luahost_handler_last_reload_successful") == 0
        scene.queue.send("a")
        host.wait_for("an empty queue", scene.queue.is_empty)
        scene.handler(HANDLER.format(version="better"))
        assert reload(host)[0] == 0
        assert metric(host, "luahost_handler_last_reload_successful") == 1
        scene.queue.send("b")
        host.wait_for("an empty queue", scene.queue.is_empty)
    assert runs(scene) == {"a": ["good"], "b": ["better"]}


# Its metric `made` comes in several shapes, `all` in one.
COUNTING = """local http = require "host.http"
local host = require "host"
local metrics = require "host.metrics"
local made = metrics.{kind} {{ name = "made{end}", help = "By {label}.", labels = {{ "{label}" }} }}
local all = metrics.counter {{ name = "runs_total", help = "Runs." }}
return {{ handle = function(msg)
  http.post {{ url = ("%s/%s/x"):format(host.config.runs, msg.body), idempotent = true }}
  made:{call}(1, {{ {label} = "a" }})
  all:inc()
end }}
"""


def test_metrics_that_change(scene):
    """Labels and types of the handler's own metrics change under load. Every scrape is one that
    Prometheus takes, with the one shape or the other, and what stays alike counts on."""
    shapes = [("counter", "_total", "realm", "inc"), ("counter", "_total", "client", "inc"),
              ("gauge", "", "realm", "set"), ("histogram", "", "realm", "observe")]
    versions = [COUNTING.format(kind=kind, end=end, label=label, call=call)
                for kind, end, label, call in shapes]
    scrapes, over = [], threading.Event()

    def scrape(admin):
        while not over.is_set():
            scrapes.append(admin.tcp("/metrics")[2])

    scene.queue.send_many([f"m{n}" for n in range(300)])
    with start(scene, versions[0]) as host:
        host.wait_says("consuming")
        thread = threading.Thread(target=scrape, args=(Admin(host),))
        thread.start()
        try:
            for n in range(1, 13):
                scene.handler(versions[n % len(versions)])
                code, text = reload(host)
                assert code == 0, text
                scene.queue.send_many([f"v{n}-{i}" for i in range(10)])
            host.wait_for("an empty queue", scene.queue.is_empty, 60)
        finally:
            over.set()
            thread.join()
        last = Admin(host).tcp("/metrics")[2]
        host.term()
        assert host.wait_exit() == 0, host.text[-4000:]
    for text in scrapes:
        assert text.count("# TYPE made") == 1
        shapes = {frozenset(dict(labels)) - {"le"} for name, labels in parse(text) if name.startswith("made")}
        assert len(shapes) <= 1, shapes
    assert promtool("check", "metrics", stdin=last) == (0, "")
    runs_seen = [value(parse(text), "runs_total") for text in scrapes] + [420]
    assert runs_seen == sorted(runs_seen)  # no reload sets it back
    assert value(parse(last), "runs_total") == 420
    assert value(parse(last), "made_total", realm="a") >= 10


def test_what_it_requires_and_its_settings(scene):
    """Required files and the handler block come anew; other keys are named and wait for a restart."""
    scene.handler('return "one"', "rules.lua")
    text = HANDLER.format(version='" .. rules .. host.config.suffix .. "')
    text = text.replace("local M", 'local rules = require "rules"\nlocal M')
    changes = {"handler": {"runs": scene.wire.url["runs"], "suffix": "-a"}, "slots": 4}
    with scene.host(scene.handler(text), "--log-format", "json", **changes) as host:
        host.wait_says("consuming")
        scene.handler('return "two"', "rules.lua")
        with open(host.config_path) as f:
            config = f.read()
        with open(host.config_path, "w") as f:
            f.write(config.replace('"-a"', '"-b"').replace('["slots"] = 4', '["slots"] = 5'))
        scene.queue.send("before")
        host.wait_for("an empty queue", scene.queue.is_empty)
        assert reload(host)[0] == 0
        host.assert_says("takes a restart")
        assert said(host, "changed in the configuration")[0]["keys"] == "slots"
        scene.queue.send("after")
        host.wait_for("an empty queue", scene.queue.is_empty)
        with open(host.config_path, "w") as f:
            f.write("return {")
        code, words = reload(host)
        assert code == 78 and host.config_path in words, words
    assert runs(scene) == {"before": ["one-a"], "after": ["two-b"]}


def swap(path, text):
    """As editors write: a new file beside it, renamed over it."""
    with open(path + "~", "w") as f:
        f.write(text)
    os.replace(path + "~", path)


def test_watched_files(scene):
    scene.handler('return "one"', "rules.lua")
    text = HANDLER.format(version='" .. rules .. "').replace("local M", 'local rules = require "rules"\nlocal M')
    with start(scene, text, "--watch") as host:
        host.wait_says("consuming")
        swap(os.path.join(scene.folder, "rules.lua"), 'return "two"')
        host.wait_for("a reload", lambda: said(host, "reloaded"))
        scene.queue.send("a")
        host.wait_for("an empty queue", scene.queue.is_empty)
        swap(os.path.join(scene.folder, "rules.lua"), "return {")
        host.wait_for("words", lambda: said(host, "not reloaded"))
        scene.handler('return "three"', "rules.lua")  # in place, by truncation
        host.wait_for("a reload", lambda: len(said(host, "reloaded")) == 2)
        scene.queue.send("b")
        host.wait_for("an empty queue", scene.queue.is_empty)
    assert runs(scene) == {"a": ["two"], "b": ["three"]}


def test_a_mounted_folder(scene):
    """Kubernetes mounts ..data as a link to the newest folder, and swaps that link."""
    mount = os.path.join(scene.folder, "mount")

    def publish(version):
        os.makedirs(os.path.join(mount, f"..{version}"))
        with open(os.path.join(mount, f"..{version}", "handler.lua"), "w") as f:
            f.write(HANDLER.format(version=version))
        os.symlink(f"..{version}", os.path.join(mount, "..data_tmp"))
        os.replace(os.path.join(mount, "..data_tmp"), os.path.join(mount, "..data"))

    publish("one")
    os.symlink("..data/handler.lua", os.path.join(mount, "handler.lua"))
    with start(scene, None, "--watch", path=os.path.join(mount, "handler.lua")) as host:
        host.wait_says("consuming")
        publish("two")
        host.wait_for("a reload", lambda: said(host, "reloaded"))
        scene.queue.send("a")
        host.wait_for("an empty queue", scene.queue.is_empty)
    assert runs(scene) == {"a": ["two"]}
