"""Approving in place: a run's questions put to the person at the terminal, one after the other."""

import getpass
from dataclasses import replace

from rich.text import Text

from actors.tools.text import neutralise
from cluster.desk.deciding import Verdict
from cluster.desk.protocol import Desk
from cluster.desk.wire import Asked
from cluster.terminal.person import Person
from orchestration.approval import Answer
from orchestration.asking import plan_text
from orchestration.errors import ConflictError, MantaError, UsageError
from orchestration.ids import RunId
from orchestration.messages import Plan

LATER = "later"
CHOICES = {
    "approve": "[a]pprove",
    "edit": "[e]dit the plan",
    "changes": "[c]hanges wanted",
    "reject": "[r]eject",
    "show": "[s]how again",
    LATER: "[l]ater",
}
YES = {"y", "yes"}
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


async def ask_person(desk: Desk, run_id: RunId, person: Person) -> bool:
    """Ask everything that a run waits for; whether the run goes on now.

    False where the person wants to decide later: the run waits, as if nobody had been asked.
    """
    while questions := (await desk.run(run_id)).questions:
        verdict = await _Question(desk, run_id, questions[0], person).put()
        if verdict is None:
            return False
        try:
            recorded = await desk.decide(run_id, verdict)
        except ConflictError as error:  # somebody else was quicker
            person.say(f"{error.what}; {error.fix}")
            continue
        if recorded.trouble:
            raise UsageError(recorded.trouble.what, recorded.trouble.fix)
        if recorded.goes_on:
            return True
    return True


class _Question:
    """One question on its way to an answer."""

    def __init__(self, desk: Desk, run_id: RunId, asked: Asked, person: Person) -> None:
        self._desk, self._run_id, self._asked, self._person = desk, run_id, asked, person
        self._edited: Plan | None = None

    async def put(self) -> Verdict | None:
        """The person's answer, bound to what they saw; None for later."""
        await self._show()
        if self._asked.gate == "budget":
            return await self._budget()
        while True:
            try:
                chosen = await self._choose()
                if chosen == LATER:
                    return None
                if verdict := await self._verdict(chosen):
                    return verdict
            except EOFError:
                return None
            except MantaError as error:
                self._person.say(Text(f"{error.what}. {error.fix}".strip(), style="red"))

    async def _verdict(self, chosen: str) -> Verdict | None:
        """What was chosen as an answer; None where the question stays."""
        plain = Verdict(Answer.APPROVE, _me(), label=self._asked.label, digest=self._asked.digest)
        match chosen:
            case "approve":
                edited = self._edited.model_dump_json() if self._edited else ""
                return replace(plain, plan=edited)
            case "reject":
                sure = await self._person.answer("That cannot be taken back. Really? [y/N] ")
                return replace(plain, answer=Answer.REJECT) if sure.lower() in YES else None
            case "changes":
                said = await self._comment()
                return replace(plain, answer=Answer.CHANGES, comment=said) if said else None
            case "edit":
                await self._edit()
            case _:
                await self._show()
        return None

    async def _choose(self) -> str:
        """One of the choices, by its first letter or whole."""
        offered = [name for name in CHOICES if name != "edit" or self._asked.gate == "plan"]
        words = ", ".join(CHOICES[name] for name in offered)
        while True:
            typed = (await self._person.answer(f"{words}? ")).lower()
            fitting = [name for name in offered if typed and name.startswith(typed)]
            if len(fitting) == 1:
                return fitting[0]
            self._person.say(f"Please say one of: {', '.join(offered)}.")

    async def _budget(self) -> Verdict | None:
        """A larger budget, or none for now."""
        try:
            more = await self._person.answer("all that it may spend, such as 10usd,2h [later]: ")
        except EOFError:
            return None
        asked = self._asked
        given = Verdict(Answer.APPROVE, _me(), label=asked.label, digest=asked.digest, budget=more)
        return given if more and not LATER.startswith(more) else None

    async def _comment(self) -> str:
        """What should be different, in as many lines as it takes."""
        self._person.say("What should be different? An empty line ends it.")
        lines: list[str] = []
        while line := await self._person.line():
            lines.append(line)
        return "\n".join(lines)

    async def _edit(self) -> None:
        """The plan in the person's editor; it is shown again as it is then."""
        plan = self._edited or (await self._desk.plan(self._run_id)).plan
        text = await self._person.edit(plan.model_dump_json(indent=2) + "\n", ".json")
        edited = Verdict(Answer.APPROVE, _me(), plan=text).edited_plan()
        if edited is None or edited == plan:
            self._person.say("The plan is as it was.")
            return
        self._edited = edited
        await self._show()

    async def _show(self) -> None:
        asked = self._asked
        body = plan_text(self._edited) if self._edited else asked.body
        head = f"{neutralise(asked.title)}{' (as edited)' if self._edited else ''}"
        label = Text.assemble((f"[{neutralise(asked.label)}] ", "yellow"), (head, "bold"))
        lines = [_coloured(line) for line in neutralise(body).splitlines()]
        await self._person.read([Text(""), label, Text(""), *lines, Text("")])


def _coloured(line: str) -> Text:
    """A line of a diff in its colour; others as they are."""
    return Text(line, style=_STYLES.get(line[:1], ""))


def _me() -> str:
    try:
        return getpass.getuser()
    except OSError:
        return "somebody"
