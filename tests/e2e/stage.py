"""One scene of a test: a queue on a server, the proxy in front of all servers, host behind it."""
import os
import urllib.parse
import uuid

from hostproc import CLIENT_SECRET, Host
from keycloak import Realm
from sqs import REGION, create_queue
from wire import Wire


class Stage:
    wiring = Wire

    def __init__(self, folder, queue_server, sqs, keycloak=None, realm="customers",
                 visibility=30, routes=None, **attributes):
        self.folder = str(folder)
        self.queue = create_queue(sqs, "stage", VisibilityTimeout=visibility, **attributes)
        self.visibility = visibility
        routes = {**(routes or {}), "queue": queue_server.url}
        if keycloak is not None:
            routes["keycloak"] = keycloak.url
            self.realm = Realm(keycloak.url, realm)
        self.wire = self.wiring(os.path.join(self.folder, "wire.jsonl"), **routes)
        self.secret_file = self.secret("client-secret", CLIENT_SECRET)

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def secret(self, name, value):
        path = self.file(name, value + "\n")
        os.chmod(path, 0o600)
        return path

    def config(self, **changes):
        """A configuration that works; each change replaces members of one section."""
        config = {
            "queue": {"url": self.wire.url["queue"] + urllib.parse.urlsplit(self.queue.url).path,
                      "endpoint": self.wire.url["queue"], "region": REGION, "wait": 5,
                      "visibility": self.visibility},
            "workers": {"max": 4},
        }
        if "keycloak" in self.wire.url:
            config["keycloak"] = {
                "url": self.wire.url["keycloak"], "realm": self.realm.realm,
                "client_id": "luahost-svc", "client_secret_file": self.secret_file}
        for section, members in changes.items():
            if isinstance(members, dict):
                config[section] = {**config.get(section, {}), **members}
            else:
                config[section] = members
        config["workers"].setdefault("min", config["workers"]["max"])
        return config

    def host(self, handler, /, *flags, env=None, **changes):
        return Host(self.folder, handler, self.config(**changes), *flags, env=env)

    def handler(self, source, name="handler.lua"):
        return self.file(name, source)

    def close(self):
        self.wire.stop()


def registration(stem, n):
    """The event that lua/examples/register.lua expects."""
    return {"user": {"username": f"{stem}-{n}", "email": f"{stem}-{n}@example.org",
                     "first_name": "Anna", "last_name": "Bell"}}


def new_stem():
    """The start of user names that no other test uses."""
    return "r" + uuid.uuid4().hex[:8]
