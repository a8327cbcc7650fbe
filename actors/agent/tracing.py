"""The tracing socket: whoever wants to know when agents worked, asked and acted."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from actors.models.gateway import ModelGateway
from actors.tools.tool import Toolset
from orchestration.ids import StepGrant


class Tracer(Protocol):
    """Follows agents. It raises nothing of its own and keeps nobody waiting."""

    def agent(
        self, name: str, role: str, conversation: str, grant: StepGrant
    ) -> AbstractContextManager[None]:
        """An agent works on a step, for the length of the block."""
        ...

    def gateway(self, inner: ModelGateway) -> ModelGateway:
        """The same gateway, its questions followed."""
        ...

    def toolset(self, inner: Toolset) -> Toolset:
        """The same tools, their calls followed."""
        ...


class NoTracer:
    """Follows nobody."""

    def agent(
        self, name: str, role: str, conversation: str, grant: StepGrant
    ) -> AbstractContextManager[None]:
        del name, role, conversation, grant
        return nullcontext()

    def gateway(self, inner: ModelGateway) -> ModelGateway:
        return inner

    def toolset(self, inner: Toolset) -> Toolset:
        return inner
