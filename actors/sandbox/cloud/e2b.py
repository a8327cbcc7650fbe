"""The level `e2b`: microVMs at E2B, through the vendor's own SDK, which is imported only here.

The guest runs as root, so that commands, which do not, cannot reach it.
"""

import math
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2b import (
    AsyncSandbox,
    AuthenticationException,
    CommandExitException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    SandboxQuery,
    SandboxState,
    TimeoutException,
)
from e2b_code_interpreter import AsyncSandbox as WithInterpreters

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
from orchestration.clock import Clock

KEY = "E2B_API_KEY"
_GET_KEY = f"get a key at https://e2b.dev/dashboard?tab=keys and set {KEY} on every node"
_STATUS = "see https://status.e2b.dev, and whether this node reaches the network"
_QUOTA_SIGNS = ("concurrent", "maximum number", "quota", "limit of")
_FORBIDDEN, _PAYMENT, _SERVER = 403, 402, 500
_CALL_S = 60.0
_ANSWER = 96_000_000
"""Characters of one answer; more is not kept."""


@contextmanager
def told(name: str) -> Generator[None]:
    """Turn the vendor's errors into ours. `name` is of the sandbox, or says what was asked."""
    try:
        yield
    except SandboxError:
        raise
    except AuthenticationException as error:
        raise SandboxAuthError(f"E2B refuses the key: {said_by(error, KEY)}", _GET_KEY) from None
    except (SandboxNotFoundException, SandboxNotRunningException):
        raise lost(name) from None
    except SandboxException as error:
        raise _translated(name, error) from None
    except Exception as error:  # noqa: BLE001 - a door: transports below the SDK have their own
        raise SandboxUnavailableError(
            f"E2B cannot be reached: {type(error).__name__}: {said_by(error, KEY)}", _STATUS
        ) from None


def _translated(name: str, error: SandboxException) -> SandboxError:
    said, status = said_by(error, KEY), error.status_code
    full = status in (_FORBIDDEN, _PAYMENT) or any(sign in said.lower() for sign in _QUOTA_SIGNS)
    if full and status != _SERVER:
        return QuotaExceededError(
            f"E2B: the account's share is used up: {said}",
            "end sandboxes (manta doctor --sweep), or raise the limit in the dashboard",
        )
    if isinstance(error, RateLimitException):
        return RateLimitedError(f"E2B wants fewer calls: {said}", "wait a little", 0.0)
    if isinstance(error, TimeoutException) or status is None or status >= _SERVER:
        return SandboxUnavailableError(f"E2B, {name}: {said}", _STATUS)
    return SandboxError(
        f"E2B refuses {name}: {said}",
        "check the template's name (MANTA_SANDBOX_IMAGE) and its build",
    )


class E2BMachine:
    """One microVM."""

    def __init__(self, sandbox: AsyncSandbox, labels: Mapping[str, str]) -> None:
        self._sandbox = sandbox
        self.id = sandbox.sandbox_id
        self.labels = labels

    async def run(self, line: str, timeout_s: float) -> str:
        taken: list[str] = []
        size = 0

        def take(chunk: str) -> None:
            nonlocal size
            size += len(chunk)
            if size <= _ANSWER:
                taken.append(chunk)

        try:
            with told(self.id):
                await self._run(line, timeout_s, take)
        except SandboxLostError:
            await self._really_lost()
        return "".join(taken)

    async def _run(self, line: str, timeout_s: float, take: Callable[[str], None]) -> None:
        try:
            await self._sandbox.commands.run(
                line,
                user="root",
                on_stdout=take,
                retain_output=False,
                timeout=timeout_s,
            )
        except CommandExitException:
            return

    async def _really_lost(self) -> None:
        """A paused one answers like one that is gone."""
        with told(self.id):
            info = await self._sandbox.get_info()
        if info.state == SandboxState.PAUSED:
            raise SandboxUnavailableError(f"sandbox {self.id} is paused", "resume it first")
        raise SandboxUnavailableError(f"E2B: sandbox {self.id} does not answer", _STATUS)

    async def upload(self, path: str, data: bytes) -> None:
        with told(self.id):
            await self._sandbox.files.write(path, data, user="root")

    async def keep(self) -> None:
        with told(self.id):
            await self._sandbox.set_timeout(IDLE_S)

    async def set_ttl(self, seconds: float | None) -> None:
        with told(self.id):
            await self._sandbox.set_timeout(IDLE_S if seconds is None else math.ceil(seconds))

    async def pause(self) -> None:
        with told(self.id):
            await self._sandbox.pause()

    async def resume(self) -> None:
        with told(self.id):
            await self._sandbox.connect(timeout=IDLE_S)

    async def expose(self, port: int, ttl_s: float) -> Endpoint:
        """Until the sandbox ends: E2B's token cannot end before. `ttl_s` is not kept to."""
        del ttl_s
        with told(self.id):
            info = await self._sandbox.get_info()
        token = self._sandbox.traffic_access_token or ""
        url = f"https://{self._sandbox.get_host(port)}"
        return Endpoint(url, {"e2b-traffic-access-token": token}, info.end_at.timestamp())


class E2B:
    """An account at E2B. Addresses come from E2B_DOMAIN and its like, as the SDK reads them."""

    level: Level = "e2b"
    capabilities = Capabilities(
        egress_off=True, tree_kill=True, hard_memory=True, hard_disk=True, kernel_boundary=True,
        pause_memory=True, pause_disk=True, expose=True,
    )  # fmt: skip

    def __init__(self, template: str) -> None:
        self._template = template or None
        self._key = os.environ.get(KEY, "")
        if not self._key:
            raise SandboxAuthError(f"{KEY} is not set in this process", _GET_KEY)

    async def doctor(self) -> list[Check]:
        try:
            with told("a list of sandboxes"):
                await AsyncSandbox.list(limit=1, api_key=self._key, retries=1).next_items()
        except SandboxError as error:
            return [Check("E2B", False, error.what, error.fix)]
        image = self._template or "the default template"
        return [Check("E2B", True, "reachable, the key is good"), Check("image", True, image)]

    async def create(self, spec: SandboxSpec, labels: Mapping[str, str], key: str) -> Machine:
        with told("a new sandbox"):
            sandbox = await WithInterpreters.create(
                self._template,
                timeout=IDLE_S if spec.ttl_s is None else math.ceil(spec.ttl_s),
                metadata=dict(labels),
                allow_internet_access=False,
                network={"allow_public_traffic": False},
                lifecycle={"on_timeout": "kill"},
                idempotency_key=key,
                api_key=self._key,
                request_timeout=_CALL_S,
            )
        return E2BMachine(sandbox, labels)

    async def connect(self, name: str) -> Machine:
        with told(name):
            info = await AsyncSandbox.get_info(name, api_key=self._key)
            patience = IDLE_S if info.state == SandboxState.PAUSED else 1
            sandbox = await AsyncSandbox.connect(name, timeout=patience, api_key=self._key)
        return E2BMachine(sandbox, info.metadata)

    async def find(self, labels: Mapping[str, str]) -> list[Listed]:
        states = [SandboxState.RUNNING, SandboxState.PAUSED]
        query = SandboxQuery(metadata=dict(labels), state=states)
        pages = AsyncSandbox.list(query=query, api_key=self._key)
        found: list[Listed] = []
        with told("a list of sandboxes"):
            while pages.has_next:
                page = await pages.next_items()
                found += [Listed(info.sandbox_id, info.metadata) for info in page]
        return [each for each in found if labels.items() <= each.labels.items()]

    async def end(self, name: str) -> None:
        try:
            with told(name):
                await AsyncSandbox.kill(name, api_key=self._key)
        except SandboxLostError:
            return

    async def close(self) -> None:
        """Its connections are the process's."""


class E2BProvider(RemoteProvider):
    """MicroVMs made from one template. Nothing of this machine is seen in them.

    Raises:
        SandboxAuthError: there is no key in this process.
    """

    def __init__(
        self, root: Path, *, toolchains: Sequence[str] = (), image: str = "",
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        del root, toolchains
        super().__init__(E2B(image), clock)
