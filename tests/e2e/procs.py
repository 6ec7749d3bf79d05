"""Child processes of the tests: started in a group of their own, never outliving the test run."""
import os
import random
import shutil
import signal
import socket
import subprocess
import time

claims = []


def free_port():
    """A port that nobody listens on. Nothing here uses a fixed one.

    It lies below those that the kernel gives to outgoing connections (32768 and up), so that none of
    these takes it before its server listens, or while that server is away. And it is claimed, by a
    name that lives as long as this process, since suites run side by side.
    """
    while True:
        port = random.randrange(10000, 32768)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0luahost-test-port-{port}")
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        claims.append(claim)
        return port


def wait_until(what, probe, timeout=60.0, step=0.1):
    """Calls probe until it answers something true; the answer is returned."""
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"after {timeout:.0f} s still no {what}")
        time.sleep(step)


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def spawn(argv, death_signal="KILL", **popen):
    """Starts argv in a new process group.

    The kernel ends it when the thread that called this ends, so call it from the main thread: that
    covers a test run that is itself killed. setpriv does it between fork and exec, where Python
    code is not safe.
    """
    setpriv = shutil.which("setpriv")
    if setpriv:
        argv = [setpriv, "--pdeathsig", death_signal, "--"] + list(argv)
    return subprocess.Popen(argv, start_new_session=True, **popen)


class Process:
    """A server in the background, its output in a file."""

    def __init__(self, name, argv, log_path, env=None, cwd=None, death_signal="KILL"):
        self.name = name
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.popen = spawn(argv, death_signal, stdin=subprocess.DEVNULL, stdout=log,
                               stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd)

    def tail(self, lines=20):
        with open(self.log_path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def wait_ready(self, probe, timeout=600.0):
        def step():
            if self.popen.poll() is not None:
                code = self.popen.returncode
                raise RuntimeError(f"{self.name} ended with {code}:\n{self.tail()}")
            return probe()
        try:
            return wait_until(f"answer of {self.name}", step, timeout)
        except TimeoutError as e:
            raise TimeoutError(f"{e}; its log ends with\n{self.tail()}") from None

    def stop(self, sig=signal.SIGTERM, patience=10.0):
        """Asks the leader, then ends the whole group."""
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        """The whole group, at once."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()
