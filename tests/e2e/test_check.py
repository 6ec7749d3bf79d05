"""host check: the list, its crosses and exit codes; and the table that --print-table makes."""
import json
import pathlib
import subprocess

import pytest

import hostproc

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/registrations"
GOOD = "return { handle = function() end }"
STORE = {"LUAHOST_QUEUE_URL": QUEUE, "LUAHOST_DEDUPE_STORE": "dynamodb://claims-of-all"}


def check(tmp_path, source, *flags, config=None, env=None):
    """(exit code, standard output): what is for people stands on standard error."""
    handler = tmp_path / "handler.lua"
    handler.write_text(source)
    if config is not None:
        (tmp_path / "host.conf.lua").write_text("return " + hostproc.lua(config))
    done = subprocess.run([hostproc.BINARY, "check", str(handler), *flags],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                          env=hostproc.environment(env))
    hostproc.check_output(done.stdout + done.stderr)
    return done.returncode, done.stdout, done.stderr


def results(text):
    return {c["check"]: c["result"] for c in json.loads(text)["checks"]}


def test_a_good_handler(tmp_path):
    code, text, _ = check(tmp_path, GOOD, config={"queue": {"url": QUEUE}})
    assert code == 0
    lines = text.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["✓", "configuration"], ["✓", "queue"], ["✓", "handler"]]
    assert "host.conf.lua" in lines[0] and QUEUE in lines[1] and "handler.lua" in lines[2]


def test_each_cross_says_what_to_do(tmp_path):
    code, text, _ = check(tmp_path, "local x = = 3", config={
        "keycloak": {"client_secret_file": "nowhere"}, "drain": 5})
    assert code == 78
    for words in ("✗ queue", "set queue.url", "✗ handler", "handler.lua:1:", "✗ client secret",
                  "nowhere", "! configuration", "limits.time"):
        assert words in text, text


def test_secrets_that_are_not_there(tmp_path):
    keycloak = {"url": "http://127.0.0.1:9", "realm": "customers", "client_id": "svc"}
    code, text, _ = check(tmp_path, GOOD, config={"queue": {"url": QUEUE}, "keycloak": keycloak})
    assert code == 0 and "! client secret" in text and "LUAHOST_KEYCLOAK_CLIENT_SECRET" in text
    code, text, _ = check(tmp_path, GOOD, config={
        "queue": {"url": QUEUE}, "admin": {"token_file": "nowhere"}})
    assert code == 78 and "✗ admin token" in text and "nowhere" in text, text


def test_json(tmp_path):
    code, text, _ = check(tmp_path, "error 'not today'", "--json", config={"queue": {"url": QUEUE}})
    assert code == 78
    assert json.loads(text)["ok"] is False
    assert results(text) == {"configuration": "ok", "queue": "ok", "handler": "bad"}
    assert "not today" in text
    code, text, _ = check(tmp_path, GOOD, "--json", config={"queue": {"url": QUEUE}})
    assert code == 0 and json.loads(text)["ok"] is True


def test_a_configuration_that_cannot_be_read_is_a_cross(tmp_path):
    code, text, _ = check(tmp_path, GOOD, "--json", config={"dedup": {}})
    assert code == 78
    assert results(text) == {"configuration": "bad"}
    assert "did you mean" in text and "dedupe" in text


def test_init_is_not_run(tmp_path):
    source = "return { handle = function() end, init = function() error 'it ran' end }"
    code, text, _ = check(tmp_path, source, config={"queue": {"url": QUEUE}})
    assert code == 0, text


def test_usage(tmp_path):
    assert hostproc.command("check")[0] == 2
    assert hostproc.command("check", "a.lua", "--prnt-table")[0] == 2
    assert hostproc.command("check", "no-such-file.lua", env=STORE)[0] == 78


# -- common slips

def slips(tmp_path, *lines, config=None, head=()):
    """What is said of a handle with these lines: [(line of the file, words)]."""
    source = "\n".join(["local host = require 'host'", *head, "local M = {}",
                        "function M.handle(msg)", *lines, "end", "return M"])
    code, text, error = check(tmp_path, source, "--json", config={"queue": {"url": QUEUE},
                                                                 **(config or {})})
    assert code == 0, text + error
    said = [c for c in json.loads(text)["checks"] if c["check"] == "lint"]
    assert all(c["result"] == "doubt" for c in said)
    return [(int(c["text"].split(":")[1]), c["text"].split("\n")[0]) for c in said]


SLIPS = {
    "print(nmae)": ["'nmae' is declared nowhere"],
    "local x = { nmae, name = 1, [y] = 2 }": ["'nmae'", "'y'"],
    "count = 1": ["assigns the global 'count'"],
    "host.reject 'x'": ["`return host.reject"],
    "if msg.id then host.retry { after = 1 } end": ["`return host.retry"],
    "return nil, 'no luck'": ["`return nil, …`"],
    "if msg.id then return false end": ["`return false`"],
    "local x = host.env 'HOME'": ['host.env "HOME"'],
    "local x = host.config.url .. '/x'": ["host.config.url is not set"],
}


@pytest.mark.parametrize("line", SLIPS)
def test_a_slip(tmp_path, line):
    found = slips(tmp_path, line)
    assert [n for n, _ in found] == [4] * len(SLIPS[line]), found
    assert all(w in text for w, (_, text) in zip(SLIPS[line], found)), found
    assert slips(tmp_path, line + " -- check: ignore") == []


def test_a_variable_of_all_messages(tmp_path):
    head = ["local count, seen = 0, {}"]
    (line, words), = slips(tmp_path, "count = count + 1", "seen[msg.id] = true", head=head)
    assert line == 5 and "'count'" in words and "all messages" in words


@pytest.mark.parametrize("line", [
    "return host.reject 'x'", "local r = msg.id and host.retry { after = 1 } return r",
    "local function f() return nil, 'x' end f()", "repeat local done = f until done",
    "for i, v in ipairs({}) do print(i, v) end for n = 1, 2 do print(n) end",
    "goto out do print(msg) end ::out::", "local x <const> = 1 print(x)",
    "local s = [==[ nmae = ]] ]==] --[[ a\nb ]] print(s)", "local u = 'it\\'s' .. \"q\" print(u)",
    "function msg.f(self, ...) return self, ... end function msg:g() return self end",
    "if host.config.url then print(1) end local u = host.config.url or 'x'",
    "local function fact(n) return n < 2 and 1 or n * fact(n - 1) end print(fact(3))",
    "local a, b = 1, 2; a, b = b, a; print(a, b, 0x1p4, 1e-3, 3 // 2, a ~= b)",
])
def test_no_slip(tmp_path, line):
    assert slips(tmp_path, line, head=["local f"]) == []


def test_names_in_the_configuration_are_no_slips(tmp_path):
    config = {"handler": {"url": "http://x", "env": ["HOME"]}}
    assert slips(tmp_path, "print(host.config.url, host.env 'HOME')", config=config) == []


def test_globals_of_the_files_are_no_slips(tmp_path):
    (tmp_path / "names.lua").write_text("function first(x) return x end\nlimit = 3\n")
    assert slips(tmp_path, "print(first(limit))", head=["require 'names'"]) == []


def test_our_own_source_has_no_slips(tmp_path):
    for folder in ("examples", "host"):
        for path in sorted(pathlib.Path(hostproc.ROOT, "lua", folder).glob("*.lua")):
            code, text = hostproc.command("check", str(path), env={"LUAHOST_QUEUE_URL": QUEUE})
            assert "lint" not in text, text
            assert path.name != "register.lua" or "✓ handler" in text, text


# -- the table

def test_where_the_table_would_be(tmp_path):
    code, text, _ = check(tmp_path, GOOD, env=STORE)
    assert code == 0
    assert "table claims-of-all in eu-west-1 (https://dynamodb.eu-west-1.amazonaws.com" in text
    code, text, _ = check(tmp_path, GOOD, env={**STORE, "LUAHOST_DEDUPE_REGION": "us-east-2"})
    assert code == 0 and "in us-east-2 (https://dynamodb.us-east-2" in text
    code, text, _ = check(tmp_path, GOOD, env={**STORE, "LUAHOST_DEDUPE_REGION": "Ohio"})
    assert code == 78 and "✗ shared store" in text and "dedupe.region" in text


def test_no_table_to_print(tmp_path):
    code, text, error = check(tmp_path, GOOD, "--print-table")
    assert code == 78 and text == ""
    assert "dedupe.store" in error and "dynamodb://TABLE" in error


def test_the_printed_table_is_json_for_the_aws_command(tmp_path):
    code, text, _ = check(tmp_path, GOOD, "--print-table", "--json", env=STORE)
    assert code == 0
    printed = json.loads(text)
    assert printed["create_table"] == {
        "TableName": "claims-of-all", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}]}
    assert printed["time_to_live"]["TimeToLiveSpecification"] == {
        "Enabled": True, "AttributeName": "expires"}
    statement, = printed["policy"]["Statement"]
    assert statement["Resource"] == "arn:aws:dynamodb:eu-west-1:123456789012:table/claims-of-all"
    assert set(statement["Action"]) == {
        "dynamodb:UpdateItem", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"}


def test_the_printed_script_is_one(tmp_path):
    """With a stand-in for the aws program that writes its arguments down."""
    code, text, _ = check(tmp_path, GOOD, "--print-table", env={
        **STORE, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:8000"})
    assert code == 0
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >> "$AWS_LOG"\nprintf "\\n" >> "$AWS_LOG"\n')
    aws.chmod(0o755)
    log = tmp_path / "log"
    done = subprocess.run(["sh", "-eu"], input=text, text=True, capture_output=True, env={
        "PATH": f"{aws.parent}:/usr/bin:/bin", "AWS_LOG": str(log)})
    assert done.returncode == 0, done.stderr
    calls = [c.split("\0") for c in log.read_text().split("\0\n") if c]
    assert [c[1] for c in calls] == ["create-table", "wait", "update-time-to-live"]
    for call in calls:
        assert call[call.index("--endpoint-url") + 1] == "http://127.0.0.1:8000"
        assert call[call.index("--region") + 1] == "eu-west-1"
    assert json.loads(calls[0][-1])["TableName"] == "claims-of-all"
