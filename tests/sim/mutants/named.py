"""Mutations that the simulator must catch, each by the invariant that it names.

    named.py [--build FOLDER] [--seeds N] [NAME...]

A mutant is a file NAME.mutant beside this one: a line on what is wrong, the invariant that has to
see it, and for each place the file, the text that stands there and the text that takes its place.
Blanks and line ends count as one blank. A text that is not there exactly once fails the run: then
the program has changed, and the mutant must follow.

The invariant must be the first thing that is violated in some seed. A crash, or another invariant,
proves nothing about it: the run goes on behind that seed.
"""
import argparse
import glob
import os
import re
import sys
import time

from workbench import ROOT, Failed, Unbuildable, Workbench

HERE = os.path.dirname(os.path.abspath(__file__))
PLACE = re.compile(r"^in (\S+)\n<<<<\n(.*?)^====\n(.*?)^>>>>\n", re.M | re.S)


class Mutant:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-len(".mutant")]
        with open(path) as f:
            text = f.read()
        named = re.search(r"^caught by (\w+)$", text, re.M)
        self.places = PLACE.findall(text)
        if not named or not self.places:
            raise Failed(f"{path}: wants a line `caught by INVARIANT` and at least one place")
        self.invariant = named.group(1)

    def apply(self):
        """→ path → changed text"""
        changed = {}
        for path, old, new in self.places:
            if path not in changed:
                with open(os.path.join(ROOT, path)) as f:
                    changed[path] = f.read()
            wanted = re.compile(r"\s+".join(re.escape(word) for word in old.split()))
            found = wanted.findall(changed[path])
            if len(found) != 1:
                raise Failed(f"{self.name}: {path} has {len(found)} places like\n{old}")
            changed[path] = wanted.sub(lambda _: new.strip(), changed[path])
        return changed


def crash_seed(bench, first, end):
    """Which seed from `first` on is the first to crash: one that crashes does not say."""
    low, high = first, end - 1
    while low < high:
        middle = (low + high) // 2
        if bench.run_sim(first, middle - first + 1).end == "crash":
            high = middle
        else:
            low = middle + 1
    return low


def hunt(bench, mutant, seeds):
    """→ (caught, words)"""
    bench.put(mutant.apply())
    bench.link()
    first, end, others = 1, seeds + 1, {}
    while first < end:
        verdict = bench.run_sim(first, end - first)
        if verdict.invariant == mutant.invariant:
            return True, f"{mutant.invariant}, seed {verdict.seed}" + said(others)
        if verdict.end in ("passed", "unreached"):
            break
        others[verdict.end] = others.get(verdict.end, 0) + 1
        if verdict.end == "too slow":
            break
        first = (verdict.seed or crash_seed(bench, first, end)) + 1
    return False, f"{mutant.invariant} sees nothing in {seeds} seeds" + said(others)


def said(others):
    if not others:
        return ""
    return ", before it " + ", ".join(f"{name} {n} times" for name, n in others.items())


def main():
    p = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].strip())
    p.add_argument("--build", default="build")
    p.add_argument("--seeds", type=int, default=10000)
    p.add_argument("names", nargs="*")
    options = p.parse_args()
    paths = [os.path.join(HERE, n + ".mutant") for n in options.names] or sorted(
        glob.glob(os.path.join(HERE, "*.mutant")))
    bench = Workbench(options.build)
    failed = 0
    began = time.time()
    try:
        bench.prepare()
        bench.link()
        clean = bench.run_sim(1, min(options.seeds, 500))
        if clean.invariant:
            raise Failed(f"the program itself violates {clean.invariant}: {clean.text}")
        for path in paths:
            try:
                caught, words = hunt(bench, Mutant(path), options.seeds)
            except (Failed, Unbuildable) as e:
                caught, words = False, str(e)
            failed += not caught
            name = os.path.basename(path)[:-len(".mutant")]
            print(f"{'caught' if caught else 'MISSED'}  {name:34} {words}", flush=True)
    except Failed as e:
        print(e, file=sys.stderr)
        return 1
    finally:
        bench.close()
    print(f"{len(paths) - failed} of {len(paths)} named mutants caught in "
          f"{time.time() - began:.0f} s")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
