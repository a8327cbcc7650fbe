"""Installations and caches of the host's are found inside, read-only and without a network."""

import json
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Generator
from pathlib import Path

import pytest

from actors.sandbox.local.caches import cache_variables
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import SandboxSpec

RUST = (Path.home() / ".rustup", Path.home() / ".cargo")


def test_places_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    for place in ("rustup/toolchains", "cargo/bin", "mod/cache/download", "plain/bin"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "rustup/settings.toml").write_text("")
    (tmp_path / "cargo/bin/cargo").write_text("")
    found = cache_variables(str(tmp_path / name) for name in ("rustup", "cargo", "mod", "plain"))
    assert found["RUSTUP_HOME"] == str(tmp_path / "rustup")
    assert (found["CARGO_HOME"], found["CARGO_NET_OFFLINE"]) == (str(tmp_path / "cargo"), "true")
    assert (found["GOMODCACHE"], found["GOPROXY"]) == (str(tmp_path / "mod"), "off")
    assert cache_variables([str(tmp_path / "plain"), str(tmp_path / "absent")]) == {}


@pytest.fixture
def modules() -> Generator[Path]:
    """A module cache that Go itself has filled, from a proxy in a directory."""
    with tempfile.TemporaryDirectory(prefix="manta-go-") as directory:
        place, name = Path(directory), "example.test/greet"
        versions = place / "proxy" / name / "@v"
        versions.mkdir(parents=True)
        mod = f"module {name}\n\ngo 1.19\n"
        (versions / "v1.0.0.info").write_text(json.dumps({"Version": "v1.0.0"}))
        (versions / "v1.0.0.mod").write_text(mod)
        with zipfile.ZipFile(versions / "v1.0.0.zip", "w") as archive:
            archive.writestr(f"{name}@v1.0.0/go.mod", mod)
            greet = 'package greet\n\nfunc Hello() string { return "hello" }\n'
            archive.writestr(f"{name}@v1.0.0/greet.go", greet)
        project = place / "project"
        project.mkdir()
        (project / "go.mod").write_text(f"module x.test/y\n\ngo 1.19\n\nrequire {name} v1.0.0\n")
        (project / "main.go").write_text(
            f'package main\n\nimport "{name}"\n\nfunc main() {{ println(greet.Hello()) }}\n'
        )
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": directory,
            "GOSUMDB": "off",
            "GOPROXY": f"file://{place / 'proxy'}",
            "GOMODCACHE": str(place / "mod"),
        }
        subprocess.run(["go", "mod", "tidy"], cwd=project, env=env, check=True)
        yield place
        subprocess.run(["chmod", "-R", "u+w", directory], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("go", path="/usr/bin"), reason="go is not installed")
async def test_go_finds_its_modules_without_a_network(tmp_path: Path, modules: Path) -> None:
    provider = LocalProvider(tmp_path / "sandboxes", toolchains=(str(modules / "mod"),))
    sandbox = await provider.create(SandboxSpec())
    for path in (modules / "project").iterdir():
        await sandbox.write_file(path.name, path.read_bytes())
    result = await sandbox.exec("go run . && ! touch $GOMODCACHE/x", timeout_s=300)
    assert result.ok, result.stderr.decode()
    assert b"hello" in result.stderr
    await provider.sweep({})
    await provider.close()


@pytest.mark.slow
@pytest.mark.skipif(not all(map(Path.is_dir, RUST)), reason="rustup is not installed")
async def test_cargo_builds_with_the_hosts_toolchain(tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path / "sandboxes", toolchains=tuple(map(str, RUST)))
    sandbox = await provider.create(SandboxSpec())
    await sandbox.write_file("Cargo.toml", b'[package]\nname = "x"\nedition = "2021"\n')
    await sandbox.write_file("src/lib.rs", b"#[test]\nfn it() { assert_eq!(1 + 1, 2); }\n")
    result = await sandbox.exec("cargo test --lib", timeout_s=300)
    assert b"1 passed" in result.stdout, result.stderr.decode()
    await provider.sweep({})
    await provider.close()
