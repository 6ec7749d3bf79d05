"""Builds programs of which one file is changed, and runs them.

Everything else is linked as make built it: a mutant costs one compilation of one file and a link.
"""
import os
import re
import resource
import shlex
import shutil
import subprocess
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
VIOLATED = re.compile(r"^VIOLATED (\w+) at .*? seed (\d+): (.*)$", re.M)
MEMORY_BYTES = 2 << 30  # a mutant that eats memory must not take the machine along
SECONDS = 120


class Unbuildable(Exception):
    """It does not compile: no program, so no mutant."""


class Failed(Exception):
    """The tests themselves cannot be run."""


class Verdict:
    """What became of a run: `ok`, a violated `invariant` (with its `seed`), or another end."""

    def __init__(self, code, text):
        found = VIOLATED.search(text)
        self.ok = code == 0
        self.text = text
        self.invariant = found.group(1) if found else None
        self.seed = int(found.group(2)) if found else None
        self.end = ("passed" if code == 0 else found.group(1) if found else
                    "too slow" if code is None else
                    "sanitizer" if "Sanitizer" in text or "runtime error" in text else
                    "crash" if code < 0 else "unreached" if "too rare" in text else
                    f"exit {code}")


def _limit():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _run(command, seconds, limit=_limit, env=None):
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=seconds, env=env,
                              preexec_fn=limit)
    except subprocess.TimeoutExpired as e:
        return Verdict(None, (e.stderr or b"").decode(errors="replace"))
    return Verdict(done.returncode, (done.stderr + done.stdout).decode(errors="replace"))


class Workbench:
    """One at a time a mutant can be on it. `close` removes its folder."""

    def __init__(self, build, sanitizer=""):
        self.build = build
        self.sanitizer = sanitizer
        self.folder = tempfile.mkdtemp(prefix="mutants-")
        self.objects = {}  # of the mutant: source → object
        said = self._make("flags").splitlines()
        self.compiler, self.cflags, self.ldflags, self.libs = (shlex.split(line) for line in said)
        self.cflags = [f for f in self.cflags if f not in ("-MMD", "-MP", "-Werror")] + ["-w"]

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self, *targets):
        command = ["make", "-s", f"BUILD={self.build}", f"SANITIZER={self.sanitizer}", *targets]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def prepare(self, tests):
        """Builds what every mutant has in common: the simulator and the objects of unit tests."""
        self._make(f"{self.build}/sim")
        for test in tests:
            self._compile(os.path.join(ROOT, "tests", "unit", test + ".c"), self._at(test + ".o"),
                          ["-Itests/unit"])

    def _at(self, name):
        return os.path.join(self.folder, name)

    def _compile(self, source, target, more=()):
        done = subprocess.run([*self.compiler, *self.cflags, *more, "-c", "-o", target, source],
                              cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unbuildable(done.stderr)

    def put(self, changed):
        """`changed`: path in the repository → its text."""
        self.objects = {}
        for path, text in changed.items():
            name = path.replace("/", "-")
            with open(self._at(name), "w") as f:
                f.write(text)
            self._compile(self._at(name), self._at(name + ".o"), ["-I" + os.path.dirname(path)])
            self.objects[path] = self._at(name + ".o")

    def _rooms(self):
        """The objects of policy/ and flow/, the mutant's in the place of their own."""
        for room in ("policy", "flow"):
            folder = os.path.join(ROOT, "src", room)
            for name in sorted(os.listdir(folder)):
                if name.endswith(".c"):
                    path = f"src/{room}/{name}"
                    yield self.objects.get(path, f"{self.build}/{room}/{name[:-2]}.o")

    def _link(self, target, objects, flags):
        done = subprocess.run(
            [*self.compiler, *self.ldflags, *flags, "-o", target, *objects, *self._rooms(),
             f"{self.build}/job.o", f"{self.build}/libbase.a", "-Wl,--as-needed", *self.libs],
            cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unbuildable(done.stderr)
        return target

    def link_sim(self):
        folder = os.path.join(ROOT, "tests", "sim")
        objects = [f"{self.build}/tests/sim/{n[:-2]}.o"
                   for n in sorted(os.listdir(folder)) if n.endswith(".c")]
        return self._link(self._at("sim"), objects,
                          ["-Wl,--wrap=job_free,--wrap=calloc,--wrap=malloc"])

    def link_unit(self, test):
        return self._link(self._at(test), [self._at(test + ".o")], ["-lcmocka"])

    def run_sim(self, program, first, seeds, seconds=SECONDS):
        return self.run([program, "--from", str(first), "--seeds", str(seeds)], seconds)

    def run(self, command, seconds=SECONDS):
        # the address sanitizer's shadow does not fit below a limit
        return _run(command, seconds, None if self.sanitizer else _limit)
