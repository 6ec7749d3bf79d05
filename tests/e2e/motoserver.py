"""moto's server from the venv: a second SQS that is none of ours, and that errs elsewhere."""
import os
import sys

import procs


class Moto:
    def __init__(self, log_dir):
        self.port = procs.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = procs.Process(
            "moto", [os.path.join(os.path.dirname(sys.executable), "moto_server"),
                     "-H", "127.0.0.1", "-p", str(self.port)],
            os.path.join(log_dir, "moto.log"))
        self.process.wait_ready(lambda: procs.listening(self.port), 30)

    def stop(self):
        self.process.stop()
