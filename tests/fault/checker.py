"""Accounts for every event of a run, from outside: what was sent, what went over the wire, and what
is in Keycloak and on the queues in the end. It asks nothing of the program under test.

    python tests/fault/checker.py FOLDER     checks the evidence of a run again

FOLDER holds what scene.py left there:

    sent.jsonl   {"n", "kind", "user", "id"} an event; kind is register, reject or fail; id is the
                 message's. The trace id of event n is n in hexadecimal
    wire.jsonl   the proxy's log: see faulty.py
    end.json     {"users": names, "members": names, "role": names, "left": messages on the queue,
                 "dead": [{"n", "source", "outcome", "trace"}]}; source and outcome come from
                 host.failure and are null without one

README.md says what the words mean.
"""
import bisect
import collections
import json
import os
import sys

NEVER_FORWARDED = ("cut_before", "throttled")
HAND_OVER_S = 0.1


def trace_of(n):
    return f"{n:032x}"


def heard(line):
    """The client got this answer, and it was a good one."""
    return 200 <= line["told"] < 300 and not line["gone"]


def troubled(line):
    """The client cannot have taken this for the server's sound answer."""
    return (line["fate"] != "" or line["gone"] or line["told"] == 0 or line["told"] >= 500
            or line["told"] == 429)


def is_role_call(line):
    return line["path"].endswith("/role-mappings/realm")


class Event:
    def __init__(self, sent):
        self.n, self.kind, self.user, self.id = (sent[k] for k in ("n", "kind", "user", "id"))
        self.runs, self.calls, self.sends = [], [], []
        self.receives, self.deletes, self.changes = [], [], []
        self.dead = []

    def spans(self):
        """From each run to the next one."""
        for run, following in zip(self.runs, self.runs[1:] + [None]):
            yield Span(self, run, following)


class Span:
    """What happened to an event from the beginning of one run to that of the next."""

    def __init__(self, event, run, following):
        self.event, self.run, self.following = event, run, following
        self.begin = run["t0"]
        self.end = following["t0"] if following else float("inf")
        self.calls = self.inside(event.calls)
        self.sends = self.inside(event.sends)

    def inside(self, lines):
        return [e for e in lines if self.begin <= e["t0"] < self.end]

    def posts(self):
        """Creates, but for those that were refused for their token: these did nothing."""
        return [e for e in self.calls if "user" in e and e["told"] not in (401, 403)]

    def registered(self):
        """When the last step of a registration was answered; None if it was not. Roles that were
        only read are the last step if they were all there: if nobody added one afterwards."""
        last = self.calls[-1] if self.calls else None
        if not last or not is_role_call(last) or not heard(last):
            return None
        if last["method"] == "GET" and any(is_role_call(e) and e["method"] == "POST" and
                                           e["t0"] > last["t0"] for e in self.event.calls):
            return None
        return last["t1"]

    def copied(self):
        """When a dead-letter copy was confirmed; None if none was."""
        return next((e["t1"] for e in self.sends if heard(e)), None)

    def settled(self):
        return self.registered() if self.event.kind == "register" else self.copied()


class Log:
    """The proxy's log, sorted by time and by event."""

    def __init__(self, sent, lines):
        self.events = {s["n"]: Event(s) for s in sent}
        self.by_trace = {trace_of(n): e for n, e in self.events.items()}
        self.by_id = {e.id: e for e in self.events.values()}
        self.by_handle = {}
        self.kills, self.away, self.shared = [], [], []
        self.troubles = []  # requests by which the host may have learned of Keycloak's trouble
        self.strangers = []
        self.faults, self.notes = collections.Counter(), collections.Counter()
        for line in sorted(lines, key=lambda e: e["t0"]):
            self.add(line)
        self.shared_begins = [e["t0"] for e in self.shared]
        self.trouble_begins = [e["t0"] for e in self.troubles]

    def add(self, line):
        if line["route"] == "note":
            self.note(line)
            return
        if line["fate"]:
            self.faults[f"{line['route']} {line['fate']}"] += 1
        if line["route"] == "queue":
            self.queue(line)
        else:
            self.other(line)

    def note(self, line):
        what = line["what"]
        self.notes[" ".join(filter(None, (what, line.get("server"))))] += 1
        if what == "kill":
            self.kills.append([line["t0"], float("inf")])
        elif what == "start" and self.kills:
            self.kills[-1][1] = min(self.kills[-1][1], line["t0"])
        elif what == "away":
            self.away.append([line["t0"], float("inf"), line["server"]])
        elif what == "back":
            next(a for a in reversed(self.away) if a[2] == line["server"])[1] = line["t0"]

    def other(self, line):
        event = self.by_trace.get(line["trace"])
        if line["route"] == "keycloak" and troubled(line):
            self.troubles.append(line)
        if line["route"] == "keycloak" and (not event or "/users" not in line["path"]):
            self.shared.append(line)  # tokens and names, which one run fetches for others too
        if event:
            (event.runs if line["route"] == "runs" else event.calls).append(line)
        elif "user" in line or line["route"] == "runs":
            self.strangers.append(f"{line['method']} {line['path']} belongs to no event")

    def queue(self, line):
        for message_id, handle, count in line.get("got", ()):
            event = self.by_id.get(message_id)
            if event is None:
                self.strangers.append(f"message {message_id} was not sent by the test")
                continue
            again = message_id in line["again"]
            self.faults["queue duplicate"] += again
            self.by_handle[handle] = event
            event.receives.append((line, count, again))
        for handle, result, seconds in line.get("entries", ()):
            event = self.by_handle.get(handle)
            if event is None:
                self.strangers.append(f"{line['target']} with a handle that nobody was given")
                continue
            self.faults["queue fail_delete"] += result == "kept"
            (event.deletes if seconds is None else event.changes).append((line, result))
        if "dead" in line:
            event = self.by_trace.get(line["dead"])
            if event is None:
                self.strangers.append("a dead-letter copy of nothing that was sent")
            else:
                event.sends.append(line)

    def killed(self, begin, end):
        """The process that ran at the first time was not there any more at the second."""
        at = bisect.bisect_right(self.kills, begin, key=lambda kill: kill[1])
        return at < len(self.kills) and self.kills[at][0] < end

    def server_away(self, begin, end):
        return next((f"{server} away" for a, b, server in self.away if a < end and b > begin), None)

    def tripped(self, begin, end):
        """Another's trouble opened the breaker while this ran, or as it was being handed over: then
        its next call is not made. When a client gave up, the log does not say: before the end."""
        first = bisect.bisect_left(self.trouble_begins, begin - 60)
        last = bisect.bisect_left(self.trouble_begins, end)
        return any(e["t1"] > begin - HAND_OVER_S for e in self.troubles[first:last])

    def shared_trouble(self, begin, end):
        """A troubled request for a token or a name, on the wire between the two times."""
        first = bisect.bisect_left(self.shared_begins, begin - 60)
        last = bisect.bisect_left(self.shared_begins, end)
        return any(troubled(e) and e["t1"] > begin for e in self.shared[first:last])


class Checker:
    def __init__(self, sent, lines, end):
        self.log, self.end = Log(sent, lines), end
        self.users = collections.Counter(name.lower() for name in end["users"])
        self.members, self.role = set(end["members"]), set(end["role"])
        self.violations = []
        self.extra = collections.Counter()
        self.fates = collections.Counter()
        for text in self.log.strangers:
            self.violations.append(("STRANGER", 0, text))

    def say(self, word, event, text):
        self.violations.append((word, event.n, text))

    def check(self):
        for letter in self.end["dead"]:
            event = self.log.events.get(letter["n"])
            if event:
                event.dead.append(letter)
            else:
                self.violations.append(("STRANGER", letter["n"], "a dead letter of no event"))
        names = {e.user.lower() for e in self.log.events.values()}
        for name in set(self.users) - names:
            self.violations.append(("STRANGER", 0, f"user {name} belongs to no event"))
        for event in self.log.events.values():
            self.check_end(event)
            self.check_creates(event)
            self.check_deletes(event)
            self.check_runs(event)
            self.check_copies(event)
        if self.end["left"]:
            self.violations.append(("LEFT", 0, f"{self.end['left']} messages are on the queue"))
        return self

    # -- where an event ended

    def check_end(self, event):
        there = self.users[event.user.lower()]
        fate = "user" if there else "dead letter" if event.dead else "lost"
        self.fates[fate] += 1
        if fate == "lost":
            self.say("LOST", event, "neither a user nor a dead letter")
        if there > 1:
            self.say("TWICE", event, f"{there} accounts {event.user}")
        if there and event.dead:
            self.say("BOTH", event, "a user and a dead letter")
        elif event.dead and event.kind == "register":
            self.say("GIVEN UP", event, "a registration ended as a dead letter")
        if there and event.kind != "register":
            self.say("STRANGER", event, f"an account of an event that is to {event.kind}")
        if there and not (event.user in self.members and event.user in self.role):
            self.say("INCOMPLETE", event, f"{event.user} lacks its group or its role")

    def check_creates(self, event):
        posts = [e for e in event.calls if "user" in e]
        made = sum(e["status"] == 201 for e in posts)
        doubtful = sum(e["status"] == 0 and e["fate"] not in NEVER_FORWARDED for e in posts)
        for e in posts:
            if e["user"] != event.user:
                self.say("STRANGER", event, f"it posted the user {e['user']}")
        if made > 1:
            self.say("TWICE", event, f"Keycloak answered 201 to {made} POSTs")
        if self.users[event.user.lower()] and not made and not doubtful:
            self.say("NOWHERE", event, "a user that no POST made")
        for span in event.spans():
            posts = span.posts()
            if len(posts) > 1:
                self.say("BLIND", event, f"{len(posts)} POSTs in one run")
            looked = any(e["method"] == "GET" and "/users?" in e["path"] and heard(e)
                         and e["t1"] <= posts[0]["t0"] for e in span.calls) if posts else True
            if not looked and int(span.run["path"].rpartition("/")[2]) > 1:
                self.say("BLIND", event, "a later run posted without having looked")

    def check_deletes(self, event):
        settled = min((t for s in event.spans() for t in (s.settled(), s.copied()) if t),
                      default=float("inf"))
        for line, result in event.deletes:
            if result == "ok" and line["t0"] < settled:
                self.say("EARLY", event, "deleted before it was done or copied")

    # -- runs

    def check_runs(self, event):
        if event.receives and not event.runs and (event.dead or self.users[event.user.lower()]):
            self.say("UNRUN", event, "settled without a run")
        for span in event.spans():
            if span.following is None:
                break
            why = self.why_again(span)
            if why:
                self.extra[why] += 1
            else:
                self.say("UNEXPLAINED", event, f"run again {span.end - span.begin:.1f} s after a "
                         + ("run that was done" if span.settled() else "run without a fault"))

    def why_again(self, span):
        event, log = span.event, self.log
        if event.kind == "fail" and not span.copied():
            return "fails by design"
        if log.killed(span.begin, span.end):
            return "killed"
        if event.kind == "register" and span.registered():
            return None  # acked: as long as this process lives, it knows
        if span.copied():
            return self.why_again_after_copy(span)
        for line in span.calls + span.sends:
            if troubled(line):
                return f"{line['route']} {line['fate'] or self.plain_trouble(line)}"
        if event.kind == "register":
            if log.shared_trouble(span.begin, span.end):
                return "token or name"
            if log.tripped(span.begin, span.end):
                return "breaker open"
            return log.server_away(span.begin, span.end)
        return None

    @staticmethod
    def plain_trouble(line):
        return "slow" if line["gone"] else f"answered {line['told'] or 'nothing'}"

    @staticmethod
    def why_again_after_copy(span):
        """Only acks are remembered: what comes again after its copy is copied again."""
        for line, result in span.event.deletes:
            if span.begin <= line["t0"] < span.end and (result != "ok" or not heard(line)):
                return "copied, not deleted"
        for line, _, again in span.event.receives:
            if again and span.begin <= line["t1"] <= span.end:
                return "duplicate of a dead letter"
        return None

    def check_copies(self, event):
        for span in event.spans():
            confirmed = [e for e in span.sends if heard(e)]
            if len(confirmed) > 1:
                self.say("COPIED TWICE", event, "copied again after a confirmed copy")
        first_run = event.runs[0]["t0"] if event.runs else float("inf")
        if any(e["t0"] < first_run for e in event.sends):
            self.say("UNRUN", event, "copied to the dead-letter queue before it ever ran")
        wanted = "rejected" if event.kind == "reject" else "exhausted"
        for letter in event.dead:
            if letter["outcome"] is None:
                self.say("MOVED", event, "moved by the queue itself, without a word on why")
            elif letter["outcome"] != wanted or letter["source"] != event.id:
                self.say("WRONG LETTER", event, f"{letter['outcome']}, from {letter['source']}")
            if letter["trace"] != trace_of(event.n):
                self.say("WRONG LETTER", event, "its attributes are not those that were sent")
        executed = sum(e["status"] == 200 for e in event.sends)
        doubtful = sum(e["status"] == 0 and e["fate"] not in NEVER_FORWARDED for e in event.sends)
        copies = sum(letter["outcome"] is not None for letter in event.dead)
        if not executed <= copies <= executed + doubtful:
            self.say("WRONG LETTER", event, f"{copies} copies came of {executed} that were taken")

    # -- words

    def summary(self):
        events, log = len(self.log.events), self.log
        runs = sum(len(e.runs) for e in log.events.values())
        words = collections.Counter(word for word, _, _ in self.violations)
        twice = len({n for word, n, _ in self.violations if word == "TWICE"})

        def listed(counter):
            return ", ".join(f"{name} {n}" for name, n in sorted(counter.items()) if n) or "none"
        lines = [
            f"{events} events: {listed(self.fates)}; left on the queue {self.end['left']}",
            f"lost {words['LOST']}, created twice {twice},"
            f" runs unexplained {words['UNEXPLAINED']}",
            f"{runs} runs, extra: {listed(self.extra)}",
            f"faults: {listed(log.faults)}", f"done to processes: {listed(log.notes)}",
            f"violations: {listed(words)}"]
        lines += [f"  {word} event {n}: {text}" for word, n, text in self.violations[:20]]
        return "\n".join(lines)


def read_lines(path):
    with open(path) as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def check_folder(folder):
    with open(os.path.join(folder, "end.json")) as f:
        end = json.load(f)
    return Checker(read_lines(os.path.join(folder, "sent.jsonl")),
                   read_lines(os.path.join(folder, "wire.jsonl")), end).check()


if __name__ == "__main__":
    result = check_folder(sys.argv[1])
    print(result.summary())
    sys.exit(1 if result.violations else 0)
