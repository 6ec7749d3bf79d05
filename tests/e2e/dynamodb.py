"""Tables for the shared store: a real DynamoDB Local, and moto, which is none of its kin."""
import json
import os
import subprocess
import sys
import uuid

import boto3
from botocore.config import Config

import hostproc
import procs
import sqs

VERSION = "3.3.1"
TOOL = os.path.join(os.path.dirname(hostproc.BINARY), "tools", "claims")

# Its conditional writes are atomic in one thread only.
ONE_THREAD = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app),
           threaded=False)
"""


class Server:
    name = None

    def __init__(self, log_dir):
        self.port = procs.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_dir = log_dir
        self.process = None

    def start(self):
        self.process = procs.Process(self.name, self.argv(), os.path.join(
            self.log_dir, f"{self.name}-{self.port}.log"))
        return self

    def wait(self):
        self.process.wait_ready(lambda: procs.listening(self.port))
        return self

    def kill(self):
        """SIGKILL; start() and wait() bring it back on the same port."""
        self.process.kill()

    def stop(self):
        if self.process:
            self.process.stop()


class DynamoDBLocal(Server):
    """folder: where it keeps its tables, for one that is to be killed and started again."""

    name = "DynamoDB"

    def __init__(self, cache, log_dir, folder=None):
        super().__init__(log_dir)
        self.jars = os.path.join(cache, "dynamodb-" + VERSION)
        self.storage = ["-dbPath", folder] if folder else ["-inMemory"]

    def argv(self):
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1",
                "-Dsqlite4java.library.path=" + self.jars, "-cp", os.path.join(self.jars, "*"),
                "software.amazon.dynamodb.services.local.main.ServerRunner", *self.storage,
                "-sharedDb", "-disableTelemetry", "-port", str(self.port)]


class MotoTables(Server):
    """Keeps nothing when it is killed."""

    name = "moto-tables"

    def argv(self):
        return [sys.executable, "-c", ONE_THREAD, str(self.port)]


def client(url):
    return boto3.client(
        "dynamodb", endpoint_url=url, region_name=sqs.REGION,
        aws_access_key_id=sqs.KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=sqs.KEYS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 3}))


def new_name():
    """Of a table that no other test uses."""
    return f"claims-{uuid.uuid4().hex[:12]}"


class Table:
    """A table on a server; as the store wants it, unless said."""

    def __init__(self, server, name=None, key="key", kind="S", sort=None, ttl="expires"):
        self.server, self.name = server, name or new_name()
        self.db = client(server.url)
        self.key, self.kind, self.sort, self.ttl = key, kind, sort, ttl
        self.create()

    def create(self):
        schema = [{"AttributeName": self.key, "KeyType": "HASH"}]
        types = [{"AttributeName": self.key, "AttributeType": self.kind}]
        if self.sort:
            schema.append({"AttributeName": self.sort, "KeyType": "RANGE"})
            types.append({"AttributeName": self.sort, "AttributeType": "S"})
        self.db.create_table(TableName=self.name, KeySchema=schema, AttributeDefinitions=types,
                             BillingMode="PAY_PER_REQUEST")
        if self.ttl:
            self.db.update_time_to_live(TableName=self.name, TimeToLiveSpecification={
                "AttributeName": self.ttl, "Enabled": True})

    def items(self):
        """{partition key: {attribute: str or int}} of all items."""
        items, more = {}, {}
        while True:
            page = self.db.scan(TableName=self.name, ConsistentRead=True, **more)
            for item in page["Items"]:
                plain = {n: int(v["N"]) if "N" in v else v["S"] for n, v in item.items()}
                items[plain.pop("key")] = plain
            if "LastEvaluatedKey" not in page:
                return items
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


class Claimer:
    """One host's store without the host: tests/tools/claims.c. Always to be used with `with`."""

    def __init__(self, table, url=None, scope="eu-central-1/0/q", remember_ms=3600000, env=None,
                 prefix=()):
        self.popen = procs.spawn(
            [*prefix, TOOL, table.name, url or table.server.url, sqs.REGION, scope,
             str(remember_ms)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=hostproc.environment(env))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.stdin.close()
        assert self.popen.wait(30) == 0
        self.popen.stdout.close()

    def begin(self, *lines):
        """Starts calls, all of them together."""
        self.popen.stdin.write("".join(line + "\n" for line in lines) + "go\n")

    def end(self, count):
        """Their answers, in the order of the lines."""
        answers = [json.loads(self.popen.stdout.readline()) for _ in range(count)]
        return sorted(answers, key=lambda a: a["n"])

    def all(self, *lines):
        self.begin(*lines)
        return self.end(len(lines))

    def one(self, line):
        return self.all(line)[0]

    def claim(self, key, body, token, for_ms=30000):
        return self.one(f"claim {key} {body} {token} {for_ms}")["answer"]

    def done(self, key, body, token, for_ms=60000):
        return self.one(f"done {key} {body} {token} {for_ms}")["answer"]

    def free(self, key, token):
        return self.one(f"free {key} {token}")["answer"]
