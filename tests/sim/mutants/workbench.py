"""Builds programs of which one file is changed, and runs them.

Everything else is linked as make built it: a mutant costs one compilation of one file and a link.
"""
import copy
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
VIOLATED = re.compile(r"^VIOLATED (\w+) at .*? seed (\d+): (.*)$", re.M)
MEMORY_BYTES = 2 << 30  # a mutant that eats memory must not take the machine along
SECONDS = 120  # of the processor: the machine may be busy with other things
WRAP = "-Wl,--wrap=job_free,--wrap=calloc,--wrap=malloc"  # as the Makefile links the simulator

MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#define RUNS(test) int test##_main(void);
#define RUN(test) if (strcmp(name, #test) == 0) return test##_main();
int sim_main(int, char **);
%s
static int run(const char *name)
{
%s
    return 1;
}

/* Each in a process of its own: what one sets, as the log's level, is not the next one's. */
static int failed(const char *name)
{
    int status;
    fprintf(stderr, "UNIT %%s\\n", name);
    pid_t pid = fork();
    if (pid == 0)
        exit(run(name)); /* with the look for leaks */
    return pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "unit") != 0)
        return sim_main(argc, argv);
    for (int i = 2; i < argc; i++)
        if (failed(argv[i]))
            return 1;
    return 0;
}
"""


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


def _run(command, seconds, memory_bytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, preexec_fn=limit)
    code = None if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else done.returncode
    return Verdict(code, (done.stderr + done.stdout).decode(errors="replace"))


class Workbench:
    """One at a time a mutant can be on it. `close` removes its folder."""

    def __init__(self, build, sanitizer=""):
        self.build = build
        self.sanitizer = sanitizer
        self.folder = tempfile.mkdtemp(prefix="mutants-")
        self.objects = {}  # of the mutant: source → object
        said = self._make("flags").splitlines()
        self.compiler, self.cflags, self.ldflags, self.libs, self.shared = map(shlex.split, said)
        self.cflags = [f for f in self.cflags if f not in ("-MMD", "-MP", "-Werror")] + ["-w"]

    def twin(self):
        """Another with what both have in common, for one more process; it goes with this one."""
        other = copy.copy(self)
        other.folder = tempfile.mkdtemp(dir=self.folder)
        return other

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self, *targets):
        command = ["make", "-s", f"BUILD={self.build}", f"SANITIZER={self.sanitizer}", *targets]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}:\n{done.stderr}{done.stdout}")
        return done.stdout

    def prepare(self, tests=()):
        """Builds what every mutant has in common: the simulator's objects, and those of the unit
        tests, all for one program: `unit TEST...` runs tests, anything else is the simulator's."""
        self._make(f"{self.build}/sim", *self.shared)
        self.common = [f"{self.build}/tests/sim/{n[:-2]}.o"
                       for n in sorted(os.listdir(os.path.join(ROOT, "tests", "sim")))
                       if n.endswith(".c") and n != "main.c"]
        for source, name in [("tests/sim/main.c", "sim"),
                             *((f"tests/unit/{t}.c", t) for t in tests)]:
            self.common.append(self._at(name + ".o"))
            self._compile(source, self.common[-1],
                          ["-I" + os.path.dirname(source), f"-Dmain={name}_main"])
        with open(self._at("main.c"), "w") as f:
            f.write(MAIN % ("".join(f"RUNS({t})\n" for t in tests),
                            "".join(f"RUN({t})\n" for t in tests)))
        self.common.append(self._at("main.o"))
        self._compile(self._at("main.c"), self.common[-1])

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

    def link(self):
        done = subprocess.run(
            [*self.compiler, *self.ldflags, "-fuse-ld=gold", WRAP, "-o", self._at("program"),
             *self.common, *self._rooms(), *self.shared, f"{self.build}/libbase.a",
             "-Wl,--as-needed", "-lcmocka", *self.libs], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unbuildable(done.stderr)

    def run_units(self, tests, seconds=SECONDS):
        """→ verdict, with `test`, the one that failed"""
        verdict = self.run("unit", *tests, seconds=seconds)
        verdict.test = "" if verdict.ok else re.findall(r"^UNIT (\w+)$", verdict.text, re.M)[-1]
        return verdict

    def run_sim(self, first, seeds, seconds=SECONDS):
        return self.run("--from", str(first), "--seeds", str(seeds), seconds=seconds)

    def run(self, *arguments, seconds):
        # the address sanitizer's shadow does not fit below a limit
        return _run([self._at("program"), *arguments], seconds,
                    None if self.sanitizer else MEMORY_BYTES)
