"""A new author's first five minutes, at a terminal of the usual size: what stands on its screen."""
import os
import re
import signal

import pytest

import hostproc
import procs
from hostproc import BINARY
from terminal import Terminals, steady

WELCOME = """host
host runs Lua handlers on the messages of an SQS queue.

  host run        consume a queue with a handler, until stopped
  host dev        the same, with a queue and a Keycloak inside; reloads on save
  host init       a new handler, its test, a sample event, a config file
  host invoke     one message through a handler; sends only with --live
  host send       put messages on a queue
  host test       run *_test.lua files against handlers, on fakes

host COMMAND --help tells more, with an example; host --help lists all.
"""
INIT = """host init signups
  signups/signups.lua
  signups/signups_test.lua
  signups/event.json
  signups/host.conf.lua
  signups/.luarc.json
  signups/.luacheckrc
  signups/.luahost/types/

Next:  cd signups && host test && host dev
"""
DEV = """host dev --listen 127.0.0.1:PORT --admin 127.0.0.1:PORT
TIME info  admin  http=127.0.0.1:PORT
             socket=PATH
TIME info  consuming
             queue=http://127.0.0.1:PORT/000000000000/registrations
             dead_letters=http://127.0.0.1:PORT/000000000000/registrations-dlq
             handler=signups.lua  workers_min=1  workers_max=4  slots=4
             keycloak=http://127.0.0.1:PORT
The host with a queue and a Keycloak, in memory: nothing persists. Other
servers that the handler calls are the real ones.

  handler   signups.lua, reloaded when it or what it requires is saved
  config    host.conf.lua, but for queue, Keycloak and dedupe store
  queue     http://127.0.0.1:PORT/000000000000/registrations
  dead      http://127.0.0.1:PORT/000000000000/registrations-dlq after 10 tries
  keycloak  http://127.0.0.1:PORT, realm demo, client luahost
  faults    http://127.0.0.1:PORT/_sandbox/faults
  admin     http://127.0.0.1:PORT/metrics

In another terminal:

  host send --event event.json
  curl -s http://127.0.0.1:PORT/_sandbox/log
  host status

Ctrl-C ends it.
"""
SEND = """host send --event event.json
1 of 1 messages sent to http://127.0.0.1:PORT/000000000000/registrations
"""
ACKED = """
TIME info  settled  id=ID
             queue=registrations  outcome=ack  attempt=1  dur_s=N
             wait_s=N  gen=%d
"""
BROKEN = """
TIME error not reloaded: the handler that runs goes on
             handler=signups.lua  gen=1  asked_by=--watch
    signups.lua:25: ')' expected near 'kc'
      24 | function M.handle(msg
    > 25 |     kc.users.ensure(to_user(msg.json))
         |     ^~
      26 | end
"""
STATUS = """host status
registrations  receiving
  handler   signups.lua, generation 1
  reload    refused: signups.lua:25: ')' expected near 'kc'
  process   host 0.1.0, pid N, up N
  queue     http://127.0.0.1:PORT/000000000000/registrations
  received  last at DATE
  in hand   0
  workers   0 of 1 busy, 0 of 4 slots
  targets   http://127.0.0.1:PORT in use, N at once
  so far    received 1, acked 1, retried 0, rejected 0, released 0,
            duplicates 0, lease lost 0
"""
MENDED = """
TIME info  reloaded  handler=signups.lua  gen=2  asked_by=--watch
             took_s=N
"""
INVOKE = """host invoke signups.lua -e event.json
POST   http://127.0.0.1:PORT/admin/realms/demo/users
       {BODY}
       → 201 (Keycloak in memory)
note: Keycloak could not be read; groups and roles are taken to exist, no users
      (no client secret: set keycloak.client_secret_file to a file that holds
      it, or LUAHOST_KEYCLOAK_CLIENT_SECRET)
ack
"""
TEST = """host test
signups_test.lua
  ok      makes the account
  ok      makes it once, though the event comes twice
  ok      rejects an event without an e-mail
3 passed, 0 failed, in 1 file
"""
STOPPED = """
^CTIME info  stopping: 0 in hand, 0 of them running
TIME info  stopped  received=2  acked=2  retried=0  rejected=0
             released=0  duplicates=0  lease_lost=0
"""


@pytest.fixture
def terminals(tmp_path):
    path = tmp_path / "bin"
    path.mkdir()
    (path / "host").symlink_to(os.path.abspath(BINARY))
    env = {k: v for k, v in hostproc.environment().items() if not k.startswith("AWS_")}
    with Terminals(tmp_path, path, env) as windows:
        yield windows


def make(terminals, tmp_path):
    """`host init`, with a port that nobody else has; two windows in its folder."""
    one, two = terminals.open("one"), terminals.open("two")
    one.type("host init signups")
    one.assert_shows(INIT)
    port = procs.free_port()
    conf = tmp_path / "signups" / "host.conf.lua"
    conf.write_text(conf.read_text().replace("9324", str(port)))
    one.type("cd signups")
    two.type("cd signups")
    return one, two, f"host dev --listen 127.0.0.1:{port} --admin 127.0.0.1:0", port


def test_from_nothing_to_a_test(terminals, tmp_path):
    one, two, dev, _ = make(terminals, tmp_path)
    handler = tmp_path / "signups" / "signups.lua"
    two.type("host")
    two.assert_shows(WELCOME)
    one.type(dev, wait="Ctrl-C ends it.")
    one.assert_shows(DEV)

    one.clear()
    two.type("host send --event event.json")
    two.assert_shows(SEND)
    one.wait("gen=1")
    one.assert_shows(ACKED % 1)

    one.clear()
    good = handler.read_text()
    handler.write_text(good.replace("M.handle(msg)", "M.handle(msg"))
    one.wait("26 | end")
    one.assert_shows(BROKEN)
    two.type("host status")
    two.assert_shows(STATUS)

    one.clear()
    handler.write_text(good)
    one.wait("took_s")
    one.assert_shows(MENDED)
    one.clear()
    two.type("host send --event event.json")
    one.wait("gen=2")
    one.assert_shows(ACKED % 2)

    two.type("host invoke signups.lua -e event.json")
    whole = steady("\n".join(two.lines("-J")))  # but for the body, which is as long as it is
    body = re.search(r"\{(\S+)\}", whole)[1]
    assert '"username":"user-1"' in body and '"firstName":"Anna"' in body
    assert whole.replace(body, "BODY") == INVOKE + "$", whole
    two.type("host test")
    two.assert_shows(TEST)

    one.clear()
    one.key("C-c")
    one.wait_prompt()
    one.assert_shows(STOPPED)


def test_a_window_that_is_closed(terminals, tmp_path):
    """The host in it ends; elsewhere SIGHUP reloads, also at a terminal."""
    one, two, dev, port = make(terminals, tmp_path)
    one.type(dev, wait="Ctrl-C ends it.")
    two.type("host status --json")
    pid = int(re.search(r'"pid":(\d+)', "".join(two.lines("-J")))[1])
    os.kill(pid, signal.SIGHUP)
    one.wait("asked_by=SIGHUP")
    one.close()
    procs.wait_until("end of the host", lambda: not procs.listening(port), 30)


def test_every_help_fits():
    code, text = hostproc.command("--help")
    commands = re.findall(r"^  host (\S+) ", text.split("Example:")[0], re.M)
    assert code == 0 and len(commands) > 10
    for command in commands:
        code, text = hostproc.command(command, "--help")
        assert code == 0 and text.startswith(f"Usage: host {command}") and "\nExample:\n" in text, text
        assert max(map(len, text.splitlines())) <= 100, text
        assert text == "\n".join(map(str.rstrip, text.split("\n"))), f"{command}: spaces at an end"
