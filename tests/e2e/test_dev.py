"""`host dev` as an author meets it: what its banner says can be typed, and saves are obeyed."""
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.request

import hostproc
import procs
from hostproc import BINARY, Host

HANDLER = """local host = require "host"
local log = require "host.log"
return { handle = function(msg) log.info("%s " .. msg.json.user.username) end }
"""


class Dev(Host):
    """host dev in a folder, as from a shell without any AWS or host settings."""

    def __init__(self, folder, *arguments, env=None):
        self.folder = str(folder)
        self.log_path = os.path.join(self.folder, "log.txt")
        self.env = {k: v for k, v in hostproc.environment(env).items() if not k.startswith("AWS_")}
        self.began = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.popen = procs.spawn(
                [BINARY, "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                env={**self.env, **(env or {})})

    def __enter__(self):
        self.wait_says("Ctrl-C ends it")
        self.took_s = time.monotonic() - self.began
        return self

    def address(self, name):
        return re.search(rf"^  {name} +(http://[^\s,]+)", self.text, re.M)[1]

    def type_what_it_says(self, command):
        """Runs the line of the banner that begins so, with this program as `host`."""
        line = re.search(rf"^  ({command}.*)$", self.text.replace("\\\n", ""), re.M)[1]
        words = shlex.split(line)
        if words[0] == "host":
            words[0] = BINARY
        return subprocess.run(words, cwd=self.folder, env=self.env, text=True, timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def leave(self):
        self.popen.send_signal(signal.SIGINT)
        assert self.wait_exit() == 0, self.text


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_an_empty_folder(tmp_path):
    with Dev(tmp_path) as dev:
        assert dev.took_s < 5  # a busy machine's second
        dev.assert_says("nothing persists", "the example in this program")
        done = dev.type_what_it_says("host send")
        assert done.returncode == 0 and "1 of 1 messages sent" in done.stdout
        dev.wait_for("a registration", lambda: [e for e in dev.settled() if e["outcome"] == "ack"])
        assert "luahost_messages_settled_total" in get(dev.address("admin"))
        assert "/admin/realms/demo/users" in dev.type_what_it_says("curl").stdout
        done = dev.type_what_it_says("host status")
        assert done.returncode == 0 and "registrations" in done.stdout
        dev.leave()
    assert os.listdir(tmp_path) == ["log.txt"]


def test_what_init_made(tmp_path):
    """Its own queue and Keycloak, whatever the configuration says; saves are obeyed, also after a slip."""
    done = subprocess.run([BINARY, "init", "signups"], cwd=tmp_path, capture_output=True, timeout=20)
    assert done.returncode == 0
    folder = tmp_path / "signups"
    with socket.create_server(("127.0.0.1", 0)) as real:  # nobody may call it
        port = real.getsockname()[1]
        env = {"LUAHOST_QUEUE_URL": f"http://127.0.0.1:{port}/000000000000/real",
               "LUAHOST_KEYCLOAK_URL": f"http://127.0.0.1:{port}",
               "AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{port}",
               "AWS_ACCESS_KEY_ID": "REAL", "AWS_SECRET_ACCESS_KEY": "real", "AWS_SESSION_TOKEN": "real"}
        with Dev(folder, env=env) as dev:
            dev.assert_says("signups.lua, reloaded", "host.conf.lua, but for queue", "--event event.json")
            for version, source in (("one", HANDLER), ("slip", "return {"), ("two", HANDLER)):
                before = dev.text.count('"reloaded"')
                (folder / "new").write_text(source.replace("%s", version))
                os.replace(folder / "new", folder / "signups.lua")
                if version == "slip":
                    dev.wait_says("not reloaded", "signups.lua:1:")
                    continue
                dev.wait_for("a reload", lambda: dev.text.count('"reloaded"') > before)
                assert dev.type_what_it_says("host send").returncode == 0
                dev.wait_says(f"{version} user-1")
            dev.leave()
        real.settimeout(0.01)
        try:
            real.accept()
            raise AssertionError("it called the real one")
        except TimeoutError:
            pass
    assert [e["gen"] for e in dev.settled()] == [2, 3]  # the slip got no number


def save(folder, source, name="signups.lua"):
    (folder / "new").write_text(source)
    os.replace(folder / "new", folder / name)


def test_a_handler_that_is_broken_at_the_start(tmp_path):
    """It is waited for, whatever the slip: in the file, in what it requires, in init, in the settings."""
    slips = (("return {", "signups.lua:1:", "> 1 | return {"),
             (HANDLER.replace("return", 'require "rules" return'), "module 'rules' not found"),
             ("return { handle = print, init = function() error 'no db' end }", "no db"))
    (tmp_path / "signups.lua").write_text("retrun {}")
    with Dev(tmp_path) as dev:
        dev.wait_says("waiting until it is saved", "signups.lua:1:")
        status = dev.type_what_it_says("host status").stdout
        assert "starting" in status and "signups.lua, not loaded" in status and "refused: signups" in status
        assert dev.type_what_it_says("host send").returncode == 0
        for source, *words in slips:
            save(tmp_path, source)
            dev.wait_says(*words)
        save(tmp_path, "return {", "rules.lua")
        save(tmp_path, slips[1][0])
        dev.wait_says("rules.lua:1:")
        save(tmp_path, "return {", "host.conf.lua")
        dev.wait_says("host.conf.lua:1:")
        save(tmp_path, 'return { handler = { greeting = "hello" } }', "host.conf.lua")
        save(tmp_path, HANDLER.replace('"%s "', 'require "host".config.greeting .. " "'))
        dev.wait_says("hello user-1")
        assert dev.text.count("Ctrl-C ends it") == 1
        dev.leave()
    assert [e["gen"] for e in dev.settled()] == [1]


def test_leaving_while_it_waits(tmp_path):
    (tmp_path / "signups.lua").write_text("return {")
    with Dev(tmp_path) as dev:
        dev.wait_says("waiting until it is saved")
        dev.leave()


def test_a_mistyped_handler(tmp_path):
    done = subprocess.run([BINARY, "dev", "nowhere.lua", "--listen", "127.0.0.1:0"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 78 and "nowhere.lua" in done.stderr


def test_two_at_once(tmp_path):
    """Without --listen a taken port is no trouble."""
    with Dev(tmp_path) as first:
        taken = first.address("keycloak").removeprefix("http://")
        done = subprocess.run([BINARY, "dev", "--listen", taken], cwd=tmp_path, env=first.env,
                              text=True, capture_output=True, timeout=20)
        assert done.returncode == 1 and taken in done.stderr and "without --listen" in done.stderr
        first.leave()
