"""`host test` as an author meets it: what is said of each way in which tests fail."""
import os
import signal
import subprocess
import xml.etree.ElementTree

import pytest

import hostproc
import procs

HANDLER = """
local M = {}
function M.handle(msg)
  if msg.json.url then require("host.http").get(msg.json.url) end
  error("boom")
end
return M
"""

CASES = """
local t = require "host.test"
local h = t.handler "handler"
t.case("same", function() t.equal({ 1, { "x" } }, { 1, { "x" } }) end)
t.case("differs", function()
  t.equal({ a = 1, b = { "x" } }, { a = 2, b = { "y" } }, "the user")
end)
t.case("nothing", function() end)
t.case("unanswered", function() h:run { json = { url = "http://x.test/a" } } t.ok(true) end)
t.case("raises", function() local x; t.ok(x.y) end)
t.case("outcome", function() t.equal(h:run { json = {} }.outcome, "ack") end)
t.case("nobody", function() t.handler("nope"):run "{}" end)
t.case("field", function() h:run { jsn = {} } end)
t.case("runaway", function() while true do end end)
t.case("syntax", function() t.handler("broken"):run "{}" end)
t.case("after it", function() t.ok(true) end)
"""

WORDS = """
  FAILED  differs
          the user: a: expected 2, got 1
          b[1]: expected "y", got "x"
          at some_test.lua:5
  FAILED  nothing
          the case asserts nothing: t.equal, t.ok, t.matches, t.raises
  FAILED  unanswered
          nobody answers GET http://x.test/a: add t.http.on("GET", "http://x.test/a", {status = 200})
  FAILED  raises
          some_test.lua:9: attempt to index a nil value (local 'x')
  FAILED  outcome
          expected "ack", got "retry"
          the last message's run ended with: handler.lua:4: boom
  FAILED  nobody
          some_test.lua:11: nope.lua: no such file
  FAILED  field
          some_test.lua:12: a message has no field "jsn" to set
  FAILED  runaway
          some_test.lua:13: used more CPU than limits.cpu
  FAILED  syntax
          broken.lua:2: unexpected symbol near '='
            1 | function handle()
          > 2 |   local x = = 1
              |             ^
            3 | end
          at some_test.lua:14
  ok      after it
2 passed, 9 failed, in 1 file
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "handler.lua").write_text(HANDLER.lstrip())
    (tmp_path / "broken.lua").write_text("function handle()\n  local x = = 1\nend\n")
    (tmp_path / "some_test.lua").write_text(CASES.lstrip())
    return tmp_path


def host_test(folder, *args):
    return subprocess.run([hostproc.BINARY, "test", *args], cwd=folder, text=True,
                          capture_output=True, timeout=120)


def test_each_failure_has_its_words(folder):
    done = host_test(folder, "--junit", "report.xml")
    assert done.returncode == 1
    lines = iter(done.stdout.splitlines())
    for wanted in WORDS.strip("\n").splitlines():
        assert any(wanted in line for line in lines), f"{wanted!r} in\n{done.stdout}{done.stderr}"
    report = xml.etree.ElementTree.parse(folder / "report.xml").getroot()
    assert (report.get("tests"), report.get("failures")) == ("11", "9")
    failures = {case.get("name"): case.find("failure") for case in report}
    assert failures["same"] is None
    assert "a: expected 2, got 1\nb[1]" in failures["differs"].get("message")


def test_a_filter(folder):
    done = host_test(folder, "--filter", "same")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, in 1 file")
    done = host_test(folder, "--filter", "zzz")
    assert done.returncode == 1 and 'none has a name with "zzz" in it' in done.stdout


@pytest.mark.parametrize("text, words", (
    ('local t = require "host.test"\nt.case("x", function( end)', "bad_test.lua:2: "),
    ("return {}", "declares no case"),
    ('local t = require "host.test"\nt.case("a", print) t.case("a", print)', '"a" is there already'),
))
def test_a_file_that_does_not_load(tmp_path, text, words):
    (tmp_path / "bad_test.lua").write_text(text)
    done = host_test(tmp_path)
    assert done.returncode == 1 and words in done.stdout, done.stdout


def test_watching(tmp_path):
    """Each save of a test, of its handler or of what that requires is a run; a slip is no end."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "rules.lua").write_text('return { answer = "yes" }')
    (shop / "handler.lua").write_text(
        'local rules = require "rules"\nreturn { handle = function() return host.reject(rules.answer) end }'
        .replace("host.", 'require("host").'))
    (tmp_path / "some_test.lua").write_text(
        'local t = require "host.test"\nlocal h = t.handler "shop/handler"\n'
        't.case("says", function() t.equal(h:run("{}").reason, "yes") end)')
    out = tmp_path / "out.txt"
    with open(out, "w") as f:
        process = procs.spawn([hostproc.BINARY, "test", "--watch"], cwd=tmp_path, stdout=f,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def runs():
        return [line for line in out.read_text().splitlines() if line.endswith("in 1 file")]

    def save(path, text, result):
        (tmp_path / "new").write_text(text)
        before = len(runs())
        os.replace(tmp_path / "new", path)
        procs.wait_until("a run", lambda: len(runs()) > before)
        assert runs()[-1].startswith(result), out.read_text()

    procs.wait_until("the first run", lambda: out.read_text().rstrip().endswith("Ctrl-C ends it."))
    assert runs() == ["1 passed, 0 failed, in 1 file"], out.read_text()
    save(shop / "rules.lua", 'return { answer = "no" }', "0 passed, 1 failed")
    save(shop / "rules.lua", "return {", "0 passed, 1 failed")
    save(shop / "rules.lua", 'return { answer = "yes" }', "1 passed")
    save(tmp_path / "some_test.lua", 'local t = require "host.test"\n', "0 passed, 1 failed")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert len(runs()) == 5


def test_no_tests(tmp_path):
    done = host_test(tmp_path)
    assert done.returncode == 1 and "named like register_test.lua" in done.stderr
    done = host_test(tmp_path, "nowhere")
    assert done.returncode == 1 and "nowhere: No such file" in done.stderr


def test_handlers_cannot_require_it(tmp_path):
    (tmp_path / "handler.lua").write_text('require "host.test"')
    done = subprocess.run([hostproc.BINARY, "run", "handler.lua", "--queue-url", "http://x.test/1/q"],
                          cwd=tmp_path, text=True, capture_output=True, timeout=60,
                          env={"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"})
    assert done.returncode == 78 and "which `host test` runs" in done.stderr, done.stderr
