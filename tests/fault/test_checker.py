"""The checker on logs that were doctored: whatever is wrong has to be found, by its word."""
import copy
import json
import subprocess
import sys

import pytest

import checker
from checker import Checker, trace_of

USERS, ROLES = "/admin/realms/r/users", "/admin/realms/r/users/u/role-mappings/realm"


class Story:
    """Four events and what a sound host made of them. Times count up by themselves."""

    def __init__(self):
        kinds = ("register", "register", "reject", "fail")
        self.sent = [{"n": n, "kind": kind, "user": f"u-{n}", "id": f"m{n}"}
                     for n, kind in enumerate(kinds, 1)]
        self.lines, self.now = [], 0.0
        self.note("start")
        self.receive(1, 2, 3, 4)
        self.run(1)
        self.register(1)
        self.delete(1)
        self.run(2)
        self.call(2, "POST", USERS, 201, told=0, fate="cut_after", user="u-2")
        self.run(2, attempt=2)
        self.call(2, "GET", USERS + "?username=u-2", 200)
        self.call(2, "POST", ROLES, 204)
        self.delete(2)
        self.run(3)
        self.copy(3)
        self.delete(3)
        self.run(4)
        self.receive(4, count=2)
        self.run(4, attempt=2)
        self.copy(4)
        self.delete(4)
        self.end = {"users": ["u-1", "u-2"], "members": ["u-1", "u-2"], "role": ["u-1", "u-2"],
                    "left": 0, "dead": [self.letter(3, "rejected"), self.letter(4, "exhausted")]}

    def line(self, route, method, path, status, **more):
        self.now += 1.0
        line = {"route": route, "method": method, "path": path, "status": status, "told": status,
                "t0": self.now, "t1": self.now + 0.5, "target": "", "gone": False, "fate": "",
                "trace": "", **more}
        self.lines.append(line)
        return line

    def note(self, what, **more):
        self.now += 1.0
        self.lines.append({"route": "note", "what": what, "t0": self.now, **more})

    def receive(self, *ns, count=1, again=()):
        self.line("queue", "POST", "/", 200, target="ReceiveMessage", again=list(again),
                  got=[[f"m{n}", f"h{n}", count] for n in ns])

    def run(self, n, attempt=1):
        self.line("runs", "POST", f"/run/{attempt}", 204, trace=trace_of(n))

    def call(self, n, method, path, status, **more):
        return self.line("keycloak", method, path, status, trace=trace_of(n), **more)

    def register(self, n):
        self.call(n, "POST", USERS, 201, user=f"u-{n}")
        self.call(n, "POST", ROLES, 204)

    def copy(self, n, **more):
        self.line("queue", "POST", "/", 200, target="SendMessage", dead=trace_of(n), **more)

    def delete(self, n, result="ok", **more):
        self.line("queue", "POST", "/", 200, target="DeleteMessageBatch",
                  entries=[[f"h{n}", result, None]], **more)

    @staticmethod
    def letter(n, outcome):
        return {"n": n, "source": f"m{n}", "outcome": outcome, "trace": trace_of(n)}

    def find(self, **members):
        return next(e for e in self.lines if all(e.get(k) == v for k, v in members.items()))

    def without(self, line):
        self.lines.remove(line)

    def check(self):
        return Checker(self.sent, copy.deepcopy(self.lines), self.end).check()

    def words(self):
        return {(word, n) for word, n, _ in self.check().violations}


@pytest.fixture
def story():
    return Story()


def test_a_sound_story(story):
    c = story.check()
    assert c.violations == []
    assert c.fates == {"user": 2, "dead letter": 2}
    assert c.extra == {"keycloak cut_after": 1, "fails by design": 1}
    assert "lost 0, created twice 0, runs unexplained 0" in c.summary()


# -- what is lost, twice or not finished

def test_a_lost_event(story):
    story.end["users"].remove("u-1")
    assert story.words() == {("LOST", 1)}


def test_a_lost_dead_letter(story):
    story.end["dead"].pop(0)
    assert story.words() == {("LOST", 3), ("WRONG LETTER", 3)}


def test_a_message_left_on_the_queue(story):
    story.end["left"] = 1
    assert story.words() == {("LEFT", 0)}


def test_two_accounts(story):
    story.end["users"].append("U-1")
    assert ("TWICE", 1) in story.words()


def test_two_creates_that_were_carried_out(story):
    story.note("kill")
    story.note("start")
    story.run(1)
    story.register(1)
    assert story.words() == {("TWICE", 1)}


def test_a_user_that_nobody_made(story):
    post = story.find(user="u-1")
    post.update(status=409)
    assert story.words() == {("NOWHERE", 1)}
    post.update(status=0, told=0, fate="cut_before")
    assert ("NOWHERE", 1) in story.words()


def test_a_user_whose_create_was_never_answered_is_accounted_for(story):
    story.find(user="u-2").update(status=0)
    assert story.words() == set()


def test_a_user_without_its_role(story):
    story.end["role"].remove("u-2")
    assert story.words() == {("INCOMPLETE", 2)}


def test_a_user_without_its_group(story):
    story.end["members"].remove("u-1")
    assert story.words() == {("INCOMPLETE", 1)}


def test_a_user_and_a_dead_letter(story):
    story.copy(1)
    story.end["dead"].append(story.letter(1, "exhausted"))
    assert story.words() == {("BOTH", 1)}


def test_a_registration_that_was_given_up(story):
    story.copy(1)
    story.end["users"].remove("u-1")
    story.end["dead"].append(story.letter(1, "exhausted"))
    assert story.words() == {("GIVEN UP", 1)}


def test_an_account_of_an_event_that_is_to_be_rejected(story):
    story.lines.insert(-8, {**story.find(user="u-1"), "trace": trace_of(3), "user": "u-3",
                            "t0": story.find(dead=trace_of(3))["t0"] - 0.1})
    for names in (story.end[k] for k in ("users", "members", "role")):
        names.append("u-3")
    assert story.words() == {("BOTH", 3), ("STRANGER", 3)}


def test_another_events_user(story):
    """What two messages share that they should not: their accounts changed places."""
    first, second = story.find(user="u-1"), story.find(user="u-2")
    first["user"], second["user"] = "u-2", "u-1"
    assert story.words() == {("STRANGER", 1), ("STRANGER", 2)}


def test_users_and_messages_of_nobody(story):
    story.end["users"].append("somebody")
    story.end["dead"].append(story.letter(9, "rejected"))
    story.line("queue", "POST", "/", 200, target="ReceiveMessage", again=[], got=[["x", "hx", 1]])
    story.delete(77)
    story.call(99, "POST", USERS, 201, user="ghost")
    story.run(98)
    story.copy(97)
    assert story.words() == {("STRANGER", 0), ("STRANGER", 9)}
    assert len(story.check().violations) == 7


# -- runs that nothing explains

def again(story, n):
    story.receive(n, count=2)
    story.run(n, attempt=2)
    story.call(n, "GET", USERS + f"?username=u-{n}", 200)
    story.call(n, "GET", ROLES, 200)


def test_a_run_after_one_that_was_done(story):
    again(story, 1)
    assert story.words() == {("UNEXPLAINED", 1)}


def test_a_run_after_one_that_was_done_in_spite_of_a_fault(story):
    story.lines.insert(-1, {**story.find(path=ROLES, trace=trace_of(1)), "method": "GET", "told": 0,
                            "t0": story.find(user="u-1")["t0"] + 0.1})
    again(story, 1)
    assert story.words() == {("UNEXPLAINED", 1)}


def test_an_event_to_reject_that_was_not_rejected_at_once(story):
    story.lines.insert(-1, {**story.find(route="runs", trace=trace_of(3)),
                            "t0": story.find(dead=trace_of(3))["t0"] - 0.1})
    assert story.words() == {("UNEXPLAINED", 3)}


def test_a_kill_explains_it(story):
    story.note("kill")
    story.note("start")
    again(story, 1)
    assert story.words() == set()
    assert story.check().extra["killed"] == 1


def test_a_kill_before_or_after_does_not(story):
    story.lines.insert(0, {"route": "note", "what": "kill", "t0": 0.1})
    again(story, 1)
    story.note("kill")
    story.note("start")
    assert story.words() == {("UNEXPLAINED", 1)}


def test_a_duplicate_does_not_explain_a_run_after_an_ack(story):
    story.receive(1, again=["m1"])
    story.run(1)
    story.call(1, "GET", ROLES, 200)
    assert story.words() == {("UNEXPLAINED", 1)}


def test_a_run_again_without_a_fault(story):
    story.find(user="u-2").update(told=201, fate="")
    assert ("UNEXPLAINED", 2) in story.words()


@pytest.mark.parametrize("change, why", [
    ({"told": 503, "status": 503}, "keycloak answered 503"),
    ({"told": 0, "status": 0}, "keycloak answered nothing"),
    ({"told": 0, "gone": True}, "keycloak slow"),
    ({"told": 201, "fate": "late"}, "keycloak late"),
    ({"told": 429, "fate": "throttled"}, "keycloak throttled")])
def test_what_explains_a_run(story, change, why):
    story.find(user="u-2").update({"fate": "", **change})
    c = story.check()
    assert c.extra == {why: 1, "fails by design": 1}
    assert not [word for word, _, _ in c.violations if word == "UNEXPLAINED"]


def test_a_token_that_another_fetched(story):
    story.find(user="u-2").update(told=409, status=409, fate="")
    story.find(user="u-2")["t0"] += 0.1
    token = story.line("keycloak", "POST", "/realms/r/protocol/openid-connect/token", 0,
                       told=503, fate="throttled")
    assert ("UNEXPLAINED", 2) in story.words()
    begin = story.find(route="runs", trace=trace_of(2))["t0"]
    token.update(t0=begin - 0.5, t1=begin - 0.2)
    assert ("UNEXPLAINED", 2) in story.words()
    token.update(t1=begin + 0.5)
    assert story.check().extra["token or name"] == 1
    token.update(told=200, fate="")
    assert ("UNEXPLAINED", 2) in story.words()
    token.update(told=503, path="/admin/realms/r/group-by-path/customers", trace=trace_of(1))
    assert story.check().extra["token or name"] == 1


def test_a_breaker_that_another_opened(story):
    story.find(user="u-2").update(told=409, status=409, fate="")
    begin = story.find(route="runs", trace=trace_of(2))["t0"]
    other = story.line("keycloak", "GET", "/admin/realms/r/users?username=u-1", 200,
                       trace=trace_of(1))
    other.update(t0=begin - 0.2, t1=begin + 0.1)
    assert ("UNEXPLAINED", 2) in story.words()
    other.update(told=503, status=503)
    assert story.check().extra["breaker open"] == 1
    other.update(t0=begin - 2, t1=begin - 1)
    assert ("UNEXPLAINED", 2) in story.words()


def test_roles_that_were_only_read(story):
    """A breaker opened between the reading and the adding: that run was not done."""
    create = story.find(user="u-2")
    create.update(told=409, status=409, fate="")
    begin = story.find(route="runs", trace=trace_of(2))["t0"]
    read = story.line("keycloak", "GET", ROLES, 200, trace=trace_of(2))
    read.update(t0=create["t1"], t1=create["t1"] + 0.01)
    other = story.line("keycloak", "GET", "/admin/realms/r/users?username=u-1", 503,
                       trace=trace_of(1))
    other.update(t0=begin - 0.2, t1=begin + 0.1)
    assert story.check().extra["breaker open"] == 1
    story.find(path=ROLES, trace=trace_of(2), method="POST").update(trace=trace_of(1))
    assert story.check().extra["breaker open"] == 0


def test_a_server_that_was_away(story):
    story.find(user="u-2").update(told=409, status=409, fate="")
    begin = story.find(user="u-2")["t0"]
    story.lines.append({"route": "note", "what": "away", "server": "keycloak", "t0": begin - 9})
    story.lines.append({"route": "note", "what": "back", "server": "keycloak", "t0": begin - 8})
    assert ("UNEXPLAINED", 2) in story.words()
    story.lines[-1]["t0"] = begin
    assert story.check().extra["keycloak away"] == 1


def test_a_rejected_message_run_again(story):
    story.receive(3, count=2)
    story.run(3, attempt=2)
    assert story.words() == {("UNEXPLAINED", 3)}
    delete = next(e for e in story.lines if e.get("entries") == [["h3", "ok", None]])
    delete["entries"] = [["h3", "kept", None]]
    assert story.words() == set()


def test_a_duplicate_of_a_dead_letter(story):
    """Only acks are remembered, so it is copied again; without the duplicate nothing explains it."""
    story.run(3, attempt=2)
    assert story.words() == {("UNEXPLAINED", 3)}
    story.lines.insert(-1, {**story.find(target="ReceiveMessage"), "again": ["m3"],
                            "got": [["m3", "h3", 1]], "t0": story.now - 0.4, "t1": story.now - 0.3})
    assert story.words() == set()
    assert story.check().extra["duplicate of a dead letter"] == 1


def test_a_delete_that_nobody_heard_of(story):
    delete = next(e for e in story.lines if e.get("entries") == [["h3", "ok", None]])
    delete.update(told=0, fate="cut_after")
    story.run(3, attempt=2)
    assert story.words() == set()
    assert story.check().extra["copied, not deleted"] == 1


def test_a_user_without_a_run(story):
    story.without(story.find(route="runs", trace=trace_of(1)))
    assert ("UNRUN", 1) in story.words()


# -- requests that are repeated blindly

def test_two_posts_in_one_run(story):
    story.without(next(e for e in story.lines if e["route"] == "runs"
                       and e["path"] == "/run/2" and e["trace"] == trace_of(2)))
    story.call(2, "POST", USERS, 409, user="u-2")
    assert ("BLIND", 2) in story.words()


def test_a_refused_token_is_no_post(story):
    index = story.lines.index(story.find(user="u-1"))
    refused = {**story.lines[index], "status": 401, "told": 401, "t0": story.lines[index]["t0"] - 0.1}
    story.lines.insert(index, refused)
    assert story.words() == set()


def test_a_later_run_that_does_not_look(story):
    look = story.find(path=USERS + "?username=u-2")
    post = {**look, "method": "POST", "path": USERS, "user": "u-2", "status": 409, "told": 409,
            "t0": look["t1"] + 0.1}
    story.lines.append(post)
    assert story.words() == set()
    for change in ({"told": 0}, {"t1": post["t0"] + 0.1}, {"path": ROLES}, {"method": "HEAD"}):
        kept = dict(look)
        look.update(change)
        assert ("BLIND", 2) in story.words(), change
        look.update(kept)
    story.without(look)
    assert ("BLIND", 2) in story.words()


# -- deletes and dead letters

@pytest.mark.parametrize("n", (1, 3))
def test_deleted_before_it_was_done(story, n):
    delete = next(e for e in story.lines if e.get("entries") == [[f"h{n}", "ok", None]])
    delete["t0"] = 3.2
    assert story.words() == {("EARLY", n)}


def test_deleted_although_the_last_step_was_not_confirmed(story):
    story.find(path=ROLES, trace=trace_of(1)).update(told=0, fate="cut_after")
    assert story.words() == {("EARLY", 1)}


def test_a_copy_before_the_first_run(story):
    story.find(dead=trace_of(4))["t0"] = 0.5
    assert ("UNRUN", 4) in story.words()


def test_copies_that_nobody_answered_for(story):
    """It may be there or not, unless it never reached the queue."""
    copy = story.find(dead=trace_of(4))
    story.lines.append({**copy, "status": 0, "told": 0, "t0": copy["t0"] - 0.1})
    assert story.words() == set()
    story.end["dead"].append(story.letter(4, "exhausted"))
    assert story.words() == set()
    story.lines[-1]["fate"] = "cut_before"
    assert story.words() == {("WRONG LETTER", 4)}


def test_deleted_although_the_copy_was_not_confirmed(story):
    story.find(dead=trace_of(3)).update(told=0, fate="cut_after")
    assert story.words() == {("EARLY", 3)}


def test_a_dead_letter_that_never_ran(story):
    story.without(next(e for e in story.lines if e["route"] == "runs"
                       and e["trace"] == trace_of(3)))
    assert ("UNRUN", 3) in story.words()


def test_a_dead_letter_that_the_queue_moved(story):
    story.end["dead"][1].update(source=None, outcome=None)
    assert ("MOVED", 4) in story.words()


@pytest.mark.parametrize("change", [{"outcome": "rejected"}, {"source": "m1"}, {"trace": "00"}])
def test_a_dead_letter_with_wrong_words(story, change):
    story.end["dead"][1].update(change)
    assert story.words() == {("WRONG LETTER", 4)}


def test_a_second_copy_after_a_confirmed_one(story):
    story.copy(3)
    story.end["dead"].append(story.letter(3, "rejected"))
    assert story.words() == {("COPIED TWICE", 3)}


def test_a_copy_that_nobody_sent(story):
    story.end["dead"].append(story.letter(3, "rejected"))
    assert story.words() == {("WRONG LETTER", 3)}


# -- by hand

def test_the_command(story, tmp_path):
    story.end["users"].remove("u-1")
    for name, lines in (("sent.jsonl", story.sent), ("wire.jsonl", story.lines)):
        (tmp_path / name).write_text("".join(json.dumps(e) + "\n" for e in lines))
    (tmp_path / "end.json").write_text(json.dumps(story.end))
    done = subprocess.run([sys.executable, checker.__file__, str(tmp_path)], text=True,
                          stdout=subprocess.PIPE, timeout=30)
    assert done.returncode == 1
    assert "LOST event 1: neither a user nor a dead letter" in done.stdout
