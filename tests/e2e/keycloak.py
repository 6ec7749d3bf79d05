"""A real Keycloak from the cache folder, and what the tests ask of it (or of a stand-in)."""
import json
import os
import time
import urllib.parse
import uuid

import procs
from rest import Rest

VERSION = "26.7.4"
REALMS = os.path.join(os.path.dirname(__file__), "realms")


def realm_file(name):
    return os.path.join(REALMS, name + ".json")


class Realm:
    """One realm seen through a client that has rights in it. Not to be shared between threads."""

    def __init__(self, base, realm, client_id="luahost-svc", client_secret="svc-secret-3141"):
        self.base, self.realm = base, realm
        self.client_id, self.client_secret = client_id, client_secret
        self.rest = Rest(base)
        self.token, self.token_end = None, 0.0

    def ask_token(self, **form):
        path = f"/realms/{self.realm}/protocol/openid-connect/token"
        return self.rest.call("POST", path, form=form)

    def bearer(self):
        if time.monotonic() > self.token_end:
            a = self.ask_token(grant_type="client_credentials", client_id=self.client_id,
                               client_secret=self.client_secret)
            assert a.status == 200, a
            self.token = a.json["access_token"]
            self.token_end = time.monotonic() + a.json["expires_in"] * 0.5
        return self.token

    def call(self, method, path, body=None, **kw):
        """path is relative to /admin/realms/{realm}."""
        kw.setdefault("token", self.bearer())
        return self.rest.call(method, f"/admin/realms/{self.realm}{path}", body, **kw)

    def get(self, path, **query):
        q = "?" + urllib.parse.urlencode(query) if query else ""
        return self.call("GET", path + q)

    def create(self, **user):
        a = self.call("POST", "/users", user)
        assert a.status == 201, a
        return a.headers["location"].rsplit("/", 1)[1]

    def group_id(self, path):
        a = self.call("GET", "/group-by-path/" + urllib.parse.quote(path.lstrip("/")))
        assert a.status == 200, a
        return a.json["id"]

    def user_names(self, search=None, limit=100000):
        query = {"max": limit, "briefRepresentation": "true"}
        if search:
            query["search"] = search
        return [u["username"] for u in self.get("/users", **query).json]

    def member_names(self, group_path, limit=100000):
        a = self.get(f"/groups/{self.group_id(group_path)}/members", max=limit,
                     briefRepresentation="true")
        return [u["username"] for u in a.json]

    def role_holder_names(self, role, limit=100000):
        a = self.get(f"/roles/{role}/users", max=limit, briefRepresentation="true")
        return [u["username"] for u in a.json]


class Keycloak:
    """start() returns at once; wait() returns when the realms are there."""

    ADMIN = "boot-admin"
    PASSWORD = "boot-password"

    # The quick compiler alone starts two seconds sooner.
    QUICK_START = "-XX:TieredStopAtLevel=1"

    def __init__(self, cache, log_dir, realms=("customers", "mailnames"), folder=None,
                 java_options=QUICK_START):
        """folder: where it keeps its database, for one that is to be killed and started again."""
        self.java_options = java_options
        self.port, self.management = procs.free_port(), procs.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.cache, self.log_dir, self.realms = cache, log_dir, realms
        # Without a delay: what was answered outlives a SIGKILL.
        self.database = [f"--db-url=jdbc:h2:file:{folder}/keycloak;NON_KEYWORDS=VALUE;"
                         "DB_CLOSE_ON_EXIT=FALSE;WRITE_DELAY=0"] if folder else []
        self.process = None

    def start(self):
        home = os.path.join(self.cache, "keycloak-" + VERSION)
        # kc.sh passes TERM on to its java.
        self.process = procs.Process(
            "Keycloak",
            [os.path.join(home, "bin", "kc.sh"), "start", "--optimized", "--cache=local",
             "--http-enabled=true", "--hostname-strict=false", "--http-host=127.0.0.1",
             f"--http-port={self.port}", f"--http-management-port={self.management}",
             *self.database],
            os.path.join(self.log_dir, "keycloak.log"),
            env={"KC_BOOTSTRAP_ADMIN_USERNAME": self.ADMIN,
                 "KC_BOOTSTRAP_ADMIN_PASSWORD": self.PASSWORD,
                 "JAVA_OPTS_APPEND": self.java_options}, death_signal="TERM")
        return self

    def _ready(self):
        try:
            rest = Rest(f"http://127.0.0.1:{self.management}")
            return rest.call("GET", "/health/ready").status == 200
        except OSError:
            return False

    def kill(self):
        """SIGKILL; start() and wait_ready() bring it back on the same port."""
        self.process.kill()

    def wait_ready(self):
        self.process.wait_ready(self._ready)

    def wait(self):
        self.wait_ready()
        for name in self.realms:
            self.add_realm(name)
        return self

    def new_realm(self):
        """The name of a fresh copy of the customers' realm: reading one with thousands of users
        takes long, and no test should pay for another's."""
        name = "customers-" + uuid.uuid4().hex[:8]
        self.add_realm("customers", name)
        return name

    def add_realm(self, file, name=None):
        with open(realm_file(file)) as f:
            representation = json.load(f)
        if name:
            representation["realm"] = name
        a = self.admin("POST", "", representation)
        assert a.status == 201, a

    def admin_token(self):
        """Good for a minute."""
        a = Rest(self.url).call("POST", "/realms/master/protocol/openid-connect/token", form={
            "grant_type": "password", "client_id": "admin-cli", "username": self.ADMIN,
            "password": self.PASSWORD})
        assert a.status == 200, a
        return a.json["access_token"]

    def admin(self, method, path, body=None):
        """What no client of a realm may do; path is below /admin/realms."""
        return Rest(self.url).call(method, "/admin/realms" + path, body, token=self.admin_token())

    def stop(self):
        if self.process:
            self.process.stop()
