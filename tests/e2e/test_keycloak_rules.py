"""What Keycloak's token endpoint and Admin API answer, asked of a real one and of the stand-in.

Both are given the same realm files, and every rule here is asserted on both: they are what the
registration rests on. Names are new in every test, so that the tests may share the realms.
"""
import urllib.parse
import uuid

import pytest

from keycloak import Realm

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(params=["keycloak", "sandbox"], scope="module")
def base(request):
    return request.getfixturevalue(request.param).url


@pytest.fixture(scope="module")
def realm(base):
    return Realm(base, "customers")


@pytest.fixture(scope="module")
def mail_realm(base):
    return Realm(base, "mailnames")


@pytest.fixture(scope="module")
def weak(base):
    return Realm(base, "customers", "luahost-weak", "weak-secret-2718")


@pytest.fixture(scope="module")
def powerless(base):
    return Realm(base, "customers", "luahost-none", "none-secret-1618")


def fresh(prefix="u"):
    return prefix + uuid.uuid4().hex[:12]


def person(**more):
    name = fresh()
    return {"username": name, "email": name + "@example.org", "firstName": "Anna",
            "lastName": "Bell", "enabled": True, **more}


def says(answer, status, body):
    assert (answer.status, answer.json) == (status, body)


def found(realm, **query):
    answer = realm.get("/users", **query)
    assert answer.status == 200
    return [u["username"] for u in answer.json]


# ---- tokens

BAD_CLIENT = "Invalid client or Invalid client credentials"
GOOD = {"grant_type": "client_credentials", "client_id": "luahost-svc",
        "client_secret": "svc-secret-3141"}


def test_a_token(realm):
    answer = realm.ask_token(**GOOD)
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert 30 <= answer.json["expires_in"] <= 3600
    assert answer.json["refresh_expires_in"] == 0
    assert "refresh_token" not in answer.json
    assert answer.headers["cache-control"] == "no-store"
    assert realm.call("GET", "/users?max=1", token=answer.json["access_token"]).status == 200


@pytest.mark.parametrize("change, status, error, description", [
    ({"client_secret": "wrong"}, 401, "unauthorized_client", BAD_CLIENT),
    ({"client_id": "nobody"}, 401, "invalid_client", BAD_CLIENT),
    ({"grant_type": "other"}, 400, "unsupported_grant_type", "Unsupported grant_type"),
    ({"grant_type": None}, 400, "invalid_request", "Missing form parameter: grant_type")])
def test_tokens_refused(realm, change, status, error, description):
    form = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    says(realm.ask_token(**form), status, {"error": error, "error_description": description})


def test_a_token_of_an_unknown_realm(base):
    says(Realm(base, "nowhere").ask_token(**GOOD), 404, {"error": "Realm does not exist"})


def test_the_realm_itself_answers_without_a_token(realm):
    answer = realm.rest.call("GET", "/realms/customers")
    assert answer.status == 200
    assert answer.json["realm"] == "customers"
    says(realm.rest.call("GET", "/realms/nowhere"), 404, {"error": "Realm does not exist"})


@pytest.mark.parametrize("method, path, body", [("GET", "/users", None), ("POST", "/users", {})])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer rubbish"}])
def test_no_good_token(realm, method, path, body, headers):
    answer = realm.rest.call(method, "/admin/realms/customers" + path, body, headers=headers)
    says(answer, 401, {"error": "HTTP 401 Unauthorized"})


def test_a_token_of_another_realm(realm, mail_realm):
    answer = mail_realm.call("GET", "/users", token=realm.bearer())
    says(answer, 403, {"error": "HTTP 403 Forbidden"})


def test_an_unknown_realm_in_the_admin_api(realm):
    answer = realm.rest.call("GET", "/admin/realms/nowhere/users", token=realm.bearer())
    says(answer, 404, {"error": "Realm not found."})


# ---- creating

def test_a_user_is_made(realm):
    name = fresh("Mixed.")
    answer = realm.call("POST", "/users", {
        "username": name, "email": name + "@Example.ORG", "firstName": "Änne", "lastName": "O'Neil",
        "enabled": True, "groups": ["/customers", "/customers/new"], "realmRoles": ["customer"],
        "attributes": {"unmanaged": ["x"]}})
    assert (answer.status, answer.body) == (201, b"")
    place = urllib.parse.urlsplit(answer.headers["location"])
    user_id = place.path.rsplit("/", 1)[1]
    assert place.path == "/admin/realms/customers/users/" + user_id
    user = realm.get("/users/" + user_id).json
    assert user["id"] == user_id
    assert user["username"] == name.lower()
    assert user["email"] == name.lower() + "@example.org"
    assert (user["firstName"], user["lastName"]) == ("Änne", "O'Neil")
    assert (user["enabled"], user["emailVerified"]) == (True, False)
    assert "attributes" not in user
    groups = realm.get(f"/users/{user_id}/groups").json
    assert {g["path"] for g in groups} == {"/customers", "/customers/new"}
    roles = realm.get(f"/users/{user_id}/role-mappings/realm").json
    assert [r["name"] for r in roles] == ["default-roles-customers"]


def test_without_enabled_a_user_is_disabled(realm):
    user_id = realm.create(username=fresh())
    assert realm.get("/users/" + user_id).json["enabled"] is False


def test_the_time_of_creation_is_taken_from_the_creator_and_then_kept(realm):
    """users.ensure knows its own accounts by it."""
    user_id = realm.create(**person(createdTimestamp=1700000000123))
    assert realm.get("/users/" + user_id).json["createdTimestamp"] == 1700000000123
    realm.call("PUT", "/users/" + user_id, {"createdTimestamp": 1})
    assert realm.get("/users/" + user_id).json["createdTimestamp"] == 1700000000123


CLASHES = [
    ("both again", {}, "email"),
    ("name again", {"email": "other@example.org"}, "username"),
    ("name again, in capitals", {"email": "other@example.org", "username": str.upper}, "username"),
    ("e-mail again", {"username": lambda u: fresh()}, "email"),
    ("e-mail again, in capitals", {"username": lambda u: fresh(), "email": str.upper}, "email")]


@pytest.mark.parametrize("what, change, clash", CLASHES, ids=[c[0] for c in CLASHES])
def test_a_user_who_exists(realm, what, change, clash):
    user = person()
    realm.create(**user)
    second = dict(user)
    for field, value in change.items():
        second[field] = value(user[field]) if callable(value) else value
    says(realm.call("POST", "/users", second), 409,
         {"errorMessage": f"User exists with same {clash}"})


@pytest.mark.parametrize("one, other", ["éÉ", "ßẞ", "őŐ", "ệỆ", "ÿŸ", "žŽ", "łŁ", "k\u212a"])
def test_letters_that_are_the_same(realm, one, other):
    """users.ensure compares as Keycloak does."""
    stem = fresh()
    realm.create(username=stem + one, email=f"{stem}{one}@example.org")
    assert found(realm, username=stem + other, exact="true") == [stem + one]
    assert found(realm, email=f"{stem}{other}@example.org", exact="true") == [stem + one]
    second = {"username": stem + other, "email": f"{stem}{other}@example.org"}
    assert realm.call("POST", "/users", second).status == 409


@pytest.mark.parametrize("one, other", [("é", "e"), ("ß", "SS"), ("ı", "I"), ("ſ", "s"),
                                        ("ﬁ", "fi")])
def test_letters_that_are_not(realm, one, other):
    stem = fresh()
    realm.create(username=stem + one, email=f"{stem}{one}@example.org")
    assert found(realm, username=stem + other, exact="true") == []
    assert found(realm, email=f"{stem}{other}@example.org", exact="true") == []
    realm.create(username=stem + other, email=f"{stem}{other}@example.org")


def length_error(field, low, high, code="error-invalid-length"):
    return {"field": field, "errorMessage": code, "params": [field, low, high]}


def letter_error(field, code):
    return {"field": field, "errorMessage": code, "params": [field]}


def mail_error(text):
    return {"field": "email", "errorMessage": "error-invalid-email", "params": ["email", text]}


INVALID = [
    ("no name", {"username": None}, {"errorMessage": "User name is missing"}),
    ("empty name", {"username": ""}, {"errorMessage": "User name is missing"}),
    ("short name", {"username": "ab"}, length_error("username", 3, 255)),
    ("long name", {"username": "a" * 256}, length_error("username", 3, 255)),
    ("name with a blank", {"username": "john doe"},
     letter_error("username", "error-username-invalid-character")),
    ("name with brackets", {"username": "<john>"},
     letter_error("username", "error-username-invalid-character")),
    ("no e-mail address", {"email": "not an e-mail"}, mail_error("not an e-mail")),
    ("bad first name", {"firstName": "<script>"},
     letter_error("firstName", "error-person-name-invalid-character")),
    ("long first name", {"firstName": "a" * 256},
     length_error("firstName", None, 255, "error-invalid-length-too-long")),
    ("two errors", {"username": "ab", "email": "bad"},
     {"errors": [length_error("username", 3, 255), mail_error("bad")]})]


@pytest.mark.parametrize("what, change, body", INVALID, ids=[c[0] for c in INVALID])
def test_users_that_are_not_valid(realm, what, change, body):
    user = {k: v for k, v in {**person(), **change}.items() if v is not None}
    says(realm.call("POST", "/users", user), 400, body)


@pytest.mark.parametrize("text, status", [
    ('{"username": "x', 400), ("[]", 400), ('{"username": {"a": 1}}', 400),
    ('{"username": "wrong-type", "groups": "/customers"}', 400),
    ('{"username": "wrong-type", "enabled": "perhaps"}', 400), ("", 500)])
def test_bodies_that_are_no_user(realm, text, status):
    answer = realm.call("POST", "/users", text, headers={"Content-Type": "application/json"})
    assert answer.status == status
    assert "error" in answer.json


def test_a_member_that_keycloak_does_not_know(realm):
    answer = realm.call("POST", "/users", person(nonsense=1))
    assert answer.status == 400
    assert 'Unrecognized field "nonsense"' in answer.json["error"]


def test_an_unknown_group_is_an_internal_error_and_makes_nobody(realm):
    user = person(groups=["/nowhere"])
    says(realm.call("POST", "/users", user), 500, {
        "error": "unknown_error",
        "error_description": "For more on this error consult the server log."})
    assert found(realm, username=user["username"], exact="true") == []


# ---- looking up

def test_look_ups(realm):
    name = fresh("Look.")
    realm.create(username=name, email=f"{name}@example.org", firstName="Ludwig")
    low = [name.lower()]
    assert found(realm, username=name, exact="true") == low
    assert found(realm, username=name.upper(), exact="true") == low
    assert found(realm, email=name.upper() + "@EXAMPLE.org", exact="true") == low
    assert found(realm, username=name[:-1], exact="true") == []
    assert found(realm, username=name[2:]) == low
    assert found(realm, email=name[2:]) == low
    assert found(realm, search=name[:-2]) == low
    assert found(realm, username=name, email="other@example.org", exact="true") == []
    assert found(realm, username=name + "%", exact="true") == []


def test_a_look_up_escapes_its_value(realm):
    name = fresh("plus+")
    realm.create(username=name)
    assert found(realm, username=name, exact="true") == [name]


def test_pages_of_a_look_up(realm):
    stem = fresh("page")
    for i in range(3):
        realm.create(username=f"{stem}-{i}")
    assert found(realm, username=stem, first=1, max=1) == [stem + "-1"]
    assert realm.get("/users/count", username=stem).json == 3


def test_the_brief_form(realm):
    name = fresh()
    realm.create(username=name, email=name + "@example.org", enabled=True)
    brief = realm.get("/users", username=name, exact="true", briefRepresentation="true").json[0]
    assert {"id", "username", "email", "enabled", "createdTimestamp"} <= set(brief)
    assert "requiredActions" not in brief


# ---- changing

def test_a_user_is_changed(realm):
    user = person()
    user_id = realm.create(**user)
    assert realm.call("PUT", "/users/" + user_id, {"firstName": "Anne"}).status == 204
    assert realm.get("/users/" + user_id).json["firstName"] == "Anne"
    assert realm.get("/users/" + user_id).json["lastName"] == "Bell"
    whole = realm.get("/users/" + user_id).json
    assert realm.call("PUT", "/users/" + user_id, {**whole, "enabled": False}).status == 204
    assert realm.get("/users/" + user_id).json["enabled"] is False


def test_changes_refused(realm):
    first, second = person(), person()
    realm.create(**first)
    user_id = realm.create(**second)
    says(realm.call("PUT", "/users/" + user_id, {"email": first["email"]}), 409,
         {"errorMessage": "User exists with same email"})
    says(realm.call("PUT", "/users/" + user_id, {"username": first["username"]}), 409,
         {"errorMessage": "User exists with same username"})
    says(realm.call("PUT", "/users/" + user_id, {"email": "bad"}), 400, mail_error("bad"))
    says(realm.call("PUT", "/users/" + NOBODY, {}), 404, {"error": "User not found"})


def test_a_user_is_deleted(realm):
    user_id = realm.create(**person())
    assert realm.call("DELETE", "/users/" + user_id).status == 204
    says(realm.call("DELETE", "/users/" + user_id), 404, {"error": "User not found"})
    says(realm.get("/users/" + user_id), 404, {"error": "User not found"})


# ---- groups

def test_group_by_path(realm):
    top = realm.get("/group-by-path/customers").json
    assert (top["name"], top["path"]) == ("customers", "/customers")
    sub = realm.get("/group-by-path/customers/new").json
    assert (sub["name"], sub["path"], sub["parentId"]) == ("new", "/customers/new", top["id"])
    assert realm.get("/group-by-path/customers%2Fnew").json["id"] == sub["id"]
    for wrong in ("nowhere", "Customers", "customers/old", "new"):
        says(realm.get("/group-by-path/" + wrong), 404, {"error": "Group path does not exist"})


def test_the_list_of_groups(realm):
    groups = {g["path"]: g for g in realm.get("/groups").json}
    assert set(groups) == {"/customers", "/staff"}
    assert groups["/customers"]["subGroupCount"] == 1
    hit = realm.get("/groups", search="new").json
    assert [g["path"] for g in hit] == ["/customers"]
    assert [g["path"] for g in hit[0]["subGroups"]] == ["/customers/new"]
    assert realm.get("/groups", search="zzz").json == []


def test_membership(realm):
    user_id = realm.create(**person())
    group = realm.group_id("/customers/new")
    place = f"/users/{user_id}/groups/{group}"
    for _ in range(2):
        assert realm.call("PUT", place).status == 204
        assert [g["path"] for g in realm.get(f"/users/{user_id}/groups").json] == ["/customers/new"]
    names = [u["id"] for u in realm.get(f"/groups/{group}/members", max=10000).json]
    assert user_id in names
    for _ in range(2):
        assert realm.call("DELETE", place).status == 204
        assert realm.get(f"/users/{user_id}/groups").json == []


def test_membership_of_nobody_and_nowhere(realm):
    user_id = realm.create(**person())
    group = realm.group_id("/customers")
    says(realm.call("PUT", f"/users/{user_id}/groups/{NOBODY}"), 404, {"error": "Group not found"})
    says(realm.call("PUT", f"/users/{NOBODY}/groups/{group}"), 404, {"error": "User not found"})
    says(realm.get(f"/users/{NOBODY}/groups"), 404, {"error": "User not found"})


# ---- realm roles

def test_roles_by_name(realm):
    role = realm.get("/roles/customer").json
    assert role["name"] == "customer"
    assert (role["clientRole"], role["composite"]) == (False, False)
    assert realm.get("/roles/gold%20customer").json["name"] == "gold customer"
    for wrong in ("nope", "Customer"):
        says(realm.get("/roles/" + wrong), 404, {"error": "Could not find role"})


def test_roles_of_a_user(realm):
    user_id = realm.create(**person())
    role = realm.get("/roles/customer").json
    entry = [{"id": role["id"], "name": role["name"]}]
    place = f"/users/{user_id}/role-mappings/realm"
    for _ in range(2):
        assert realm.call("POST", place, entry).status == 204
        names = {r["name"] for r in realm.get(place).json}
        assert names == {"customer", "default-roles-customers"}
    assert user_id in [u["id"] for u in realm.get("/roles/customer/users", max=10000).json]
    for _ in range(2):
        assert realm.call("DELETE", place, entry).status == 204
        assert [r["name"] for r in realm.get(place).json] == ["default-roles-customers"]


def test_roles_that_are_not_there(realm):
    user_id = realm.create(**person())
    role = realm.get("/roles/customer").json
    place = f"/users/{user_id}/role-mappings/realm"
    for entry in ({"id": NOBODY, "name": "nope"}, {"id": NOBODY, "name": "customer"},
                  {"name": "customer"}):
        says(realm.call("POST", place, [entry]), 404, {"error": "Role not found"})
    says(realm.call("POST", f"/users/{NOBODY}/role-mappings/realm", [role]), 404,
         {"error": "User not found"})
    says(realm.get(f"/users/{NOBODY}/role-mappings/realm"), 404, {"error": "User not found"})


# ---- rights

def test_a_reader_may_not_write(realm, weak):
    user_id = realm.create(**person())
    role = realm.get("/roles/customer").json
    group = realm.group_id("/customers")
    assert weak.get("/users/" + user_id).status == 200
    assert weak.get("/group-by-path/customers").status == 200
    forbidden = {"error": "HTTP 403 Forbidden"}
    says(weak.call("POST", "/users", person()), 403, forbidden)
    says(weak.call("PUT", "/users/" + user_id, {"firstName": "x"}), 403, forbidden)
    says(weak.call("DELETE", "/users/" + user_id), 403, forbidden)
    says(weak.call("PUT", f"/users/{user_id}/groups/{group}"), 403, forbidden)
    says(weak.call("POST", f"/users/{user_id}/role-mappings/realm", [role]), 403, forbidden)
    says(weak.get("/roles/customer"), 403, forbidden)
    says(weak.get("/roles/nope"), 403, forbidden)


def test_what_of_a_user_is_kept(realm, weak, powerless):
    for one in (realm, weak):
        profile = one.get("/users/profile").json
        assert [a["name"] for a in profile["attributes"]] == [
            "username", "email", "firstName", "lastName"]
        assert all(a["permissions"]["edit"] == ["admin", "user"] for a in profile["attributes"])
        assert "unmanagedAttributePolicy" not in profile
    says(powerless.get("/users/profile"), 403, {"error": "HTTP 403 Forbidden"})


def test_without_rights_nothing_is_shown(realm, powerless):
    user_id = realm.create(**person())
    for path in ("/users", "/users/" + user_id, "/users/" + NOBODY, "/groups",
                 "/group-by-path/customers", "/roles/customer", f"/users/{user_id}/groups"):
        says(powerless.get(path), 403, {"error": "HTTP 403 Forbidden"})


# ---- a realm with the e-mail as user name

def test_the_email_becomes_the_name(mail_realm):
    name = fresh("Mail.")
    user_id = mail_realm.create(username=name, email=name + "@example.org", enabled=True)
    email = name.lower() + "@example.org"
    assert mail_realm.get("/users/" + user_id).json["username"] == email
    assert found(mail_realm, username=name, exact="true") == []
    assert found(mail_realm, username=email, exact="true") == [email]
    assert found(mail_realm, email=email.upper(), exact="true") == [email]
    for again in (name, fresh()):
        says(mail_realm.call("POST", "/users", {"username": again, "email": email}), 409,
             {"errorMessage": "User exists with same email"})


def test_there_an_email_is_needed(mail_realm):
    says(mail_realm.call("POST", "/users", {"username": fresh()}), 400,
         {"field": "email", "errorMessage": "error-user-attribute-required", "params": ["email"]})
    says(mail_realm.call("POST", "/users", {"enabled": True}), 400,
         {"errorMessage": "User name is missing"})
    assert mail_realm.create(email=fresh() + "@example.org")
