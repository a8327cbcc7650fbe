"""A run drawn as a tree of its tasks: pure, one `Text` a line, never wider or longer than asked.

Give wordkit two new functions and a command that uses both
run give-wordkit-two-new-8e0915 on wordkit

⠹ building, 1 of 3 merged                                             4.6k tok   10s
├─ ✓ top-words        ▰▰▰▰▰▰ done       Add top_words             16.1k tok   17s
├─ ⠹ reading-time     ▰▰▰▰▱▱ review and security                  12.3k tok   13s
│    reviewer-1  run python -m pytest
│    security-1  thinking
└─ ○ summary-command  after top-words and reading-time

10s, 9 turns, 18,835 tokens
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from actors.tools.text import neutralise
from cluster.runs.view import STAGES, TEAM, Act, Row, RunView, joined
from cluster.terminal.figures import cost, duration, short, totals
from orchestration.messages import CodeTask, FeatureRequest, Plan

RECORDED = "The model's replies are a recording; everything else is real."
NAME = 24
"""Cells for a task's id."""
TITLE = 20
"""Cells that must be free for a task's title, or it is left out."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What the tree is made of."""

    spin: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    waiting: str = "?"
    done: str = "✓"
    failed: str = "✗"
    queued: str = "○"
    full: str = "▰"
    empty: str = "▱"
    branch: str = "├─"
    last: str = "└─"
    bar: str = "│"
    more: str = "…"
    dot: str = "·"


PLAIN = Glyphs(
    spin="*", done="+", failed="x", queued="-", full="#", empty=".",
    branch="|-", last="`-", bar="|", more="...", dot="-",
)  # fmt: skip
"""For terminals that know ASCII alone."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a picture depends on."""

    request: FeatureRequest
    view: RunView
    now: float
    plan: Plan | None = None
    recorded: bool = False
    glyphs: Glyphs = Glyphs()
    tick: int = 0
    """Turns the mark of what is at work."""

    @property
    def tasks(self) -> dict[str, CodeTask | None]:
        """Every task that was planned or heard of, in the plan's order."""
        planned = {str(task.id): task for task in self.plan.tasks} if self.plan else {}
        return planned | {name: None for name in self.view.rows if name not in {TEAM, *planned}}


def draw(scene: Scene, width: int, height: int | None = None) -> list[Text]:
    """The tree's lines, each of at most `width` cells; at most `height` of them, if given.

    Where there is too little room, first what each agent does is left out, then what is done.
    """
    for level in ("full", "brief", "tight"):
        lines = [*_head(scene), *_body(scene, width, level), Text(""), _foot(scene)]
        if height is None or len(lines) <= height:
            break
    else:
        keep = max(1, height - 2)
        left_out = len(lines) - keep - 1
        more = Text(f"   {scene.glyphs.more} {left_out} more lines", style="dim")
        lines = [*lines[:keep], more, lines[-1]]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _head(scene: Scene) -> Iterator[Text]:
    first, _, rest = neutralise(scene.request.text).strip().partition("\n")
    yield Text(
        " ".join(first.split()) + (f" {scene.glyphs.more}" if rest.strip() else ""), style="bold"
    )
    yield Text(neutralise(f"run {scene.request.run_id} on {scene.request.repository}"), style="dim")
    if scene.recorded:
        yield Text(RECORDED, style="yellow")
    yield Text("")


def _foot(scene: Scene) -> Text:
    view = scene.view
    ended = view.status not in {"pending", "running", "being cancelled"}
    words = totals(view, view.heard if ended else scene.now)
    if scene.request.budget.usd:
        words += f" of {cost(scene.request.budget.usd)}"
    hint = [] if ended or view.waiting else ["Ctrl-C leaves it running"]
    parts = ["waiting" if view.waiting else neutralise(view.status), words, *hint]
    return Text(f" {scene.glyphs.dot} ".join(parts), style="dim")


def _body(scene: Scene, width: int, level: str) -> Iterator[Text]:
    tasks = list(scene.tasks.items())
    over = {name for name, row in scene.view.rows.items() if row.state == "done"}
    if level == "tight":
        tasks = [(name, task) for name, task in tasks if name not in over]
    team = scene.view.rows.get(TEAM, Row(TEAM, state="queued"))
    yield _line(scene, width, "", team, Text(_team_does(scene, team)))
    if level == "full":
        yield from _acts(scene, team, "  ")
    for number, (name, task) in enumerate(tasks, start=1):
        is_last = number == len(tasks)
        guide = scene.glyphs.last if is_last else scene.glyphs.branch
        row = scene.view.rows.get(name, Row(name, state="queued"))
        said = _task_does(scene, row, task, min(NAME, max(map(len, scene.tasks))))
        title = neutralise(task.title) if task and not row.running else ""
        yield _line(scene, width, f"{guide} ", row, said, title)
        if level == "full":
            yield from _acts(scene, row, "     " if is_last else f"{scene.glyphs.bar}    ")


def _line(scene: Scene, width: int, guide: str, row: Row, said: Text, title: str = "") -> Text:
    """Guide, mark, words and, where it fits, the title on the left, figures on the right."""
    line = Text.assemble((guide, "dim"), _mark(scene, row), " ", said)
    end = row.heard if row.is_over else max(scene.now, row.heard)
    figures = _figures(row, end - row.began if row.began else 0.0)
    room = max(1, width - figures.cell_len - 1)
    if title and line.cell_len + TITLE <= room:
        line.append(f"  {title}", style="dim")
    line.truncate(room, overflow="ellipsis", pad=True)
    return line.append(" ").append_text(figures)


def _figures(row: Row, seconds: float) -> Text:
    tokens = row.usage.input_tokens + row.usage.output_tokens
    cells = (
        f"{short(tokens)} tok" if tokens else "",
        cost(row.usage.cost_usd),
        duration(seconds) if row.began else "",
    )
    widths = (9, 7 if row.usage.cost_usd else 0, 6)
    texts = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return Text("".join(texts), style="dim")


def _mark(scene: Scene, row: Row) -> Text:
    glyphs = scene.glyphs
    spin = glyphs.spin[scene.tick % len(glyphs.spin)]
    marks = {
        "working": (spin, "cyan"),
        "waiting": (glyphs.waiting, "bold yellow"),
        "done": (glyphs.done, "green"),
        "failed": (glyphs.failed, "red"),
    }
    glyph, style = marks.get(row.state, (glyphs.queued, "dim"))
    return Text(glyph, style=style)


def _team_does(scene: Scene, team: Row) -> str:
    """The run's own step; while tasks are built, how far they are."""
    view = scene.view
    if view.waiting:
        return f"waits for you: {joined(map(neutralise, view.waiting))}"
    if team.is_over or view.status not in {"pending", "running"}:
        return neutralise(view.status)
    if now := joined(act.name for act in team.running.values()):
        return neutralise(now)
    tasks = scene.tasks
    merged = sum(view.rows[name].state == "done" for name in tasks if name in view.rows)
    return f"building, {merged} of {len(tasks)} merged" if tasks else "beginning"


def _task_does(scene: Scene, row: Row, task: CodeTask | None, room: int) -> Text:
    name = Text(neutralise(row.task), style="bold" if row.state != "queued" else "")
    name.truncate(room, overflow="ellipsis", pad=True)
    said = Text.assemble(name, "  ", _strip(scene, row))
    if row.state == "queued":
        after = [neutralise(each) for each in task.after] if task else []
        said.append(f"after {joined(after)}" if after else "waits for a coder", style="dim")
    else:
        said.append(neutralise(row.doing), style="red" if row.state == "failed" else "")
    if row.state == "failed" and row.said:
        said.append(f": {' '.join(neutralise(row.said).split())}", style="red")
    return said


def _strip(scene: Scene, row: Row) -> Text:
    """How many stages of this round lie behind it."""
    glyphs, behind = scene.glyphs, row.stage
    if row.state == "queued":
        return Text(f"{glyphs.empty * len(STAGES)} ", style="dim")
    colour = {"done": "green", "failed": "red", "waiting": "yellow"}.get(row.state, "cyan")
    return Text.assemble(
        (glyphs.full * behind, colour), (f"{glyphs.empty * (len(STAGES) - behind)} ", "dim")
    )


def _acts(scene: Scene, row: Row, indent: str) -> Iterator[Text]:
    """What each agent of a task does now, a line each."""
    acts: Sequence[Act] = [act for act in row.running.values() if act.who or act.said]
    room = max((len(act.who) for act in acts), default=0)
    for act in acts:
        who = neutralise(act.who or act.name)
        said = " ".join(neutralise(act.said).split())
        said = "finishing" if said == "finish" else said
        yield Text.assemble((indent, "dim"), (f"{who:<{room}}", "magenta"), (f"  {said}", "dim"))
