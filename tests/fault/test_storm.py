"""Nothing lost and nothing made twice while everything fails, accounted for event by event."""
import pytest

from scene import Feeder
from storm import Storm


def weather(scene, seed, total, longest_s, **storm):
    feeder = Feeder(scene, total)
    Storm(scene, feeder, seed, **storm).rage(longest_s)
    checker = scene.account()
    print(checker.summary())
    assert not checker.violations, f"{scene.folder}\n{checker.summary()}"
    return checker


def test_a_short_storm(scenes, seed):
    checker = weather(scenes(), seed, 1000, 900, kills=4, restarts=("keycloak", "queue"), share=0.02)
    assert checker.fates == {"user": 985, "dead letter": 15}
    notes, faults = checker.log.notes, checker.log.faults
    assert (notes["kill"], notes["away keycloak"], notes["away queue"]) == (4, 1, 1)
    assert faults["queue fail_delete"] > 30 and faults["queue duplicate"] > 10
    assert sum(n for name, n in faults.items() if name.startswith("keycloak")) > 10
    assert checker.extra["killed"] > 0


@pytest.mark.soak
def test_a_long_storm(scenes, seed):
    """A hundred thousand messages."""
    weather(scenes(), seed, 100_000, 3 * 3600, kills=100, restarts=("keycloak", "queue") * 5,
            share=0.01)
