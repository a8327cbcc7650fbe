"""Self-test of a level that runs commands on this machine: by doing, not by asking."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from actors.sandbox.protocol import Check, Sandbox, SandboxError, SandboxProvider, SandboxSpec

_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A command that succeeds where one wall stands."""

    name: str
    script: str
    fix: str


_EACH = """for probe; do
    said=$( (eval "$probe") 2>&1 )
    printf '%s\\0%s\\0' $? "$said"
done"""
TRIAL_S = 120.0
"""Life of the sandbox that is tried: should this process be killed, a later sweep ends it."""
SHUT = "report this: the sandbox must not be used here"
WALLS = (
    Probe(
        "system read-only",
        "! touch /usr/.manta 2>/dev/null && ! touch /etc/.manta 2>/dev/null",
        SHUT,
    ),
    Probe("workspace writable", "touch .probe && rm .probe", "check the state directory's disk"),
    Probe(
        "no capabilities",
        "grep -q '^CapEff:\t0*$' /proc/self/status && grep -q '^CapBnd:\t0*$' /proc/self/status",
        SHUT,
    ),
    Probe(
        "system-call filter",
        "grep -q '^Seccomp:\t2$' /proc/self/status",
        "the machine is neither x86_64 nor aarch64, or its kernel lacks CONFIG_SECCOMP_FILTER",
    ),
    Probe(
        "no network",
        '[ "$(grep -c : /proc/net/dev)" = 1 ] && ! (: < /dev/tcp/192.0.2.1/9) 2>/dev/null',
        SHUT,
    ),
)
"""What holds on every level that runs commands on this machine's kernel or on its neighbour's."""
_PROBES = (
    Probe(
        "commands run", "true", "run `bwrap --unshare-all --ro-bind / / true` and read its words"
    ),
    Probe("git inside", "git --version", "install git below /usr"),
    *WALLS,
    Probe(
        "host processes hidden",
        '[ ! -e /proc/1/environ ] && [ "$(ls -d /proc/[0-9]* | wc -l)" -lt 12 ]',
        "mount /proc unmasked: Docker needs --security-opt systempaths=unconfined",
    ),
)


async def examine(provider: SandboxProvider) -> list[Check]:
    """Every check of the level `local`."""
    checks = [_platform(), _memory(provider), _identity()]
    return [*checks, *await try_sandbox(provider, _PROBES)]


async def try_sandbox(provider: SandboxProvider, probes: Sequence[Probe]) -> list[Check]:
    """Try these in a sandbox of their own, all by one command: some levels take long for each."""
    try:
        sandbox = await provider.create(SandboxSpec(labels={"manta": "doctor"}, ttl_s=TRIAL_S))
    except SandboxError as error:
        return [Check("sandbox opens", False, error.what, error.fix)]
    try:
        return [*await _tried(sandbox, probes), await _shared(sandbox)]
    except SandboxError as error:
        return [Check(probes[0].name, False, error.what, error.fix or probes[0].fix)]
    finally:
        await sandbox.terminate()


async def _shared(sandbox: Sandbox) -> Check:
    """What the file API writes, commands must see: an engine elsewhere has another directory."""
    await sandbox.write_file(".probe", b"x")
    seen = await sandbox.exec(["cat", ".probe"], timeout_s=_WITHIN_S)
    fix = "the engine must see this machine's state directory: share it with its virtual machine"
    return Check("files shared", seen.stdout == b"x", seen.ended, "" if seen.ok else fix)


async def _tried(sandbox: Sandbox, probes: Sequence[Probe]) -> list[Check]:
    argv = ["bash", "-c", _EACH, "bash", *(probe.script for probe in probes)]
    result = await sandbox.exec(argv, timeout_s=_WITHIN_S)
    words = result.stdout.decode(errors="replace").split("\0")
    if len(words) <= 2 * len(probes):
        said = result.stderr.decode(errors="replace").strip()[-200:]
        return [Check(probes[0].name, False, said or result.ended, probes[0].fix)]
    return [
        _checked(probe, *words[2 * number : 2 * number + 2]) for number, probe in enumerate(probes)
    ]


def _checked(probe: Probe, code: str, said: str) -> Check:
    fine = code == "0"
    first = said.strip().partition("\n")[0][:200]
    return Check(probe.name, fine, first or f"exit status {code}", "" if fine else probe.fix)


def _platform() -> Check:
    linux = sys.platform.startswith("linux")
    fix = "" if linux else "on macOS use the level `container` (podman machine, colima, Docker)"
    return Check("Linux", linux, sys.platform, fix)


def _memory(provider: SandboxProvider) -> Check:
    """Advice, not a failure: the walls stand without it."""
    if provider.capabilities.hard_memory:
        return Check("memory limit", True, "control groups")
    return Check(
        "memory limit",
        True,
        "no control groups may be made here: memory is not capped, processes are by rlimit",
        "run as root, or give your user delegated groups (systemd: Delegate=yes)",
    )


def _identity() -> Check:
    root = os.geteuid() == 0
    detail = (
        "each sandbox has a uid of its own" if root else "sandboxes have your uid, in namespaces"
    )
    return Check("identity", True, detail)
