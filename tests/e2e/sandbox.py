"""The stand-in servers inside the binary: host sandbox."""
import json
import os

import procs
from hostproc import BINARY, environment
from keycloak import realm_file


class Sandbox:
    def __init__(self, log_dir, realms=("customers", "mailnames")):
        self.log_path = os.path.join(log_dir, "sandbox.log")
        flags = [f for name in realms for f in ("--realm-file", realm_file(name))]
        self.process = procs.Process(
            "host sandbox", [BINARY, "sandbox", "--json", "--listen", "127.0.0.1:0", *flags],
            self.log_path, env=environment())
        banner = self.process.wait_ready(self._banner, 15)
        self.queue_url = banner["queue_endpoint"]
        self.url = banner["keycloak_url"]

    def _banner(self):
        with open(self.log_path) as f:
            for line in f:
                if line.startswith("{") and line.endswith("\n") and "queue_endpoint" in line:
                    return json.loads(line)
        return None

    def stop(self):
        self.process.stop()
        assert self.process.popen.returncode == 0, self.process.tail()
        with open(self.log_path, errors="replace") as f:
            text = f.read()
        assert "Sanitizer" not in text and "runtime error:" not in text, text[-6000:]
