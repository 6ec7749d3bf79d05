"""boto3 on a queue server of the tests, its errors as plain words, and MD5 digests of our own."""
import hashlib
import struct
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDTESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "aws-secret-1732"}
REGION = "eu-central-1"


def client(url, read_timeout=120):
    return boto3.client(
        "sqs", endpoint_url=url, region_name=REGION, aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout,
                      max_pool_connections=20))


def outcome(call, *args, **kw):
    """"ok", or the error's code as its JSON body names it."""
    try:
        call(*args, **kw)
        return "ok"
    except ClientError as e:
        error = e.response["Error"]
        return (error.get("QueryErrorCode") or error["Code"]).rpartition("#")[2]


def batch_outcome(answer):
    """{entry id: "ok" or its code} of a batch call's answer."""
    result = {e["Id"]: "ok" for e in answer.get("Successful", [])}
    result.update({e["Id"]: e["Code"] for e in answer.get("Failed", [])})
    return result


def md5_of_body(text):
    return hashlib.md5(text.encode()).hexdigest()


def md5_of_attributes(attributes):
    """The digest that SQS documents: names in byte order, every part with its length before it."""
    digest = hashlib.md5()

    def part(data):
        digest.update(struct.pack(">I", len(data)) + data)

    for name, value in sorted(attributes.items()):
        part(name.encode())
        part(value["DataType"].encode())
        if value["DataType"].startswith("Binary"):
            digest.update(b"\x02")
            part(value["BinaryValue"])
        else:
            digest.update(b"\x01")
            part(value["StringValue"].encode())
    return digest.hexdigest()


class Queue:
    """One queue through one client."""

    def __init__(self, sqs, url, name):
        self.sqs, self.url, self.name = sqs, url, name

    def send(self, body="hello", **kw):
        return self.sqs.send_message(QueueUrl=self.url, MessageBody=body, **kw)

    def send_many(self, bodies):
        bodies = list(bodies)
        for i in range(0, len(bodies), 10):
            answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=[
                {"Id": str(n), "MessageBody": b} for n, b in enumerate(bodies[i:i + 10])])
            assert not answer.get("Failed"), answer

    def receive(self, number=1, wait=0, visibility=None, **kw):
        if visibility is not None:
            kw["VisibilityTimeout"] = visibility
        return self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=number, WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"], **kw
        ).get("Messages", [])

    def receive_one(self, wait=2, visibility=None, **kw):
        messages = self.receive(1, wait, visibility, **kw)
        assert len(messages) == 1, messages
        return messages[0]

    def delete(self, handle):
        return outcome(self.sqs.delete_message, QueueUrl=self.url, ReceiptHandle=handle)

    def change(self, handle, seconds):
        return outcome(self.sqs.change_message_visibility, QueueUrl=self.url, ReceiptHandle=handle,
                       VisibilityTimeout=seconds)

    def counts(self):
        """(visible, in flight, delayed)"""
        a = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        kinds = ("", "NotVisible", "Delayed")
        return tuple(int(a["ApproximateNumberOfMessages" + kind]) for kind in kinds)

    def is_empty(self):
        return self.counts() == (0, 0, 0)


def arn(sqs, url):
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def create_queue(sqs, prefix="q", **attributes):
    """A queue with a name that no other test uses."""
    name = f"{prefix}-{uuid.uuid4().hex[:12]}" + (".fifo" if "FifoQueue" in attributes else "")
    url = sqs.create_queue(QueueName=name, Attributes={k: str(v) for k, v in attributes.items()})
    return Queue(sqs, url["QueueUrl"], name)
