"""`host init` and `host invoke` as an author meets them; nothing is sent anywhere."""
import json
import os
import pty
import subprocess

import pytest

import hostproc

HANDLER = """
local host, http = require "host", require "host.http"
local M = {}
function M.handle(msg)
  local e = msg.json
  if e.boom then error("boom") end
  if e.reject then return host.reject(e.reject) end
  if e.after then return host.retry { after = e.after, reason = "later" } end
  http.post(e.url, { json = { n = 1 }, expect = "2xx" })
end
return M
"""


def host(folder, *args, given=""):
    done = subprocess.run([hostproc.BINARY, *args], cwd=folder, text=True, input=given,
                          capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "h.lua").write_text(HANDLER.lstrip())
    return tmp_path


def invoke(folder, event, *args):
    return host(folder, "invoke", "h.lua", "-e", "-", *args, given=json.dumps(event))


def test_from_nothing(tmp_path):
    code, out, _ = host(tmp_path, "init", "signups")
    assert code == 0 and "Next:  cd signups && host test" in out
    made = sorted(p.name for p in (tmp_path / "signups").iterdir())
    assert made == [".luacheckrc", ".luahost", ".luarc.json", "event.json", "host.conf.lua",
                    "signups.lua", "signups_test.lua"]
    assert (tmp_path / "signups/.luahost/types/host/keycloak.lua").is_file()
    code, out, _ = host(tmp_path / "signups", "test")
    assert (code, out.splitlines()[-1]) == (0, "3 passed, 0 failed, in 1 file")
    code, out, err = host(tmp_path / "signups", "invoke", "signups.lua", "-e", "event.json")
    assert code == 0 and out.endswith("ack\n"), err
    assert '"username":"user-1"' in out and "→ 201 (Keycloak in memory)" in out


def test_init_overwrites_nothing(tmp_path):
    (tmp_path / "event.json").write_text("mine")
    code, _, err = host(tmp_path, "init", ".")
    assert code == 1 and "event.json is there already: nothing was written" in err
    assert [p.name for p in tmp_path.iterdir()] == ["event.json"]
    code, _, err = host(tmp_path, "init", "")
    assert code == 2 and "DIR is empty" in err
    code, _, err = host(tmp_path, "init", "not a name")
    assert code == 2 and "letters, digits, _ and -" in err
    assert not (tmp_path / "not a name").exists()


@pytest.mark.parametrize("event, code, words", (
    ({"reject": "no good"}, 0, "reject\n       h.lua:6: no good"),
    ({"after": 7}, 0, "retry after 7 s\n       h.lua:7: later"),
    ({"boom": True}, 1, "retry\n       h.lua:5: boom"),
    ({"url": "http://x.test/a?b=c"}, 1, "cannot tell: say what it would answer,"
                                        " --answer 'POST http://x.test/a 200'"),
))
def test_what_became_of_it(folder, event, code, words):
    got, out, err = invoke(folder, event)
    assert got == code and words in out, out + err


def test_other_servers_answer_as_they_are_told(folder):
    code, out, _ = invoke(folder, {"url": "http://x.test/a"}, "--answer",
                          "POST http://x.test/* 201 {}")
    assert code == 0 and out.endswith("→ 201 (by --answer)\nack\n")
    code, out, _ = invoke(folder, {"url": "http://x.test/a"}, "--answer", "* http://x.test/a 503")
    assert code == 1 and "parked until http://x.test:80 is back" in out
    code, out, _ = invoke(folder, {"reject": "x"}, "--json")
    assert json.loads(out)["outcome"] == "reject"


def test_what_is_printed_is_sorted(folder):
    """Lua's tables have no order, and two runs are to be compared."""
    names = [f"name{n}" for n in range(20)]
    (folder / "h.lua").write_text("""local http, json = require "host.http", require "host.json"
return { handle = function(msg)
  local a = { 3, json.null, { z = "ü", y = 1.5, x = json.null, w = json.object {} } }
  http.post("http://x.test/", { json = { b = msg.json, a = a } })
end }
""")
    event = dict.fromkeys(reversed(names), True) | {"none": [], "big": 9007199254740993}
    wanted = json.dumps({"a": [3, None, {"w": {}, "x": None, "y": 1.5, "z": "ü"}], "b": event}, sort_keys=True,
                        separators=(",", ":"), ensure_ascii=False)
    answer = ("--answer", "POST http://x.test/ 200")
    code, out, err = invoke(folder, event, *answer)
    assert code == 0 and f"       {wanted}\n" in out, out + err
    code, out, err = invoke(folder, event, *answer, "--json")
    assert json.loads(out)["requests"][0]["body"] == wanted, out + err
    assert list(json.loads(out)) == sorted(json.loads(out))


def test_a_whole_message(folder):
    message = {"Body": json.dumps({"reject": "from inside"})}
    code, out, _ = invoke(folder, message, "--as", "sqs")
    assert code == 0 and "from inside" in out
    code, _, err = invoke(folder, {}, "--as", "sqs")
    assert code == 1 and "no text named Body" in err


@pytest.mark.parametrize("form", ("sqs", "sns", "eventbridge"))
def test_samples_are_events(folder, form):
    (folder / "seen.lua").write_text("""local M = {}
function M.handle(msg)
  return require "host".reject(msg.json.user.username .. " " .. tostring((msg.envelope or {}).kind))
end
return M
""")
    _, sample, _ = host(folder, "invoke", "--sample", form)
    code, out, err = host(folder, "invoke", "seen.lua", "-e", "-", "--as", form, given=sample)
    kind = {"sqs": "nil"}.get(form, form)
    assert code == 0 and f"user-1 {kind}" in out, out + err
    assert ("queue.envelope says otherwise" in err) == (form != "sqs")
    (folder / "host.conf.lua").write_text('return { queue = { envelope = "auto" } }')
    code, out, err = host(folder, "invoke", "seen.lua", "-e", "-", given=sample)
    assert form == "sqs" or f"user-1 {kind}" in out, out + err  # as it would come to the host
    code, out, err = host(folder, "invoke", "seen.lua", "-e", "-", "--as", "sns", given="{}")
    assert code == 1 and "no SNS notification" in out, out + err


def man_on_a_terminal(path):
    """(exit code, what the terminal shows) with that PATH."""
    ours, its = pty.openpty()
    done = subprocess.run([hostproc.BINARY, "man", "host"], stdin=subprocess.DEVNULL, stdout=its,
                          stderr=its, timeout=20, env=hostproc.environment({"PATH": path}))
    os.close(its)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    return done.returncode, shown


def test_a_manual_page_on_a_terminal(tmp_path):
    """Through man, or mandoc; troff only where it is no terminal."""
    code, shown = man_on_a_terminal(str(tmp_path))
    assert code == 1 and "neither man nor mandoc" in shown and ".SH" not in shown, shown
    for name, arguments in (("mandoc", "-a"), ("man", "-l -")):
        viewer = tmp_path / name
        viewer.write_text('#!/bin/sh\nread first\necho "$0 $*: $first"\n')  # and leaves early
        viewer.chmod(0o755)
        code, shown = man_on_a_terminal(str(tmp_path))
        assert code == 0 and f"{name} {arguments}: .TH HOST 1" in shown, shown
        assert ".SH" not in shown, shown
    viewer.write_text("#!/bin/sh\nexit 3\n")
    code, shown = man_on_a_terminal(str(tmp_path))
    assert code == 1 and "it left with 3" in shown, shown
    code, out, _ = host(tmp_path, "man", "host")
    assert code == 0 and out.startswith(".TH HOST 1") and ".SH SIGNALS" in out


def test_a_variable_that_is_nearly_none(tmp_path):
    (tmp_path / "h.lua").write_text("return { handle = print }")
    for name, nearest in (("BOGUS", None), ("SLOT", "SLOTS"), ("QUEUE_URI", "QUEUE_URL")):
        done = subprocess.run([hostproc.BINARY, "run", "h.lua"], cwd=tmp_path, capture_output=True,
                              text=True, timeout=20,
                              env=hostproc.environment({f"LUAHOST_{name}": "1"}))
        assert done.returncode == 78 and f"LUAHOST_{name}: there is no such key" in done.stderr
        assert ("did you mean" in done.stderr) == (nearest is not None), done.stderr
        assert nearest is None or f"did you mean LUAHOST_{nearest}?" in done.stderr


@pytest.mark.parametrize("args, code, words", (
    (("h.lua",), 2, "name the event"),
    (("h.lua", "-e", "nowhere"), 1, "cannot open nowhere"),
    (("nowhere.lua", "-e", "-"), 78, "nowhere.lua: no such file"),
    (("bad.lua", "-e", "-"), 78, "bad.lua:1:"),
    (("h.lua", "-e", "-", "--as", "sms"), 2, "--as sms: it is one of body, sqs, sns, eventbridge"),
    (("--sample", "mail"), 2, "--sample mail: it is one of sqs, sns, eventbridge"),
    (("-e", "-"), 2, "HANDLER is missing"),
    (("h.lua", "-e", "-", "--live", "--answer", "GET http://x 200"), 2, "without --live only"),
    *((("h.lua", "-e", "-", "--answer", answer), 2, "METHOD URL STATUS")
      for answer in ("x", "POST http://x", "POST http://x ", "POST http://x 2000",
                     " http://x 200", "POST  200", "POST http://x 200x", "POST http://x 2e2")),
    *((("h.lua", "-e", "-", "--answer", f"POST http://x {n} {{}}"), 2, "from 100 to 599")
      for n in ("999", "600", "099", "000")),
))
def test_wrong_calls(folder, args, code, words):
    (folder / "bad.lua").write_text("return {")
    got, _, err = host(folder, "invoke", *args, given="{}")
    assert got == code and words in err, err
