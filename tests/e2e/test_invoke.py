"""`host invoke` against a Keycloak that is there: dry runs read from it and write nothing; --live
does what the host would do. On a real one and on the stand-in."""
import json
import subprocess
import uuid

import pytest

import hostproc

HANDLER = """
local kc, log = require "host.keycloak", require "host.log"
local M = {}
local calls = {
  ensure = function(c) kc.users.ensure(c.rep) end,
  change = function(c)
    kc.users.update(c.id, { firstName = "Grace" })
    kc.users.groups.add(c.id, "/staff")
    local groups = {}
    for i, g in ipairs(kc.users.groups.list(c.id)) do groups[i] = g.path end
    table.sort(groups)
    log.warn("now", { first = kc.users.get(c.id).firstName, groups = table.concat(groups, " "),
      roles = #kc.users.roles.list(c.id) })
  end,
  replace = function(c)
    kc.users.delete(c.id)
    log.warn("now", { there = kc.users.get(c.id) ~= nil, id = kc.users.create(c.rep) })
  end,
  password = function(c)
    kc.users.set_password(c.id, "swordfish")
    kc.users.create(c.rep)
  end,
  group = function(c) kc.users.groups.add(c.id, "/nowhere") end,
  events = function() kc.request("PUT", "/events/config", { json = {} }) end,
  count = function() log.warn("now", { status = kc.request("GET", "/users/count").status }) end,
  sleep = function() require "host".sleep(1.5) end,
}
function M.handle(msg) return calls[msg.json.call](msg.json) end
return M
"""


class Folder:
    def __init__(self, path, url, secret, realm="customers", handler=HANDLER):
        self.path = path
        (path / "h.lua").write_text(handler)
        (path / "secret").write_text(secret)
        (path / "secret").chmod(0o600)
        (path / "host.conf.lua").write_text("return " + hostproc.lua({"keycloak": {
            "url": url, "realm": realm, "client_id": "luahost-svc",
            "client_secret_file": str(path / "secret")}}))

    def invoke(self, event, *flags):
        done = subprocess.run(
            [hostproc.BINARY, "invoke", "h.lua", "-e", "-", *flags], cwd=self.path, text=True,
            input=json.dumps(event), capture_output=True, timeout=60, env=hostproc.environment())
        hostproc.check_output(done.stdout + done.stderr)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path, server):
    return Folder(tmp_path, server.url, hostproc.CLIENT_SECRET)


def person(**more):
    name = "i" + uuid.uuid4().hex[:10]
    return {"username": name, "email": name + "@example.org", "enabled": True, **more}


def test_a_new_user(folder, realm):
    rep = person(groups=["/customers/new"], realmRoles=["customer"])
    code, out, err = folder.invoke({"call": "ensure", "rep": rep})
    assert code == 0 and out.endswith("ack\n"), out + err
    assert "group-by-path/customers/new\n       → 200 (read from Keycloak)" in out
    assert "→ 201 (Keycloak in memory)" in out and "role-mappings/realm" in out
    assert realm.get("/users", username=rep["username"], exact="true").json == []
    code, out, err = folder.invoke({"call": "ensure", "rep": rep}, "--live")
    assert code == 0 and out.endswith("ack\n"), out + err
    made, = realm.get("/users", username=rep["username"], exact="true").json
    assert [g["path"] for g in realm.get(f"/users/{made['id']}/groups").json] == ["/customers/new"]
    assert "POST " in out and "→ 201 (" in out and " ms)" in out


def test_somebody_has_the_e_mail(folder, realm):
    rep = person()
    realm.create(**rep)
    code, out, _ = folder.invoke({"call": "ensure", "rep": {**rep, "username": "other-" +
                                                            rep["username"]}})
    assert code == 1 and "→ 409 (Keycloak in memory)" in out, out
    assert "\nreject\n" in out and "e-mail with another user name: somebody else's" in out


def test_a_group_that_is_not_there(folder, realm):
    code, out, _ = folder.invoke({"call": "ensure", "rep": person(groups=["/nowhere"])})
    assert code == 1 and "→ 404 (read from Keycloak)" in out
    assert "there is no group /nowhere in realm customers" in out
    assert "POST" not in out


def test_changes_of_a_user_who_is_there(folder, realm):
    id = realm.create(**person(firstName="Ada", groups=["/customers"]))
    code, out, err = folder.invoke({"call": "change", "id": id})
    assert code == 0, out + err
    assert "first=Grace" in err and 'groups="/customers /staff"' in err and "roles=1" in err, err
    user = realm.get(f"/users/{id}").json
    assert user["firstName"] == "Ada"
    assert [g["path"] for g in realm.get(f"/users/{id}/groups").json] == ["/customers"]


def test_a_user_deleted_in_the_run_does_not_come_back(folder, realm):
    rep = person()
    id = realm.create(**rep)
    code, out, err = folder.invoke({"call": "replace", "id": id, "rep": rep})
    assert code == 0 and "there=false" in err, out + err
    assert realm.get(f"/users/{id}").status == 200


def test_what_is_not_kept_in_memory(folder, server):
    code, out, _ = folder.invoke({"call": "events"})
    assert code == 1 and "cannot tell" in out
    code, out, err = folder.invoke({"call": "count"})
    assert code == 0 and "status=200" in err and "(read from Keycloak)" in out


def test_a_client_that_may_read_nothing(tmp_path, server):
    folder = Folder(tmp_path, server.url, "wrong")
    code, out, _ = folder.invoke({"call": "ensure", "rep": person()})
    assert code == 0 and "note: Keycloak could not be read" in out and "secret" in out


def test_passwords_are_not_shown(folder, realm):
    id = realm.create(**person())
    for flags in ((), ("--json",), ("--trace",)):
        code, out, err = folder.invoke({"call": "password", "id": id, "rep": person(credentials=[
            {"type": "password", "value": "open-sesame", "temporary": False}])}, *flags)
        assert code == 0, out + err
        assert "open-sesame" not in out + err and "swordfish" not in out + err
        assert out.count("***") == 2


def test_init_may_ask(tmp_path):
    (tmp_path / "h.lua").write_text("""
local http, body = require "host.http", nil
return { init = function() body = http.get("http://conf.test/").body end,
         handle = function() require("host.log").warn(body) end }""")
    for answers, code in ((["--answer", "GET http://conf.test/ 200 yes"], 0), ([], 78)):
        done = subprocess.run([hostproc.BINARY, "invoke", "h.lua", "-e", "-", *answers],
                              cwd=tmp_path, input="{}", capture_output=True, text=True, timeout=20,
                              env=hostproc.environment())
        assert done.returncode == code, done
        assert "GET    http://conf.test/" in done.stdout


def test_an_event_that_is_no_utf8(tmp_path):
    (tmp_path / "h.lua").write_text("function handle(msg) end")
    (tmp_path / "e.json").write_bytes(b'"\xe9"')
    done = subprocess.run([hostproc.BINARY, "invoke", "h.lua", "-e", "e.json"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=20, env=hostproc.environment())
    assert done.returncode == 1 and "e.json: byte 2 is no UTF-8" in done.stderr


def test_the_timeline(folder):
    code, out, _ = folder.invoke({"call": "ensure", "rep": person()}, "--trace")
    timeline = out[out.index("timeline\n"):]
    assert code == 0 and "host.token.get realm customers" in timeline
    assert "host.http POST " in timeline and "→ 201" in timeline
    code, out, _ = folder.invoke({"call": "sleep"}, "--trace", "--json")
    told = json.loads(out)
    assert code == 0 and told["requests"] == []
    wait, = told["timeline"]
    assert (wait["call"], wait["what"], wait["took_ms"]) == ("host.sleep", "1.5 s", 1500)
    assert told["duration"] > 1.5
    code, out, _ = folder.invoke({"call": "ensure", "rep": person()}, "--trace", "--json", "--live")
    assert [w["result"] for w in json.loads(out)["timeline"]] == ["", "201"]
