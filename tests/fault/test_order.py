"""The order of a FIFO queue, while handlers fail at random and the host is killed every few seconds."""
import pytest

import sqs
from order import OrderedStage, check_order, kill_again_and_again

GROUPS, MESSAGES = 50, 100


@pytest.mark.soak
def test_fifty_groups_under_kills(servers, tmp_path, seed):
    scene = OrderedStage(tmp_path, servers[0].url, sqs.client(servers[0].url), receives=1000,
                         visibility=3)
    groups = [f"g{i}" for i in range(GROUPS)]
    for n in range(1, MESSAGES + 1):
        for group in groups:
            scene.send(group, [n], "fail at times")
    kills = kill_again_and_again(scene, seed, 5, 3600)
    print(f"{kills} kills")
    check_order(scene, groups, MESSAGES)
    assert kills >= 5
    assert scene.dead_letters() == []
    scene.close()
