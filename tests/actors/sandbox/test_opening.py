"""A level is opened by name, works, or is refused with the way out; never replaced."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.sandbox import opening
from actors.sandbox.in_memory import InMemoryProvider
from actors.sandbox.local.frame import diagnosed, find_tools
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import Check, SandboxUnavailableError, UnsupportedError
from orchestration.errors import UsageError


class SickProvider(InMemoryProvider):
    """A level whose self-test fails twice."""

    async def doctor(self) -> list[Check]:
        return [
            Check("fine", True, "yes"),
            Check("namespaces", False, "refused", "allow user namespaces"),
            Check("/proc", False, "masked", "unmask /proc"),
        ]


def sick(root: Path, *, toolchains: Sequence[str] = ()) -> SickProvider:
    return SickProvider(root, toolchains=toolchains)


@pytest.mark.parametrize("level", ["local", "none", "in-memory"])
async def test_a_level_that_works_is_opened_by_name(tmp_path: Path, level: str) -> None:
    provider = await open_provider(level, tmp_path)
    assert provider.level == level
    await provider.close()


async def test_an_unknown_level_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="local"):
        await open_provider("docker-compose", tmp_path)


async def test_a_level_without_what_is_needed_is_refused_and_none_taken_instead(
    tmp_path: Path,
) -> None:
    with pytest.raises(UnsupportedError, match=r"'none' lacks egress_off"):
        await open_provider("none", tmp_path, needs=["snapshot", "egress_off"])
    with pytest.raises(UsageError, match="no capability egres_off"):
        await open_provider("none", tmp_path, needs=["egres_off"])
    await (await open_provider("none", tmp_path, needs=["snapshot"])).close()


async def test_an_image_for_a_level_without_images_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images"):
        await open_provider("local", tmp_path, image="python:3.12")


async def test_a_level_whose_package_is_missing_is_refused_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(opening.PLUGS, "e2b", ("actors.sandbox.not_installed", "E2BProvider"))
    with pytest.raises(SandboxUnavailableError, match="make setup"):
        await open_provider("e2b", tmp_path)


async def test_a_level_that_fails_its_self_test_is_refused_with_every_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(opening.PLUGS, "local", (__name__, "sick"))
    with pytest.raises(SandboxUnavailableError) as caught:
        await open_provider("local", tmp_path)
    assert "namespaces: refused; /proc: masked" in caught.value.what
    assert caught.value.fix == "allow user namespaces; unmask /proc"


def test_a_missing_program_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailableError, match="apt-get install bubblewrap"):
        find_tools(str(tmp_path))


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("bwrap: setting up uid map: Permission denied", "AppArmor"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "AppArmor"),
        ("bwrap: No permissions to create new namespace, likely because...", "userns_clone"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths"),
        ("something new", "manta doctor"),
        ("", "manta doctor"),
    ],
)
def test_bubblewraps_last_words_are_turned_into_the_way_out(said: str, fix: str) -> None:
    assert fix in diagnosed(said).fix
