"""What authors get wrong, each with its words: at `host check` what shows when a handler loads, at
`host invoke` what shows when it runs. Nothing may crash, hang or be taken for an ack."""
import subprocess

import pytest

import hostproc

TAIL = b"\nfunction handle(msg) end\n"


def body(*lines):
    return ("local host = require 'host'\nlocal M = {}\nfunction M.handle(msg)\n"
            + "\n".join(lines) + "\nend\nreturn M\n").encode()


# name: (source, words) or (source, words, {further files})
LOADING = {
    "syntax": (b"local M = {}\nif x the return end\n",
               ["handler.lua:2:", "'then' expected near 'the'", "> 2 | if x the return end",
                "    |      ^~~"]),
    "syntax behind tabs": (b"\tlocal\tx = = 3\n", ["> 1 | \tlocal\tx = = 3", "| \t     \t    ^"]),
    "end is missing": (b"function handle(msg)\n  if msg then\n", ["'end' expected", "near <eof>"]),
    "open string": (b"x = 'abc\n" + TAIL, ["handler.lua:1:", "unfinished string", "> 1 |"]),
    "raises": (b"local x = nil\nlocal y = x.name\n" + TAIL,
               ["handler.lua:2:", "nil value (local 'x')", "> 2 | local y = x.name",
                "    |           ^"]),
    "raises nil": (b"error()\n" + TAIL, ["handler.lua:1:", "nil", "> 1 | error()"]),
    "raises a table": (b"error({ code = 7 })\n" + TAIL, ["handler.lua:1:", "table"]),
    "raises what cannot be told": (
        b"error(setmetatable({}, { __tostring = function() error 'x' end }))\n" + TAIL,
        ["handler.lua:1:", "error without a message"]),
    "empty": (b"", ["handler.lua", "no `handle`", "return a table"]),
    "only comments": (b"-- to be written\n", ["no `handle`"]),
    "no handle": (b"return { hande = function() end }\n", ["no `handle`"]),
    "handle is no function": (b"return { handle = 'register' }\n",
                              ["'handle' is a string, not a function"]),
    "init is no function": (b"return { init = 1, handle = function() end }\n",
                            ["'init' is a number, not a function"]),
    "returns a number": (b"return 42\n", ["returns a number", "return a table"]),
    "waits while it loads": (b"require('host').sleep(1)\n" + TAIL,
                             ["handler.lua:1", "cannot be called while the handler loads"]),
    "calls while it loads": (b"require('host.http').get 'http://127.0.0.1:1/'\n" + TAIL,
                             ["handler.lua:1", "cannot be called while the handler loads", "init"]),
    "yields while it loads": (b"coroutine.yield()\n" + TAIL, ["coroutine.yield"]),
    "missing module": (b"\nlocal x = require 'nmaes'\n" + TAIL,
                       ["handler.lua:2:", "module 'nmaes' not found", "nmaes.lua beside the",
                        "> 2 | local x = require 'nmaes'"]),
    "missing module of ours": (b"require 'host.keyclok'\n" + TAIL,
                               ["the host has no module 'host.keyclok'"]),
    "a path as a module": (b"require '../x'\n" + TAIL, ["is no module name"]),
    "require loop": (b"require 'a'\n" + TAIL, ["loop", "'a'", "while it loads"],
                     {"a.lua": b"require 'b'\n", "b.lua": b"require 'a'\n"}),
    "syntax in a module": (b"require 'a'\n" + TAIL, ["a.lua:2:", "near '}'", "> 2 | return }"],
                           {"a.lua": b"local A = {}\nreturn }\n"}),
    "error in a module": (b"require 'a'\n" + TAIL,
                          ["a.lua:1:", "not today", "> 1 | error 'not today'"],
                          {"a.lua": b"error 'not today'\n"}),
    "compiled": (b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n" + b"\x04\x08\x08xV\0" * 9,
                 ["handler.lua", "binary chunk", "'t'"]),
    "binary": (bytes(range(256)) * 8, ["handler.lua:1:"]),
    "not UTF-8 in code": (b"local M = {}\nlocal gr\xfc\xdfe = 1\n",
                          ["handler.lua:2:", "> 2 | local gr??e = 1"]),
    "UTF-16": ("\ufefffunction handle() end".encode("utf-16-le"), ["handler.lua:1:"]),
    "escapes of a terminal": (b"x = = '\x1b[2J'\n", ["> 1 | x = = '?[2J'"]),
    "a line too long": (b"local x = '" + b"y" * 5000 + b"' = = 3\n", ["handler.lua:1:", "…", "^"]),
    "loops while it loads": (b"while true do end\n" + TAIL, ["used more CPU"]),
    "takes all memory": (b"local t = {}\nfor i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end\n"
                         + TAIL, ["not enough memory"]),
    "no end to its calls": (b"local function f() return 1 + f() end\nf()\n" + TAIL,
                            ["not enough memory", "calls of a function by itself without end"]),
    "opens a file": (b"local f = io.open('/etc/passwd')\n" + TAIL,
                     ["handler.lua:1:", "'io'", "    |           ^~"]),
}

RUNNING = {
    "false": (body("return false"), ["handler.lua:3:", "returned false", "> 3 | function M.handle"]),
    "nil and words": (body("return nil, 'no luck'"), ['nil and the string "no luck"']),
    "a string": (body("return 'done'"), ['returned the string "done"']),
    "a number": (body("return 0"), ["returned a number"]),
    "a table": (body("return { after = 3 }"), ["returned a table"]),
    "an outcome not returned": (body("host.reject 'x'"), ["did not return what it gave"]),
    "a global": (body("count = 1"), ["handler.lua:4:", "global 'count' cannot be assigned",
                                     "> 4 | count = 1", "    | ^~~~~"]),
    "yield": (body("coroutine.yield(1)"), ["coroutine.yield out of the handler", "> 4 |"]),
    "waits inside gsub": (body("('a'):gsub('a', function() host.sleep(1) end)"),
                          ["handler.lua:4", "cannot wait here", "string.gsub"]),
    "waits inside sort": (body("table.sort({ 2, 1 }, function() host.sleep(1) end)"),
                          ["cannot wait here"]),
    "an undeclared name": (body("print(nmae.first)"), ["handler.lua:4:", "(global 'nmae')",
                                                       "    |       ^~~~"]),
    "a field of nothing": (body("\treturn msg.json.user.name"),
                           ["(field 'user')", "> 4 | \treturn msg.json.user.name",
                            "    | \t                ^~~~"]),
    "no end to its calls": (body("local function f() return 1 + f() end", "f()"),
                            ["not enough memory", "calls of a function by itself without end"]),
    "an endless loop": (body("while true do end"), ["used more CPU than limits.cpu", "> 4 |"]),
    "a loop in pcall": (body("while true do pcall(error) end"), ["used more CPU"]),
    "raises nil": (body("error()"), ["handler.lua:4", "nil"]),
    "raises a table": (body("error({ code = 7 })"), ["handler.lua:4", "{code = 7}"]),
    "raises what cannot be told": (
        body("error(setmetatable({}, { __tostring = function() error 'x' end }))"),
        ["error without a message"]),
    "raises in what it closes": (
        body("local x <close> = setmetatable({}, { __close = function() error 'closing' end })"),
        ["handler.lua:4:", "closing"]),
    "retry with words": (body("return host.retry 'later'"), ["handler.lua:4", "takes a table"]),
    "retry after a slip": (body("return host.retry { aftr = 5 }"),
                           ["handler.lua:4", "no field aftr: it takes after and reason"]),
    "retry with a list": (body("return host.retry { 5 }"), ["handler.lua:4", "no field 1"]),
    "retry after words": (body("return host.retry { after = 'soon' }"),
                          ["handler.lua:4", "after", "seconds"]),
    "retry after less than nothing": (body("return host.retry { after = -1 }"),
                                      ["handler.lua:4", "after"]),
    "retry after no number": (body("return host.retry { after = 0 / 0 }"),
                              ["handler.lua:4", "after"]),
    "reject with a table": (body("return host.reject { reason = 'x' }"),
                            ["handler.lua:4", "must be a string, not a table"]),
    "requires late": (body("require 'names'"), ["only while the handler loads"],
                      {"names.lua": b"return {}\n"}),
    "changes a library": (body("string.trim = 1"), ["handler.lua:4", "'string' is read-only"]),
    "a finalizer": (body("setmetatable({}, { __gc = function() end })"),
                    ["handler.lua:4", "__gc"]),
    "takes all memory": (body("local s = ('x'):rep(6e7) .. msg.id"), ["not enough memory"]),
    "leaves the process": (body("os.exit(1)"), ["handler.lua:4:", "'exit'", "    |    ^~~~"]),
}

# What looks wrong and is not.
GOOD = {
    "CRLF": b"local M = {}\r\nfunction M.handle(msg)\r\n  return true\r\nend\r\nreturn M\r\n",
    "byte order mark": b"\xef\xbb\xbffunction handle(msg) end\n",
    "#!": b"#!/usr/bin/env lua\nfunction handle(msg) end\n",
    "byte order mark and #!": b"\xef\xbb\xbf#!/usr/bin/lua\nfunction handle(msg) end\n",
    "no last line end": b"function handle(msg) end",
    "not UTF-8 in a string": b"local x = '\xff\xfe'\nfunction handle(msg) end\n",
    "a table of a megabyte": b"local t = {" + b"1234567," * 131072 + b"}\nfunction handle() end\n",
}


def host(tmp_path, command, case, *flags, stdin=b"{}"):
    path = tmp_path / "handler.lua"
    path.write_bytes(case[0])
    for name, text in (case[2] if len(case) > 2 else {}).items():
        (tmp_path / name).write_bytes(text)
    done = subprocess.run([hostproc.BINARY, command, str(path), *flags], input=stdin, timeout=30,
                          capture_output=True, env=hostproc.environment(
                              {"LUAHOST_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/q"}))
    text = (done.stdout + done.stderr).decode()  # strictly: what is printed is UTF-8
    hostproc.check_output(text)
    assert "\x1b" not in text and "\0" not in text
    return done.returncode, text


def lacks(text, words):
    return [w for w in words if w not in text]


@pytest.mark.parametrize("name", LOADING)
def test_at_load(tmp_path, name):
    code, text = host(tmp_path, "check", LOADING[name])
    assert code == 78 and "✗ handler" in text, text
    assert not lacks(text, LOADING[name][1]), text
    code, text = host(tmp_path, "invoke", LOADING[name], "-e", "-")
    assert code == 78, text
    assert not lacks(text, LOADING[name][1]), text


@pytest.mark.parametrize("name", RUNNING)
def test_at_run(tmp_path, name):
    code, text = host(tmp_path, "check", RUNNING[name])
    assert code == 0 or "✗ handler" not in text, text
    code, text = host(tmp_path, "invoke", RUNNING[name], "-e", "-")
    assert code == 1 and text.startswith(("retry", "reject")), text
    assert not lacks(text, RUNNING[name][1]), text


@pytest.mark.parametrize("name", GOOD)
def test_good_all_the_same(tmp_path, name):
    code, text = host(tmp_path, "check", (GOOD[name],))
    assert code == 0 and "✓ handler" in text, text
    code, text = host(tmp_path, "invoke", (GOOD[name],), "-e", "-")
    assert code == 0 and text.startswith("ack"), text


def test_a_handler_that_is_a_folder(tmp_path):
    (tmp_path / "handler.lua").mkdir()
    for command, *flags in ["check"], ["invoke", "-e", "-"]:
        code, text = hostproc.command(command, str(tmp_path / "handler.lua"), *flags)
        assert code == 78 and "is a folder, not a file" in text, text
