"""The real servers together; by hand: python tests/e2e/servers.py runs them until interrupted."""
import os
import signal
import subprocess
import sys
import tempfile

from elasticmq import ElasticMQ
from keycloak import Keycloak

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cache_folder():
    """Where scripts/setup put the servers; it alone knows the rule."""
    setup = os.path.join(ROOT, "scripts", "setup")
    return subprocess.check_output([setup, "where"], text=True).strip()


class Servers:
    """Both boot at the same time. keycloak() and queue() wait for the one that is asked for, and
    start it where it was not expected."""

    def __init__(self, log_dir, with_keycloak=True):
        cache = cache_folder()
        self._keycloak, self._queue = Keycloak(cache, log_dir), ElasticMQ(cache, log_dir)
        self._started = set()
        if with_keycloak:
            self._start(self._keycloak)
        self._start(self._queue)
        self._waited = set()

    def _start(self, server):
        if server not in self._started:
            server.start()
            self._started.add(server)

    def _wait(self, server):
        self._start(server)
        if server not in self._waited:
            server.wait()
            self._waited.add(server)
        return server

    def keycloak(self):
        return self._wait(self._keycloak)

    def queue(self):
        return self._wait(self._queue)

    def stop(self):
        for server in self._started:
            server.stop()


def main():
    with tempfile.TemporaryDirectory(prefix="luahost-servers-") as logs:
        servers = Servers(logs)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            print(f"queue     {servers.queue().url}")
            print(f"keycloak  {servers.keycloak().url}  realms customers, mailnames;"
                  f" admin {Keycloak.ADMIN} {Keycloak.PASSWORD}", flush=True)
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            servers.stop()


if __name__ == "__main__":
    main()
