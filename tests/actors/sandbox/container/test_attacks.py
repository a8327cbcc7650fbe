"""Every attack from inside fails in a container."""

from pathlib import Path

import pytest

from actors.sandbox.protocol import Sandbox, SandboxSpec
from tests.actors.sandbox.attacks.cases import ATTACKS, Attack
from tests.actors.sandbox.attacks.world import planted
from tests.actors.sandbox.container.image import containers

pytestmark = pytest.mark.slow
_ALL = [attack for attack in ATTACKS if attack.name != "a set-user-id file counts"]
"""But one: engines mount so that such a file counts, and nobody can gain by it all the same, which
its neighbour in the list shows (no new privileges)."""
_QUICK = [attack for attack in _ALL if attack.number in (7, 11, 14, 17, 18, 19)]


async def _successes(attacks: list[Attack], sandbox: Sandbox) -> list[str]:
    """Names of those that succeeded, and how the others ended where that is odd."""
    found: list[str] = []
    for attack in attacks:
        result = await sandbox.exec(attack.argv, timeout_s=60)
        if result.ok or result.ended not in ("exited", "signaled"):
            found.append(f"{attack.number} {attack.name}: {result}")
    return found


async def _attacked(attacks: list[Attack], root: Path) -> list[str]:
    provider = containers(root / "containers")
    neighbour = await provider.create(SandboxSpec())
    with planted(root, root / "containers" / neighbour.ref.id / "workspace") as world:
        sandbox = await provider.create(SandboxSpec(env=world.variables))
        found = await _successes(attacks, sandbox)
        assert world.untouched()
    await provider.sweep({})
    await provider.close()
    return found


async def test_the_roads_out_are_closed(tmp_path: Path) -> None:
    assert await _attacked(_QUICK, tmp_path) == []


@pytest.mark.attacks
async def test_no_attack_succeeds(tmp_path: Path) -> None:
    assert await _attacked(_ALL, tmp_path) == []
