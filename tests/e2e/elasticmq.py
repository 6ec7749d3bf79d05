"""A real ElasticMQ from the cache folder: an SQS server that is none of ours."""
import os

import procs

VERSION = "1.7.1"

CONFIG = """
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-hostname = "127.0.0.1", bind-port = {port}, sqs-limits = strict }}
rest-stats.enabled = false
{storage}
"""
IN_MEMORY = "messages-storage.enabled = false"
# Without a delay: what was answered outlives a SIGKILL.
IN_A_FILE = """messages-storage {{ enabled = true, driver-class-name = "org.h2.Driver", username = "",
    password = "", uri = "jdbc:h2:file:{folder}/elasticmq;WRITE_DELAY=0" }}"""


class ElasticMQ:
    """folder: where it keeps its messages, for one that is to be killed and started again."""

    def __init__(self, cache, log_dir, folder=None):
        self.port = procs.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.cache, self.log_dir = cache, log_dir
        self.storage = IN_A_FILE.format(folder=folder) if folder else IN_MEMORY
        self.process = None

    def start(self):
        config = os.path.join(self.log_dir, f"elasticmq-{self.port}.conf")
        with open(config, "w") as f:
            f.write(CONFIG.format(port=self.port, storage=self.storage))
        jars = os.path.join(self.cache, "elasticmq-" + VERSION, "*")
        self.process = procs.Process(
            "ElasticMQ",
            ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dconfig.file=" + config, "-cp", jars,
             "org.elasticmq.server.Main"],
            os.path.join(self.log_dir, "elasticmq.log"))
        return self

    def wait_ready(self):
        self.process.wait_ready(lambda: procs.listening(self.port))

    def wait(self):
        self.wait_ready()
        return self

    def kill(self):
        """SIGKILL; start() and wait_ready() bring it back on the same port."""
        self.process.kill()

    def stop(self):
        if self.process:
            self.process.stop()
