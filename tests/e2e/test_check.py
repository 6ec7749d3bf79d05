"""host check: the list, its crosses and exit codes; and the table that --print-table makes."""
import json
import subprocess

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
