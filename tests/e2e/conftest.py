"""Session-wide servers. They boot side by side when the first test asks for one of them."""
import pytest

import sqs
from keycloak import Realm
from motoserver import Moto
from sandbox import Sandbox
from servers import Servers
from stage import Stage
from unreachable import NobodyHome


@pytest.fixture(scope="session")
def log_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("logs"))


def needs_keycloak(item):
    """A real one: asked for by a fixture's name, or as the parameter of one."""
    asked = getattr(item, "callspec", None)
    return "keycloak" in item.fixturenames or "keycloak" in (asked.params.values() if asked else ())


def pytest_addoption(parser):
    parser.addoption("--keycloak", choices=("with", "without"),
                     help="only the tests that need a real Keycloak, or only the others")


@pytest.fixture(scope="session")
def servers(log_dir, request):
    running = Servers(log_dir, any(map(needs_keycloak, request.session.items)))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def elasticmq(servers):
    return servers.queue()


@pytest.fixture(scope="session")
def keycloak(servers):
    return servers.keycloak()


@pytest.fixture(scope="session")
def elasticmq_sqs(elasticmq):
    return sqs.client(elasticmq.url)


@pytest.fixture(scope="session")
def moto(log_dir):
    running = Moto(log_dir)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def moto_sqs(moto):
    return sqs.client(moto.url)


@pytest.fixture(scope="session")
def sandbox(log_dir):
    running = Sandbox(log_dir)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def sandbox_sqs(sandbox):
    return sqs.client(sandbox.queue_url)


@pytest.fixture
def stage(tmp_path, elasticmq, elasticmq_sqs, keycloak):
    """Queue, Keycloak and proxy."""
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs, keycloak)
    yield scene
    scene.close()


@pytest.fixture
def big_stage(tmp_path, elasticmq, elasticmq_sqs, keycloak):
    """The same with a realm of its own, for thousands of users. Leases are short, so that what a
    killed host held soon comes back."""
    scene = Stage(tmp_path, elasticmq, elasticmq_sqs, keycloak, keycloak.new_realm(), visibility=5)
    yield scene
    scene.close()


@pytest.fixture(scope="session", autouse=True)
def unreachable(request, tmp_path_factory):
    """A host whose queue nobody serves gives up after a minute, so it starts before all else."""
    if not any(item.name == "test_an_unreachable_queue" for item in request.session.items):
        yield None
        return
    with NobodyHome(tmp_path_factory.mktemp("unreachable")) as scene:
        yield scene


def pytest_collection_modifyitems(config, items):
    """The one that waits a minute for a process started at the beginning goes last."""
    if half := config.getoption("--keycloak"):
        others = [item for item in items if needs_keycloak(item) != (half == "with")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    items.sort(key=lambda item: item.name == "test_an_unreachable_queue")


@pytest.fixture(params=["keycloak", "sandbox"], scope="module")
def server(request):
    """The real Keycloak, and our stand-in."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def realm(server):
    return Realm(server.url, "customers")
