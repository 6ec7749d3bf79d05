"""The program under test as a process: its configuration, its log, its signals, its end."""
import atexit
import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid

import procs
import sqs
from servers import ROOT

BINARY = os.environ.get("HOST_BIN", os.path.join(ROOT, "build", "host"))
EXAMPLE = os.path.join(ROOT, "lua", "examples", "register.lua")
RUNTIME = tempfile.mkdtemp(prefix="luahost-run-")  # admin sockets: suites run side by side
atexit.register(shutil.rmtree, RUNTIME, ignore_errors=True)
CLIENT_SECRET = "svc-secret-3141"


def lua(value, indent=""):
    """A Python value as Lua source."""
    if isinstance(value, dict):
        inner = indent + "  "
        lines = [f'{inner}["{k}"] = {lua(v, inner)},' for k, v in value.items()]
        return "{\n" + "\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(lua(v) for v in value) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def environment(extra=None):
    """Nothing of the caller's AWS or host settings, so that the tests see what they set."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LUAHOST_"))}
    return {**env, **sqs.KEYS, "XDG_RUNTIME_DIR": RUNTIME, **(extra or {})}


class Host:
    """host run HANDLER -c CONFIG ... in the background. Always to be used with `with`."""

    def __init__(self, folder, handler, config, *flags, env=None):
        os.makedirs(folder, exist_ok=True)
        self.run = uuid.uuid4().hex[:6]
        self.config_path = os.path.join(folder, f"conf-{self.run}.lua")
        if isinstance(config, dict):
            # not the default port of every host: suites run side by side
            admin = {"listen": "127.0.0.1:0", **config.get("admin", {})}
            config = {**config, "admin": admin}
            config = "return " + lua(config) + "\n"
        with open(self.config_path, "w") as f:
            f.write(config)
        self.log_path = os.path.join(folder, f"host-{self.run}.log")
        with open(self.log_path, "wb") as log:
            self.popen = procs.spawn(
                [BINARY, "run", str(handler), "-c", self.config_path, *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=environment(env))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        check_output(self.text)

    # -- what it says

    @property
    def text(self):
        """All that it has printed, the strings inside its JSON lines unescaped."""
        with open(self.log_path, errors="replace") as f:
            raw = f.read()
        return raw + "\n".join(str(v) for e in parse_log(raw) for v in e.values())

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return parse_log(f.read())

    def settled(self):
        return [e for e in self.log() if e.get("msg") == "settled"]

    def assert_says(self, *words):
        text = self.text.lower()
        missing = [w for w in words if w.lower() not in text]
        assert not missing, f"its output lacks {missing}:\n{self.text}"

    # -- what it does

    def wait_for(self, what, probe, timeout=30.0):
        def step():
            answer = probe()
            if not answer and self.popen.poll() is not None:
                code = self.popen.returncode
                raise RuntimeError(f"host ended with {code} before {what}:\n{self.text}")
            return answer
        try:
            return procs.wait_until(what, step, timeout, 0.05)
        except TimeoutError as e:
            raise TimeoutError(f"{e}:\n{self.text[-4000:]}") from None

    def wait_says(self, *words, timeout=30.0):
        def said():
            text = self.text.lower()
            return all(w.lower() in text for w in words)
        self.wait_for(f"output with {words}", said, timeout)

    def wait_exit(self, timeout=30.0):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running after {timeout} s:\n{self.text[-4000:]}") from None

    def term(self):
        self.popen.send_signal(signal.SIGTERM)

    def kill(self):
        self.popen.kill()
        self.popen.wait()


def check_output(text):
    """What no output may ever hold: secrets, and the reports of a sanitizer."""
    for secret in (CLIENT_SECRET, sqs.KEYS["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in text, "a secret was printed"
    assert "Bearer ey" not in text, "a token was printed"
    for report in ("Sanitizer", "runtime error:"):
        assert report not in text, text[-6000:]


def parse_log(raw):
    entries = []
    for line in raw.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def command(*arguments, env=None, timeout=20):
    """A command that ends by itself: (exit code, what it printed)."""
    done = subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, env=environment(env))
    text = done.stdout.decode("utf-8", "replace")
    check_output(text)
    return done.returncode, text
