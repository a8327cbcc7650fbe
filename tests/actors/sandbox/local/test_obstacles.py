"""Why the local level does not work is read from the machine, and each reason has its way out."""

import sys
from pathlib import Path

import pytest

from actors.sandbox.local.obstacles import PROFILE_PLACE, apparmor_profile, obstacles
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Check, SandboxUnavailableError


def there(name: str) -> str:
    return f"/usr/bin/{name}"


def seen(root: Path, **files: str) -> dict[str, Check]:
    """What is found on a machine with these files; `__` stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {check.name: check for check in obstacles(root, there)}


def test_a_plain_machine_has_none(tmp_path: Path) -> None:
    found = seen(
        tmp_path,
        proc__sys__user__max_user_namespaces="96365\n",
        proc__sys__kernel__apparmor_restrict_unprivileged_userns="0\n",
        proc__self__mountinfo="30 1 0:5 / /proc rw - proc proc rw\n",
    )
    assert all(check.ok for check in found.values())
    assert len(found) == 4
    assert all(check.ok for check in obstacles(tmp_path / "empty", there))


def test_missing_programs_name_their_packages(tmp_path: Path) -> None:
    def find(name: str) -> str | None:
        return None if name in {"bwrap", "nsenter", "setpriv"} else there(name)

    check = obstacles(tmp_path, find)[0]
    assert (check.ok, check.detail) == (False, "missing: bwrap, nsenter, setpriv")
    assert check.fix.startswith("apt-get install bubblewrap util-linux ")


@pytest.mark.parametrize(
    ("setting", "fix"),
    [
        ("proc__sys__kernel__unprivileged_userns_clone", "kernel.unprivileged_userns_clone=1"),
        ("proc__sys__user__max_user_namespaces", "user.max_user_namespaces=15000"),
        ("proc__sys__user__max_net_namespaces", "user.max_net_namespaces=15000"),
    ],
)
def test_namespaces_that_are_switched_off_name_the_switch(
    tmp_path: Path, setting: str, fix: str
) -> None:
    check = seen(tmp_path, **{setting: "0\n"})["user namespaces"]
    assert not check.ok
    assert fix in check.fix


def test_apparmor_is_explained_and_its_profile_offered(tmp_path: Path) -> None:
    restricted = {"proc__sys__kernel__apparmor_restrict_unprivileged_userns": "1\n"}
    check = seen(tmp_path / "a", **restricted)["AppArmor"]
    assert not check.ok
    assert "manta doctor --apparmor" in check.fix
    loaded = "snap.x (enforce)\nbwrap (unconfined)\n"
    assert seen(tmp_path / "b", **restricted, sys__kernel__security__apparmor__profiles=loaded)[
        "AppArmor"
    ].ok
    (tmp_path / "c" / PROFILE_PLACE.lstrip("/")).parent.mkdir(parents=True)
    (tmp_path / "c" / PROFILE_PLACE.lstrip("/")).write_text(apparmor_profile())
    assert seen(tmp_path / "c", **restricted)["AppArmor"].ok
    assert "profile bwrap /usr/bin/bwrap" in apparmor_profile()
    assert "userns," in apparmor_profile()


def test_a_masked_proc_names_what_docker_and_kubernetes_need(tmp_path: Path) -> None:
    masked = "31 30 0:5 /sys /proc/sys ro,nosuid - proc proc rw\n"
    check = seen(tmp_path, proc__self__mountinfo=masked)["/proc"]
    assert not check.ok
    assert "systempaths=unconfined" in check.fix
    assert "procMount: Unmasked" in check.fix


def test_on_macos_the_container_level_is_named_and_nothing_weaker_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxUnavailableError, match="needs Linux") as caught:
        LocalProvider(tmp_path)
    assert "container" in caught.value.fix
