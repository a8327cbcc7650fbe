"""A small workflow for every verb; each step acts on the world and shows in its output."""

import operator
import time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow, LoopView
from orchestration.workflow.state import Reducer
from orchestration.workflow.step import StepContext, Suspension
from tests.faults.world import World

AFTER = {"roof": ["walls"], "walls": ["floor"], "floor": [], "garden": []}
AGAIN = Retry(attempts=9, delay_s=0.01, on=(OSError,))
LARGE = 40_000


class Tally(BaseModel):
    model_config = ConfigDict(frozen=True)
    total: Annotated[int, Reducer(operator.add)] = 0


class Flows:
    """All of them, on one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def acts(self, name: str, **options: Any) -> Any:
        async def act(value: int, ctx: StepContext) -> int:
            self.world.ran(ctx.grant)
            done = await ctx.effect("act", lambda: self.world.act(ctx.grant), int)
            return value * 2 + done

        return step(act, id=name, **options)

    def acts_on_text(self, name: str) -> Any:
        async def act(value: str, ctx: StepContext) -> str:
            self.world.ran(ctx.grant)
            done = await ctx.effect("act", lambda: self.world.act(ctx.grant), int)
            return value + str(done)

        return step(act, id=name)

    def asks(self, name: str) -> Any:
        async def ask(value: int, ctx: StepContext) -> int:
            self.world.ran(ctx.grant)
            if ctx.answer is None:
                ctx.suspend(Suspension(label=name, payload="{}"))
            done = await ctx.effect("act", lambda: self.world.act(ctx.grant), int)
            return value * ctx.answer + done

        return step(ask, id=name, answers=int)

    def then(self) -> Flow[Any, Any]:
        return self._then().commit()

    def _then(self) -> Workflow[int, int]:
        flow = Workflow("then", int)
        return flow.then(self.acts("first")).then(self.acts("second")).then(self.acts("third"))

    def changed(self) -> Workflow[int, int]:
        return self._then().then(self.acts("fourth"))

    def branch(self) -> Flow[Any, Any]:
        return (
            Workflow("branch", int)
            .branch((is_even, self.acts("even")), default=self.acts("odd"))
            .branch((is_even, self.acts("no")), (is_odd, self.acts("yes")), mode="all")
            .commit()
        )

    def parallel(self) -> Flow[Any, Any]:
        arms = [self.acts(name) for name in ("left", "middle", "right")]
        return Workflow("parallel", int).parallel(*arms, limit=2).commit()

    def foreach(self) -> Flow[Any, Any]:
        plan, build = self.acts_on_text("draw"), self.acts_on_text("raise")
        body = Workflow("build", str).then(plan).then(build).commit()
        flow = Workflow("foreach", list[str])
        return flow.foreach(body, concurrency=2, key=str, after=lambda n: AFTER[n]).commit()

    def dountil(self) -> Flow[Any, Any]:
        body = Workflow("round", int).then(self.acts("try")).then(self.acts("look")).commit()
        return Workflow("dountil", int).dountil(body, is_third, at_most=3).commit()

    def dowhile(self) -> Flow[Any, Any]:
        return Workflow("dowhile", int).dowhile(self.acts("again"), is_early, at_most=3).commit()

    def map(self) -> Flow[Any, Any]:
        flow = Workflow("map", int).then(self.acts("first"))
        return (
            flow.map(str, returns=str)
            .then(self.acts_on_text("second"))
            .map(len, returns=int)
            .commit()
        )

    def sleep(self) -> Flow[Any, Any]:
        flow = Workflow("sleep", int).then(self.acts("before")).sleep(0.03)
        return flow.then(self.acts("after")).commit()

    def nested(self) -> Flow[Any, Any]:
        deep = Workflow("deep", int).then(self.acts("low")).commit()
        middle = Workflow("middle", int).then(self.acts("down")).then(deep).commit()
        return Workflow("nested", int).then(middle).then(self.acts("up")).commit()

    def sleep_until(self) -> Flow[Any, Any]:
        flow = Workflow("sleep_until", int).then(self.acts("before"))
        return flow.sleep_until(soon).then(self.acts("after")).commit()

    def race(self) -> Flow[Any, Any]:
        flow = Workflow("race", list[int]).foreach(self.acts("run"), until=is_enough)
        return flow.map(sum, returns=int).then(self.acts("crown")).commit()

    def bail(self) -> Flow[Any, Any]:
        async def act(value: int, ctx: StepContext) -> int:
            self.world.ran(ctx.grant)
            ctx.bail(value + await ctx.effect("act", lambda: self.world.act(ctx.grant), int))

        inner = Workflow("inner", int).then(self.acts("first")).then(act).then(self.acts("never"))
        return Workflow("bail", int).then(inner.commit()).then(self.acts("last")).commit()

    def state(self) -> Flow[Any, Any]:
        def counts(name: str) -> Any:
            async def act(value: int, ctx: StepContext) -> int:
                self.world.ran(ctx.grant)
                done = await ctx.effect("act", lambda: self.world.act(ctx.grant), int)
                ctx.update_state(total=value + done)
                return done

            return step(act, id=name)

        async def tell(value: int, ctx: StepContext) -> int:
            self.world.ran(ctx.grant)
            return value + ctx.state.total

        arms = Workflow("arms", int).parallel(counts("one"), counts("two")).map(len, returns=int)
        flow = Workflow("state", int, state=Tally).then(arms.commit(), into=plus)
        return flow.then(counts("three"), into=plus).then(tell).commit()

    def suspend(self) -> Flow[Any, Any]:
        flow = Workflow("suspend", int).then(self.acts("before"))
        return flow.parallel(self.asks("one"), self.asks("two"), self.acts("aside")).commit()

    def retry(self) -> Flow[Any, Any]:
        async def act(value: int, ctx: StepContext) -> int:
            self.world.ran(ctx.grant)
            done = await ctx.effect("act", lambda: self.world.act(ctx.grant), int)
            if ctx.grant.attempt < 3:
                raise OSError("no luck yet")
            return value + done

        return Workflow("retry", int).then(step(act, retry=AGAIN)).then(self.acts("end")).commit()

    def large(self) -> Flow[Any, Any]:
        async def grow(value: int, ctx: StepContext) -> str:
            self.world.ran(ctx.grant)
            done = await ctx.effect("act", lambda: self.world.act(ctx.grant), int)
            return "x" * (LARGE + value + done)

        return Workflow("large", int).then(grow).then(self.acts_on_text("tail")).commit()

    def named(self, name: str, variant: str = "") -> Flow[Any, Any]:
        if variant == "changed":
            return self.changed().commit()
        if variant == "compatible":
            return self.changed().commit(compatible_with=[self.then().definition])
        return getattr(self, name)()


VERBS = (
    "then", "branch", "parallel", "foreach", "dountil", "dowhile", "map", "sleep", "nested",
    "suspend", "retry", "large", "sleep_until", "race", "bail", "state",
)  # fmt: skip


def given(name: str) -> Any:
    return {"foreach": list(AFTER), "race": [1, 2, 3]}.get(name, 3)


def plus(before: int, given: int) -> int:
    return before + given


def soon(value: int) -> float:
    """A moment near to any run of this suite, or just past."""
    return time.time() + 0.03


def is_enough(value: int) -> bool:
    return value > 4


def is_even(value: int) -> bool:
    return value % 2 == 0


def is_odd(value: int) -> bool:
    return value % 2 == 1


def is_third(view: LoopView[int]) -> bool:
    return view.iteration == 3


def is_early(view: LoopView[int]) -> bool:
    return view.iteration < 3
