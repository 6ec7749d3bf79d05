"""Servers that keep their data in files, so that they can be killed in mid-run and come back."""
import os
import random

import pytest

from elasticmq import ElasticMQ
from keycloak import Keycloak
from scene import Scene
from servers import cache_folder


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    cache, logs = cache_folder(), str(tmp_path_factory.mktemp("servers"))
    keycloak = Keycloak(cache, logs, realms=(), folder=logs).start()
    elasticmq = ElasticMQ(cache, logs, folder=logs).start()
    yield elasticmq.wait(), keycloak.wait()
    keycloak.stop()
    elasticmq.stop()


@pytest.fixture
def scenes(servers, tmp_path):
    """Makes scenes, each with queues, a realm and a proxy of its own."""
    made = []

    def make(name="scene", **settings):
        made.append(Scene(tmp_path / name, *servers, **settings))
        return made[-1]
    yield make
    for scene in made:
        scene.close()


@pytest.fixture
def seed():
    seed = int(os.environ.get("LUAHOST_TEST_SEED") or random.SystemRandom().randrange(2**31))
    print(f"seed {seed}: repeat its faults with LUAHOST_TEST_SEED={seed}")
    return seed
