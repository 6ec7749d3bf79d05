"""Terminals as people have them, of 80 columns and 24 lines: windows of a tmux of its own."""
import os
import re
import shutil
import subprocess
import tempfile

import procs

COLUMNS, LINES = 80, 24
PROMPT = "$ "

# What differs from run to run, as a screen is compared.
VOLATILE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "DATE"),
    (r"\d\d:\d\d:\d\d\.\d{3}", "TIME"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(took_s|dur_s|wait_s)=[\d.]+", r"\1=N"),
    (r"socket=\S+", "socket=PATH"),
    (r"pid \d+, up [\w ]+", "pid N, up N"),
    (r"\d+ at once", "N at once"),
)


def steady(text):
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return text


class Terminals:
    """Always to be used with `with`. The tmux ends with the test run, and its windows with it."""

    def __init__(self, folder, path, env):
        """`path`: a folder that comes first in PATH."""
        self.folder = str(folder)
        # a socket's path is short
        self.runtime = tempfile.mkdtemp(prefix="t-", dir="/tmp")
        self.socket = os.path.join(self.runtime, "tmux")
        self.env = {**env, "PATH": f"{path}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TERM": "xterm",
                    "XDG_RUNTIME_DIR": self.runtime, "HOME": self.folder}
        self.env.pop("ENV", None)
        self.server = procs.spawn(["tmux", "-S", self.socket, "-D", "-u", "-f", "/dev/null"],
                                  stdin=subprocess.DEVNULL, env=self.env)

    def __enter__(self):
        procs.wait_until("tmux", lambda: os.path.exists(self.socket))
        return self

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()
        shutil.rmtree(self.runtime, ignore_errors=True)

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-S", self.socket, *words], env=self.env, text=True, timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def open(self, name):
        self.tmux("new-session", "-d", "-s", name, "-x", str(COLUMNS), "-y", str(LINES),
                  "-c", self.folder, "sh")
        window = Terminal(self, name)
        window.type(f"PS1='{PROMPT}'")  # root has another
        return window


class Terminal:
    def __init__(self, all_of_them, name):
        self.tmux = all_of_them.tmux
        self.name = name

    def type(self, line, wait=None):
        """Types a command on a cleared screen. `wait`: a text of its output to wait for, instead of its end."""
        self.clear()
        self.tmux("send-keys", "-t", self.name, "-l", line)
        self.tmux("send-keys", "-t", self.name, "Enter")
        self.wait(wait) if wait else self.wait_prompt()

    def key(self, key):
        self.tmux("send-keys", "-t", self.name, key)

    def clear(self):
        self.tmux("send-keys", "-R", "-t", self.name)
        self.tmux("clear-history", "-t", self.name)

    def close(self):
        self.tmux("kill-session", "-t", self.name)

    def lines(self, *options):
        """All lines since it was cleared."""
        text = self.tmux("capture-pane", "-p", "-S", "-", "-t", self.name, *options)
        return [line.rstrip() for line in text.rstrip().split("\n")]

    @property
    def text(self):
        return steady("\n".join(self.lines()))

    def wait(self, words, count=1):
        def there():
            return self.text.count(words) >= count
        try:
            procs.wait_until(f"'{words}' on the screen", there, 60, 0.02)
        except TimeoutError as e:
            raise TimeoutError(f"{e}:\n{self.text}") from None

    def wait_prompt(self):
        procs.wait_until(f"prompt in {self.name}", lambda: len(self.lines()) > 1 and
                         self.lines()[-1] == PROMPT.strip(), 60, 0.02)

    def assert_shows(self, expected):
        """All of it, from the command on, and no line goes on behind the edge."""
        found = self.text
        assert found.removesuffix("\n" + PROMPT.strip()) == expected.strip("\n"), found
        assert len(self.lines("-J")) == len(self.lines()), f"a line is wider than {COLUMNS}:\n{found}"
