"""The level `daytona`: development environments at Daytona, through the vendor's own SDK, which is
imported only here.

The SDK reads `.env` files of the working directory, telemetry switches among them: what it could
take from there is set in the process first, so that no file decides.
"""

import math
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from daytona import (
    AsyncDaytona,
    AsyncSandbox,
    CreateSandboxFromSnapshotParams,
    DaytonaAuthenticationError,
    DaytonaConfig,
    DaytonaConflictError,
    DaytonaError,
    DaytonaForbiddenError,
    DaytonaGoneError,
    DaytonaNotFoundError,
    DaytonaRateLimitError,
    ListSandboxesQuery,
    SandboxState,
)

from actors.sandbox.cloud.remote import RemoteProvider
from actors.sandbox.cloud.vendor import IDLE_S, Listed, Machine, said_by
from actors.sandbox.protocol import (
    Capabilities,
    Check,
    Endpoint,
    Level,
    QuotaExceededError,
    RateLimitedError,
    SandboxAuthError,
    SandboxError,
    SandboxLostError,
    SandboxSpec,
    SandboxUnavailableError,
)
from actors.sandbox.workspace.store import lost
from orchestration.clock import Clock, SystemClock

KEY = "DAYTONA_API_KEY"
_GET_KEY = f"get a key at https://app.daytona.io/dashboard/keys and set {KEY} on every node"
_STATUS = "see https://status.daytona.io, and whether this node reaches the network"
_UNSET = {
    "DAYTONA_OTEL_ENABLED": "false",
    "DAYTONA_EXPERIMENTAL_OTEL_ENABLED": "false",
    "DAYTONA_USE_DEPRECATED_POLLING": "",
    "DAYTONA_HAPPY_EYEBALLS_DELAY": "",
    "DAYTONA_JWT_TOKEN": "",
    "DAYTONA_ORGANIZATION_ID": "",
    "DAYTONA_TARGET": "",
}
_READY_S = 120.0
_KEPT_PAUSED_MIN = 7 * 24 * 60
_CLIENT_ERRORS = range(400, 500)
_LANGUAGE = "code-toolbox-language"
"""A label that the SDK adds."""
_AS_ROOT = 'exec $(sudo -n true 2>/dev/null && echo sudo -n) env PATH="$PATH" '
"""As root where the image lets its user: then commands, which are not, cannot reach the guest."""
_GONE = {SandboxState.DESTROYED, SandboxState.DESTROYING}
_ASLEEP = {SandboxState.STOPPED, SandboxState.PAUSED, SandboxState.ARCHIVED}


@contextmanager
def told(name: str) -> Generator[None]:
    """Turn the vendor's errors into ours. `name` is of the sandbox, or says what was asked."""
    try:
        yield
    except DaytonaError as error:
        raise _translated(name, error) from None
    except SandboxError:
        raise
    except Exception as error:  # noqa: BLE001 - a door: transports below the SDK have their own
        raise SandboxUnavailableError(
            f"Daytona cannot be reached: {type(error).__name__}: {said_by(error, KEY)}", _STATUS
        ) from None


def _translated(name: str, error: DaytonaError) -> SandboxError:
    said = said_by(error, KEY)
    match error:
        case DaytonaAuthenticationError():
            return SandboxAuthError(f"Daytona refuses the key: {said}", _GET_KEY)
        case DaytonaRateLimitError():
            return RateLimitedError(f"Daytona wants fewer calls: {said}", "wait", _wait(error))
        case DaytonaForbiddenError():
            return QuotaExceededError(
                f"Daytona: not within the account's share: {said}",
                "end sandboxes (manta doctor --sweep), raise the limit, or check the key's rights",
            )
        case DaytonaNotFoundError() | DaytonaGoneError():
            return lost(name)
        case DaytonaConflictError():
            return SandboxUnavailableError(f"Daytona, {name}: {said}", "try again")
        case _ if error.status_code in _CLIENT_ERRORS and error.status_code != 408:
            return SandboxError(
                f"Daytona refuses {name}: {said}", "check the snapshot's name (MANTA_SANDBOX_IMAGE)"
            )
        case _:
            return SandboxUnavailableError(f"Daytona, {name}: {said}", _STATUS)


def _wait(error: DaytonaError) -> float:
    """Seconds that the answer asks for; 0.0 where it does not."""
    headers = {str(name).lower(): value for name, value in error.headers.items()}
    try:
        return float(str(headers.get("retry-after", 0)))
    except ValueError:
        return 0.0


class DaytonaMachine:
    """One sandbox."""

    def __init__(self, sandbox: AsyncSandbox, clock: Clock) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self.id = sandbox.id
        self.labels = _labels(sandbox)

    async def run(self, line: str, timeout_s: float) -> str:
        try:
            with told(self.id):
                answer = await self._sandbox.process.exec(
                    line.replace("exec ", _AS_ROOT, 1), timeout=math.ceil(timeout_s)
                )
        except SandboxUnavailableError:
            raise
        except SandboxError:
            await self._refused()
            raise
        return answer.result

    async def _refused(self) -> None:
        """Its proxy refuses what is asked of a sandbox that does not run: why does it not?"""
        with told(self.id):
            await self._sandbox.refresh_data()
        if self._sandbox.state in _GONE:
            raise lost(self.id)
        if self._sandbox.state != SandboxState.STARTED:
            state = self._sandbox.state.value if self._sandbox.state else "away"
            raise SandboxUnavailableError(f"sandbox {self.id} is {state}", "resume it first")

    async def upload(self, path: str, data: bytes) -> None:
        with told(self.id):
            await self._sandbox.fs.upload_file(data, path)

    async def keep(self) -> None:
        with told(self.id):
            await self._sandbox.refresh_activity()

    async def set_ttl(self, seconds: float | None) -> None:
        with told(self.id):
            await self._sandbox.set_ttl(0 if seconds is None else _minutes(seconds))

    async def pause(self) -> None:
        """Its disk is kept, for a week."""
        with told(self.id):
            await self._sandbox.set_auto_delete_interval(_KEPT_PAUSED_MIN)
            await self._sandbox.stop(timeout=_READY_S)

    async def resume(self) -> None:
        """Wait until it runs, whatever it is at.

        Raises:
            SandboxLostError: it never will.
        """
        with told(self.id):
            await self._sandbox.refresh_data()
            if self._sandbox.state in _GONE:
                raise lost(self.id)
            if self._sandbox.state in _ASLEEP:
                await self._sandbox.start(timeout=_READY_S)
                await self._sandbox.set_auto_delete_interval(0)
            elif self._sandbox.state == SandboxState.ERROR and self._sandbox.recoverable:
                await self._sandbox.recover(timeout=_READY_S)
            else:
                await self._sandbox.wait_for_sandbox_start(timeout=_READY_S)

    async def expose(self, port: int, ttl_s: float) -> Endpoint:
        """The address itself is the secret."""
        seconds = math.ceil(ttl_s)
        with told(self.id):
            signed = await self._sandbox.create_signed_preview_url(port, seconds)
        return Endpoint(signed.url, {}, self._clock.now() + seconds)


def _labels(sandbox: AsyncSandbox) -> dict[str, str]:
    return {name: value for name, value in sandbox.labels.items() if name != _LANGUAGE}


def _minutes(seconds: float) -> int:
    return max(1, math.ceil(seconds / 60))


class Daytona:
    """An account at Daytona, at DAYTONA_API_URL and DAYTONA_TARGET where they are set."""

    level: Level = "daytona"
    capabilities = Capabilities(
        egress_off=True, tree_kill=True, hard_memory=True, hard_disk=True, pause_disk=True,
        expose=True,
    )  # fmt: skip

    def __init__(self, snapshot: str, clock: Clock) -> None:
        self._snapshot = snapshot or None
        self._clock = clock
        self._key = os.environ.get(KEY, "")
        self._opened: AsyncDaytona | None = None
        if not self._key:
            raise SandboxAuthError(f"{KEY} is not set in this process", _GET_KEY)

    @property
    def _client(self) -> AsyncDaytona:
        """Made at the first call: the SDK begins to talk when it is made."""
        if self._opened is None:
            for name, value in _UNSET.items():
                os.environ.setdefault(name, value)
            self._opened = AsyncDaytona(
                DaytonaConfig(
                    api_key=self._key,
                    api_url=os.environ.get("DAYTONA_API_URL") or None,
                    target=os.environ.get("DAYTONA_TARGET") or None,
                    otel_enabled=False,
                )
            )
        return self._opened

    async def doctor(self) -> list[Check]:
        try:
            with told("a list of sandboxes"):
                async for _ in self._client.list(ListSandboxesQuery(limit=1)):
                    break
        except SandboxError as error:
            return [Check("Daytona", False, error.what, error.fix)]
        image = self._snapshot or "the default snapshot"
        return [Check("Daytona", True, "reachable, the key is good"), Check("image", True, image)]

    async def create(self, spec: SandboxSpec, labels: Mapping[str, str], key: str) -> Machine:
        wanted = CreateSandboxFromSnapshotParams(
            name=f"manta-{key}",
            snapshot=self._snapshot,
            labels=dict(labels),
            public=False,
            auto_stop_interval=IDLE_S // 60,
            ephemeral=True,
            ttl_minutes=None if spec.ttl_s is None else _minutes(spec.ttl_s),
            network_block_all=True,
        )
        try:
            with told("a new sandbox"):
                sandbox = await self._client.create(wanted, timeout=_READY_S)
        except SandboxLostError:
            raise SandboxError(
                f"Daytona has no snapshot {self._snapshot!r}",
                "check its name (MANTA_SANDBOX_IMAGE)",
            ) from None
        return DaytonaMachine(sandbox, self._clock)

    async def connect(self, name: str) -> Machine:
        with told(name):
            machine = DaytonaMachine(await self._client.get(name), self._clock)
        await machine.resume()
        return machine

    async def find(self, labels: Mapping[str, str]) -> list[Listed]:
        found: list[Listed] = []
        with told("a list of sandboxes"):
            async for each in self._client.list(ListSandboxesQuery(labels=dict(labels))):
                if each.state not in _GONE and labels.items() <= each.labels.items():
                    found.append(Listed(each.id, _labels(each)))
        return found

    async def end(self, name: str) -> None:
        try:
            with told(name):
                await (await self._client.get(name)).delete()
        except SandboxLostError:
            return

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None


class DaytonaProvider(RemoteProvider):
    """Sandboxes made from one snapshot. Nothing of this machine is seen in them.

    Raises:
        SandboxAuthError: there is no key in this process.
    """

    def __init__(
        self, root: Path, *, toolchains: Sequence[str] = (), image: str = "",
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        del root, toolchains
        clock = clock or SystemClock()
        super().__init__(Daytona(image, clock), clock)
