"""The desk from another machine: everything is asked of a hall over its HTTP API."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from actors.evidence import Evidence
from actors.git.source import Source, open_source
from cluster.desk import wire
from cluster.desk.calling import SLOW, Caller
from cluster.desk.deciding import Verdict
from cluster.desk.delivering import brought_home
from cluster.desk.listening import Listener
from cluster.desk.overhearing import Doing
from cluster.desk.protocol import Submitted
from cluster.desk.wishing import Wishes
from cluster.handover.handing import Handover
from cluster.intake import Order, check_text
from orchestration.approval import Answer
from orchestration.errors import InfrastructureError, NotFoundError, UsageError
from orchestration.events import Event
from orchestration.ids import RunId, new_run_id, parse_run_id
from orchestration.messages import Delivery

Form = TypeVar("Form", bound=BaseModel)
Parts = dict[str, tuple[str | None, bytes, str]]
PATIENCE_S = 180.0
"""For which a stream that was lost is taken up again."""
LONGEST_PAUSE_S = 5.0
BYTES = "application/octet-stream"
_MANY = re.compile(r"[^\w.-]+", re.ASCII)


class AfarDesk:
    """See `Desk`. Whoever makes one closes the caller."""

    def __init__(
        self, caller: Caller, *, patience_s: float = PATIENCE_S, pause_s: float = 0.25
    ) -> None:
        """`pause_s`: until a stream that was lost is first taken up again; longer every time."""
        self._caller = caller
        self._patience_s, self._pause_s = patience_s, pause_s

    # --- taking orders in ----------------------------------------------------------------------

    async def submit(self, order: Order, wishes: Wishes | None = None) -> Submitted:
        """See `Desk.submit`. The repository is read here and travels as a bundle."""
        if order.record:
            raise UsageError("a hall keeps no recording for others", "leave --record out")
        text = check_text(order.text)
        run_id = parse_run_id(order.run_id) if order.run_id else new_run_id(text)
        source = await open_source(order.repository, order.ref)
        parts = _parts(_submission(text, run_id, source, wishes or Wishes()), source.bundle)
        if order.replay:
            parts["recording"] = ("recording.jsonl", await _content(order), BYTES)
        answer = await self._caller.ask("POST", "runs", files=parts, timeout=SLOW)
        begun = self._read(wire.Begun, answer)
        own = f"uncommitted changes in {source.name} stay as they are, outside of this run"
        return Submitted(run_id, begun.is_new, (*([own] if source.is_dirty else []), *begun.notes))

    # --- looking -------------------------------------------------------------------------------

    async def runs(self, *, limit: int = 50, offset: int = 0) -> wire.RunPage:
        params = {"limit": limit, "offset": offset}
        return self._read(wire.RunPage, await self._caller.ask("GET", "runs", params=params))

    async def run(self, run_id: RunId) -> wire.RunDetail:
        return self._read(wire.RunDetail, await self._caller.ask("GET", f"runs/{run_id}"))

    def events(
        self, run_id: RunId, *, after: int = 0, follow: bool = True
    ) -> AsyncGenerator[Event]:
        return self._following(run_id, after) if follow else self._past(run_id, after)

    async def _past(self, run_id: RunId, after: int) -> AsyncGenerator[Event]:
        path = f"runs/{run_id}/events"
        while True:
            answer = await self._caller.ask("GET", path, params={"after": after, "limit": 500})
            page = self._read(wire.EventPage, answer)
            for item in page.events:
                yield item.event(run_id)
            if page.after == after:
                return
            after = page.after

    async def _following(self, run_id: RunId, after: int) -> AsyncGenerator[Event]:
        listener = Listener(self._caller, run_id, after, self._patience_s)
        pause = self._pause_s
        while not listener.rests:
            before = listener.after
            async with aclosing(listener.listen()) as happened:
                async for event in happened:
                    yield event
            if not listener.rests:
                pause = self._pause_s if listener.after > before else pause * 2
                await asyncio.sleep(min(pause, LONGEST_PAUSE_S))

    async def doing(self, run_id: RunId) -> Doing:
        return self._read(Doing, await self._caller.ask("GET", f"runs/{run_id}/doing"))

    async def plan(self, run_id: RunId) -> wire.PlanShown:
        return self._read(wire.PlanShown, await self._caller.ask("GET", f"runs/{run_id}/plan"))

    async def diff(self, run_id: RunId) -> wire.DiffShown:
        return self._read(wire.DiffShown, await self._caller.ask("GET", f"runs/{run_id}/diff"))

    async def evidence(self, run_id: RunId) -> Evidence:
        return self._read(Evidence, await self._caller.ask("GET", f"runs/{run_id}/evidence"))

    async def graph(self, run_id: RunId) -> wire.GraphShown:
        return self._read(wire.GraphShown, await self._caller.ask("GET", f"runs/{run_id}/graph"))

    async def delivery(self, run_id: RunId) -> tuple[Delivery, bytes]:
        bundle = (await self._caller.ask("GET", f"runs/{run_id}/bundle", timeout=SLOW)).content
        delivery = (await self.run(run_id)).delivery
        if delivery is None:
            raise NotFoundError(f"run {run_id} has delivered nothing", f"see `manta show {run_id}`")
        return delivery, bundle

    async def patch(self, run_id: RunId) -> bytes:
        return (await self._caller.ask("GET", f"runs/{run_id}/patch", timeout=SLOW)).content

    async def letter(self, run_id: RunId) -> wire.Letter:
        return self._read(wire.Letter, await self._caller.ask("GET", f"runs/{run_id}/letter"))

    async def hand_over(self, run_id: RunId, *, make: bool, home: Path | None = None) -> Handover:
        """See `Desk.hand_over`. The run itself knows nothing of this machine."""
        waits = Handover((await self.run(run_id)).delivery)
        return await brought_home(self, waits, home if make else None)

    # --- deciding ------------------------------------------------------------------------------

    async def decide(
        self, run_id: RunId, verdict: Verdict, *, resume: bool = True
    ) -> wire.Recorded:
        said = {
            "label": verdict.label,
            "digest": verdict.digest,
            "by": verdict.by,
            "comment": verdict.comment,
            "resume": resume,
        }
        if verdict.answer is Answer.APPROVE:
            plan = verdict.edited_plan()
            said |= {
                "plan": plan.model_dump(mode="json") if plan else None,
                "budget": verdict.budget,
            }
        path = f"runs/{run_id}/{verdict.answer.value}"
        return self._read(
            wire.Recorded, await self._caller.ask("POST", path, json=said, timeout=SLOW)
        )

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        said = {"take_over": take_over}
        await self._caller.ask("POST", f"runs/{run_id}/resume", json=said, timeout=SLOW)

    async def cancel(self, run_id: RunId, *, by: str) -> wire.Cancelled:
        answer = await self._caller.ask("POST", f"runs/{run_id}/cancel", json={"by": by})
        return self._read(wire.Cancelled, answer)

    def _read(self, form: type[Form], answer: httpx.Response) -> Form:
        """An answer as what it should be. What a newer hall says besides is left out."""
        try:
            return form.model_validate_json(answer.content, extra="ignore")
        except ValidationError as error:
            raise InfrastructureError(
                f"the hall at {self._caller.hall} gives an answer that cannot be read",
                "use the same version of Manta on both sides",
                str(error)[:1000],
            ) from error


def _submission(text: str, run_id: RunId, source: Source, wishes: Wishes) -> wire.Submission:
    try:
        return wire.Submission(
            text=text,
            run_id=run_id,
            repository=_MANY.sub("-", source.name)[:100],
            ref=source.ref_name,
            approve=wishes.approve,
            budget=wishes.budget,
            model=wishes.model,
            test_command=wishes.test_command,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {first['msg']}", "correct it and submit again") from None


def _parts(submission: wire.Submission, bundle: bytes) -> Parts:
    """What is sent.

    Raises:
        UsageError: the repository is too large.
    """
    if len(bundle) > wire.MAX_BUNDLE:
        raise UsageError(
            f"this repository has {len(bundle):,} bytes; a hall takes {wire.MAX_BUNDLE:,}",
            "run `manta submit` on the hall's machine, with the repository's URL",
        )
    return {
        "submission": (None, submission.model_dump_json().encode(), "application/json"),
        "bundle": ("base.bundle", bundle, BYTES),
    }


async def _content(order: Order) -> bytes:
    """The recording to play back."""
    assert order.replay, "it was named"
    try:
        return await asyncio.to_thread(order.replay.read_bytes)
    except OSError:
        raise UsageError(f"there is no recording at {order.replay}", "check --replay") from None
