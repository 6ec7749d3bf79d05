"""Small changes to flow/ and policy/, each run against their unit tests and the simulator: negated
conditions, numbers and borders off by one, dropped calls.

    mechanical.py [--build FOLDER] [--jobs N] [--file PART] [--all] [--again] [--quick] [--list]

A mutant that nothing quick has killed, and that is not explained, is run for long and under the
address sanitizer too.

Prints a table per file, and every survivor with its place. Each survivor must be explained in the
file `survivors` beside this one; one that is not fails the run. What each mutant was killed by goes
to FOLDER/mutants.tsv.

    --file PART  only files with PART in their name
    --all        every other change that a machine can think of, too
    --again      only what survived the run before, by FOLDER/mutants.tsv
    --quick      some hundred seeds and no sanitizer
    --list       the changes, untried
"""
import argparse
import atexit
import collections
import copy
import glob
import multiprocessing
import os
import sys
import time

import operators
from workbench import ROOT, Failed, Unbuildable, Workbench

HERE = os.path.dirname(os.path.abspath(__file__))
QUICK_SEEDS, LONG_SEEDS, SANITIZED_SEEDS = 300, 4000, 300
UNIT_S, QUICK_S, LONG_S = 6, 8, 120
WHY = ("equivalent", "performance", "unreachable", "log", "redundant")


def unit_tests():
    return sorted(os.path.basename(p)[:-2] for room in ("policy", "flow")
                  for p in glob.glob(os.path.join(ROOT, "tests", "unit", room + "_*_test.c")))


def users_of(path):
    """Files of policy/ that include this one's header."""
    header = f'#include "{path[len("src/"):-2]}.h"'
    for user in glob.glob(os.path.join(ROOT, "src", "policy", "*.c")):
        with open(user) as f:
            if header in f.read():
                yield os.path.relpath(user, ROOT)


def tests_for(path):
    """Those that a change to this file can make fail: a policy has its own and those of the
    policies that use it, which are asked first, and those of the flow."""
    own = tuple("_".join(user[:-2].split("/")[-2:]) + "_" for user in users_of(path))
    return sorted((t for t in unit_tests() if t.startswith(("flow_", *own))),
                  key=lambda t: not t.startswith(own))


class Trial:
    """A mutant and what became of it."""

    def __init__(self, path, change):
        self.path, self.change = path, change
        self.unit = self.sim = ""  # what killed it there
        self.explained = False     # should it survive
        self.state = ""            # killed, survived, same (code as the original), none (no program)

    def key(self):
        return (self.path[len("src/"):], self.change.function, self.change.what)

    def place(self):
        return f"{self.path}:{self.change.line}"

    def row(self):
        c = self.change
        return "\t".join([self.state, self.unit, self.sim, self.place(), c.function, c.what, c.old])


class Worker:
    """One process with two workbenches: a fast one, and one with the address sanitizer for what
    survives there: memory that is used after its end, or never freed, shows only so."""

    def __init__(self, build, quick):
        self.fast = Workbench(build)
        self.asan = None if quick else Workbench(f"{build}/address-undefined", "address,undefined")
        self.originals = {}
        for bench in filter(None, (self.fast, self.asan)):
            bench.cflags += ["-g0", "-O1"]
            bench.prepare(unit_tests())

    def original(self, path):
        if path not in self.originals:
            with open(os.path.join(ROOT, path)) as f:
                source = f.read()
            self.fast.put({path: source})
            self.fast.link()
            for verdict in (self.fast.run_units(tests_for(path), UNIT_S),
                            self.fast.run_sim(1, QUICK_SEEDS, QUICK_S)):
                if not verdict.ok:
                    raise Failed(f"{path} fails unchanged: {verdict.end}\n{verdict.text[-2000:]}")
            self.originals[path] = source, self.code(path)
        return self.originals[path]

    def code(self, path):
        with open(self.fast.objects[path], "rb") as f:
            return f.read()

    def twin(self):
        other = copy.copy(self)
        other.originals = {}
        other.fast = self.fast.twin()
        other.asan = self.asan and self.asan.twin()
        return other

    def close(self):
        for bench in filter(None, (self.fast, self.asan)):
            bench.close()

    def sims(self, bench, first, seeds, seconds):
        verdict = bench.run_sim(first, seeds, seconds)
        return "" if verdict.ok else verdict.end

    def try_out(self, trial):
        source, code = self.original(trial.path)
        c = trial.change
        changed = {trial.path: source[:c.start] + c.new + source[c.end:]}
        try:
            self.fast.put(changed)
            if self.code(trial.path) == code:
                trial.state = "same"
                return trial
            self.fast.link()
            trial.unit = self.fast.run_units(tests_for(trial.path), UNIT_S).test
            if not trial.unit:
                trial.sim = self.sims(self.fast, 1, QUICK_SEEDS, QUICK_S)
            if self.asan and not trial.unit and not trial.sim and not trial.explained:
                self.asan.put(changed)
                self.asan.link()
                trial.unit = self.asan.run_units(tests_for(trial.path), UNIT_S * 5).test
                trial.sim = (self.sims(self.asan, 1, SANITIZED_SEEDS, LONG_S) or
                             self.sims(self.fast, QUICK_SEEDS + 1, LONG_SEEDS, LONG_S))
        except Unbuildable:
            trial.state = "none"
            return trial
        trial.state = "killed" if trial.unit or trial.sim else "survived"
        return trial


_worker = None


def _start():
    global _worker
    _worker = _worker.twin()


def _try(trial):
    return _worker.try_out(trial)


def trials_for(part, everything):
    trials = []
    for path in sorted(glob.glob(os.path.join(ROOT, "src", "flow", "*.c")) +
                       glob.glob(os.path.join(ROOT, "src", "policy", "*.c"))):
        path = os.path.relpath(path, ROOT)
        if part in path:
            with open(os.path.join(ROOT, path)) as f:
                trials += [Trial(path, c) for c in operators.changes_of(f.read())
                           if everything or c.kind != "other"]
    return trials


def rows_of(table):
    """→ (file, function, what) → row, of earlier runs"""
    rows = {}
    if os.path.exists(table):
        with open(table) as f:
            for row in f:
                _state, _unit, _sim, place, function, what, _old = row.split("\t")
                rows[(place.split(":")[0], function, what)] = row
    return rows


def save(table, done):
    rows = rows_of(table)
    rows.update(((t.path, t.change.function, t.change.what), t.row() + "\n") for t in done)
    with open(table, "w") as f:
        f.writelines(rows.values())


def explanations():
    """→ (file, function, what) → (why, words). `*` as what speaks for the whole function."""
    found, place = {}, None
    with open(os.path.join(HERE, "survivors")) as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if not line.startswith(" "):
                place = tuple(line.split())
                continue
            what, why, words = (part.strip() for part in line.split(" ## "))
            if len(place) != 2 or why not in WHY or not words:
                raise Failed(f"survivors:{number}: wants FILE FUNCTION, and below it, indented, "
                             f"CHANGE ## {'|'.join(WHY)} ## WORDS")
            found[(*place, what)] = (why, words)
    return found


def explained(trial, known):
    file, function, what = trial.key()
    return known.get((file, function, what)) or known.get((file, function, "*"))


def report(trials, known):
    sums = collections.defaultdict(collections.Counter)
    for t in trials:
        for name in (t.path[len("src/"):], "together"):
            s = sums[name]
            s[t.state] += 1
            s["unit"] += bool(t.unit)
            s["sim"] += bool(t.sim)
    print(f"{'file':24} {'mutants':>8} {'killed':>8} {'by unit':>8} {'by sim':>8} {'rate':>7}")
    for name, s in sorted(sums.items(), key=lambda item: (item[0] == "together", item[0])):
        mutants = s["killed"] + s["survived"]
        print(f"{name:24} {mutants:8} {s['killed']:8} {s['unit']:8} {s['sim']:8} "
              f"{100 * s['killed'] / mutants if mutants else 100:6.1f}%")
    print(f"(besides, {sums['together']['same']} changes gave the same code, and "
          f"{sums['together']['none']} no program)")
    killers = collections.Counter(t.sim for t in trials if t.sim)
    print("killed in the simulator by: " + ", ".join(f"{n} {k}" for k, n in killers.most_common()))
    survivors = [t for t in trials if t.state == "survived"]
    whys = collections.Counter((explained(t, known) or ("unexplained",))[0] for t in survivors)
    print("survivors: " + ", ".join(f"{n} {k}" for k, n in whys.most_common()))
    unexplained = [t for t in survivors if not explained(t, known)]
    for t in survivors:
        words = explained(t, known)
        print(f"  {t.place()} {t.change.function}: {t.change.what}\n"
              f"      {': '.join(words) if words else 'NOT EXPLAINED, was: ' + t.change.old}")
    return unexplained


def main():
    global _worker
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    p.add_argument("--build", default="build")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--file", default="")
    p.add_argument("--all", action="store_true")
    p.add_argument("--again", action="store_true")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--list", action="store_true")
    options = p.parse_args()
    trials = trials_for(options.file, options.all)
    table = os.path.join(ROOT, options.build, "mutants.tsv")
    if options.again:
        before = {key for key, row in rows_of(table).items() if row.startswith("survived")}
        trials = [t for t in trials if (t.path, t.change.function, t.change.what) in before]
    if options.list:
        for t in trials:
            print(f"{t.place()} {t.change.function}: {t.change.what}")
        return 0
    known = explanations()
    for t in trials:
        t.explained = bool(explained(t, known))
    began, done = time.time(), []
    progress = open(f"{table}.part", "w")
    try:
        _worker = Worker(options.build, options.quick)  # what all have in common is built once
        atexit.register(_worker.close)
        with multiprocessing.get_context("fork").Pool(options.jobs, _start) as pool:
            for t in pool.imap_unordered(_try, trials):
                done.append(t)
                progress.write(t.row() + "\n")
                progress.flush()
                if len(done) % 100 == 0:
                    print(f"{len(done)} of {len(trials)} after {time.time() - began:.0f} s",
                          file=sys.stderr, flush=True)
    except Failed as e:
        print(e, file=sys.stderr)
        return 1
    done.sort(key=lambda t: (t.path, t.change.start, t.change.new))
    save(table, done)
    unexplained = report(done, known)
    print(f"{len(done)} changes in {(time.time() - began) / 60:.0f} minutes; "
          f"{len(unexplained)} survivors without an explanation")
    return 1 if unexplained or not done else 0


if __name__ == "__main__":
    sys.exit(main())
