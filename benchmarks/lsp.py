"""Questions about code by language server, beside the same questions by grep and reading.

    .venv/bin/python -m benchmarks.lsp            # prints, and writes docs/benchmarks-lsp.md

Packages are those installed here, copied into a local sandbox each. Asked is after every class and
function whose plain name is defined once, is long enough to be looked for, and is used in three
files or more; thirty of them, picked evenly. All goes through the tools that agents have, so that
bytes are what enters their context.
"""

import asyncio
import re
import statistics
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.agent.wire import SHOWN, SHOWN_FILE
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxLimits, SandboxSpec
from actors.tools.files import FileTools
from actors.tools.languages import ROOM, LanguageServers, LanguageToolset, language_tools
from actors.tools.search import SearchTools
from actors.tools.slots import Slots
from actors.tools.text import cap
from actors.tools.tool import ToolResult, Toolset
from actors.tools.toolset import FunctionToolset
from cluster.settings import running_toolchains

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks-lsp.md"
PACKAGES = ("click", "rich", "sqlalchemy")
ASKED = 30
AROUND = 40
"""Lines that a thrifty reader takes from where grep found the definition."""
DEFINED = re.compile(r"^\s*(?:async\s+)?(?:def|class)\s+(\w+)", re.MULTILINE)


@dataclass
class Way:
    """How one way of asking did: bytes and milliseconds of each question."""

    size: list[int] = field(default_factory=list[int])
    millis: list[float] = field(default_factory=list[float])
    misses: int = 0


@dataclass
class Score:
    """One package."""

    name: str
    files: int
    lines: int
    cold_s: float = 0.0
    ways: dict[str, Way] = field(default_factory=dict[str, Way])
    false_hits: list[float] = field(default_factory=list[float])
    """Share of grep's lines that are no use of the symbol."""

    def add(self, way: str, result: ToolResult, seconds: float, *extra: ToolResult) -> None:
        at = self.ways.setdefault(way, Way())
        at.size.append(sum(len(shown(each).encode()) for each in (result, *extra)))
        at.millis.append(seconds * 1000)
        at.misses += not result.ok


def shown(result: ToolResult) -> str:
    """What of an answer the model sees."""
    return cap(result.text, SHOWN_FILE if result.paths_read else SHOWN, "recall shows them")


def names(texts: Sequence[str]) -> list[str]:
    """What is asked after."""
    defined = Counter(name for text in texts for name in DEFINED.findall(text))
    once = [n for n, count in defined.items() if count == 1 and len(n) > 4 and n[0] != "_"]
    words = [set(re.findall(r"\w+", text)) for text in texts]
    used = sorted(name for name in once if sum(name in each for each in words) >= 3)
    step = max(1, len(used) // ASKED)
    return used[::step][:ASKED]


async def timed(ask: Callable[[], Awaitable[ToolResult]]) -> tuple[ToolResult, float]:
    started = time.perf_counter()
    return await ask(), time.perf_counter() - started


async def measure(package: str, place: Path) -> Score:
    source = Path(sysconfig.get_paths()["purelib"]) / package
    paths = sorted(source.rglob("*.py"))
    texts = [path.read_text("utf-8", "replace") for path in paths]
    score = Score(package, len(paths), sum(text.count("\n") for text in texts))
    tools = [str(path) for path in running_toolchains()]
    provider = LocalProvider(place / package, toolchains=tools)
    limits = SandboxLimits(memory=4 * 1024**3)
    box = await provider.create(SandboxSpec(toolchains=(str(ROOM),), limits=limits))
    for path, text in zip(paths, texts, strict=True):
        await box.write_file(f"{package}/{path.relative_to(source)}", text.encode())
    await box.exec("git init -q && git add -A", timeout_s=60)
    languages = await language_tools(box, LanguageServers(Slots(place / "slots", 4), least=1))
    assert languages
    await ask_all(score, names(texts), languages, box)
    await languages.close()
    await box.terminate()
    await provider.close()
    return score


async def ask_all(
    score: Score, wanted: Sequence[str], languages: LanguageToolset, box: Sandbox
) -> None:
    plain = FunctionToolset(FileTools(box), SearchTools(box))
    started = time.perf_counter()
    await languages.call("get_definition", {"symbol": wanted[0]})
    score.cold_s = time.perf_counter() - started
    for name in wanted:  # warm: every file that matters has been looked at once
        await languages.call("find_references", {"symbol": name})
    for name in wanted:
        await definition(score, name, languages, plain)
        await references(score, name, languages, plain)


async def definition(score: Score, name: str, languages: Toolset, plain: Toolset) -> None:
    found, seconds = await timed(lambda: languages.call("get_definition", {"symbol": name}))
    score.add("definition, language server", found, seconds)
    pattern = rf"^\s*(async\s+)?(def|class)\s+{name}\b"
    hit, seconds = await timed(lambda: plain.call("grep", {"pattern": pattern}))
    path, line = hit.text.split(":")[:2]
    first = max(1, int(line) - 2)
    part = await plain.call("read", {"path": path, "first_line": first, "lines": AROUND})
    score.add("definition, exact grep and 40 lines", hit, seconds, part)
    wide, seconds = await timed(lambda: plain.call("grep", {"pattern": rf"\b{name}\b"}))
    whole = await plain.call("read", {"path": path})
    score.add("definition, grep for the word and the file's first page", wide, seconds, whole)


async def references(score: Score, name: str, languages: Toolset, plain: Toolset) -> None:
    found, seconds = await timed(lambda: languages.call("find_references", {"symbol": name}))
    score.add("references, language server", found, seconds)
    hits, seconds = await timed(lambda: plain.call("grep", {"pattern": rf"\b{name}\b"}))
    score.add("references, grep for the word", hits, seconds)
    said = re.match(r"(\d+) places?", found.text)
    listed = lines_of(found.text)
    grepped = {tuple(line.split(":")[:2]) for line in hits.text.splitlines() if ":" in line}
    if said and int(said[1]) <= 150 and "left out" not in hits.text and grepped:
        wrong = [hit for hit in grepped if hit not in listed]
        score.false_hits.append(len(wrong) / len(grepped))


def lines_of(text: str) -> set[tuple[str, ...]]:
    """The (path, line) pairs of a list of references."""
    found: set[tuple[str, ...]] = set()
    path = ""
    for line in text.splitlines()[1:]:
        if not line.startswith(" "):
            path = line
        elif number := re.match(r"\s+(\d+):", line):
            found.add((path, number[1]))
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def p95(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)] if values else 0.0


async def words_of_tools() -> int:
    """Bytes that the tools' own description adds to every prompt."""
    given = await LanguageToolset.definitions(None)  # pyright: ignore[reportArgumentType] - needs no object
    return sum(len(f"{d.name}{d.description}{d.parameters}") for d in given)


def page(scores: Sequence[Score], described: int) -> str:
    """The whole page."""
    parts = [HEAD.format(asked=ASKED, described=described)]
    for score in scores:
        parts.append(
            f"\n## {score.name}: {score.files} files, {score.lines:,} lines\n\n"
            f"First answer, everything started for it: {score.cold_s:.1f} s.\n\n"
            "| question | bytes (median) | bytes (all) | p50 ms | p95 ms | without answer |\n"
            "|---|--:|--:|--:|--:|--:|\n"
        )
        parts += [
            f"| {way} | {median(at.size):,.0f} | {sum(at.size):,} | {median(at.millis):.0f} | "
            f"{p95(at.millis):.0f} | {at.misses} |\n"
            for way, at in score.ways.items()
        ]
        share = statistics.mean(score.false_hits) if score.false_hits else 0.0
        parts.append(f"\nOf grep's lines, {share:.0%} are no use of the symbol that was meant.\n")
    return "".join(parts)


HEAD = """# Language servers against grep and reading

Written by `.venv/bin/python -m benchmarks.lsp`. {asked} symbols per package, asked for by name
through the tools that agents have, in a local sandbox, basedpyright warm; bytes are what enters the
model's context. The tools' description adds {described:,} bytes to every prompt (cached after the
first turn). Times of several calls are of the search alone: not of the reading that follows it,
nor of the model's turn between them. Without answer: several symbols bear the name, and the answer
lists them.

For a definition, a well-aimed grep and forty lines cost as many bytes or twice as many, and two
turns instead of one; grep for the bare word and a page of the file cost nine to twenty times as
many. For references, the language server says a fifth to a half of what grep says, and no line of
another symbol; what Python decides only while it runs, it cannot see.
"""


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scores = [await measure(package, Path(folder)) for package in PACKAGES]
    text = page(scores, await words_of_tools())
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    asyncio.run(main())
