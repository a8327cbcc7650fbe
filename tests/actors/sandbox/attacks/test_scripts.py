"""Every attack from inside succeeds against a bare process and fails in the local level."""

import os
from pathlib import Path

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import SandboxSpec
from tests.actors.sandbox.attacks.cases import ATTACKS, Attack
from tests.actors.sandbox.attacks.world import planted

pytestmark = pytest.mark.slow
_ROOT = os.geteuid() == 0
_BARE = [attack for attack in ATTACKS if not attack.bare and (_ROOT or not attack.root)]


def _named(attack: Attack) -> str:
    return f"{attack.number}-{attack.name}"


@pytest.mark.parametrize("attack", _BARE, ids=_named)
async def test_it_succeeds_against_a_bare_process(attack: Attack, tmp_path: Path) -> None:
    provider = BareProvider(tmp_path / "bare")
    neighbour = await provider.create(SandboxSpec())
    with planted(tmp_path, tmp_path / "bare" / neighbour.ref.id / "workspace") as world:
        sandbox = await provider.create(SandboxSpec(env=world.variables))
        result = await sandbox.exec(attack.argv, timeout_s=30)
    await provider.sweep({})
    assert result.ok, (result.exit_code, result.stderr.decode())


@pytest.mark.parametrize("attack", ATTACKS, ids=_named)
async def test_it_fails_in_the_local_level(attack: Attack, tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path / "local")
    neighbour = await provider.create(SandboxSpec())
    with planted(tmp_path, tmp_path / "local" / neighbour.ref.id / "workspace") as world:
        sandbox = await provider.create(SandboxSpec(env=world.variables))
        result = await sandbox.exec(attack.argv, timeout_s=30)
        assert world.untouched()
    await provider.sweep({})
    await provider.close()
    assert result.ended in ("exited", "signaled"), result
    assert not result.ok, result.stdout.decode()
