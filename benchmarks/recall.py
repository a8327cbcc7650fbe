"""How often recall puts the right symbol among the first five, how fast, and at what cost.

    .venv/bin/python -m benchmarks.recall            # prints, and writes docs/benchmarks-recall.md

Questions: `recall_questions`. An answer is right by its symbol alone. "Grep" ranks the same pieces
by how many different words of the question occur in them: more than an agent's grep does.
"""

import asyncio
import re
import resource
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.context.tokens import count
from actors.memory import PIECES, SourceFile, ranking, rows
from actors.memory.chunks import chunks_of
from actors.memory.memory import Memory
from actors.tools.quoting import quoted
from actors.vector_store.milvus import MilvusStore
from benchmarks.recall_packages import ROOT, embedder, package, sources
from benchmarks.recall_questions import CLICK, COMMANDER, REQUESTS
from orchestration.clock import SystemClock
from orchestration.messages import Recollection

Ask = Callable[[str], Awaitable[list[tuple[str, str]]]]
"""A question to the symbols and texts of at most five pieces."""
SETS = {"click": CLICK, "requests": REQUESTS, "commander": COMMANDER}
WAYS = ("grep", "dense", "BM25", "hybrid")
SCALE = 20_000
DIMENSION = 256
CLOCK = SystemClock()
PAGE = ROOT / "docs" / "benchmarks-recall.md"


@dataclass
class Score:
    """How one way did on one package."""

    asked: int
    first: int
    five: int
    missed: list[str]
    millis: list[float]
    cpu: list[float]
    """Milliseconds of this process, Milvus Lite and all: other load does not count."""
    pieces: int = 0
    tokens: int = 0
    """Of all pieces of all questions."""


def grep(files: Mapping[str, SourceFile]) -> Ask:
    pieces = [chunk for path, file in files.items() for chunk in chunks_of(path, file.text)]

    async def ask(question: str) -> list[tuple[str, str]]:
        wanted = {word.lower() for word in re.findall(r"\w{3,}", question)}
        ranked = sorted(pieces, key=lambda p: -sum(word in p.text.lower() for word in wanted))
        return [(piece.symbol, piece.text) for piece in ranked[:5]]

    return ask


def recall(memory: Memory, repository: str) -> Ask:
    async def ask(question: str) -> list[tuple[str, str]]:
        report = await memory.recall(repository, question)
        assert not report.note, report.note
        return [_told(found) for found in report.found]

    return ask


def by_vector(store: MilvusStore, embed: Callable[[str], Awaitable[list[float]]], key: str) -> Ask:
    async def ask(question: str) -> list[tuple[str, str]]:
        hits = await store.search(
            key, "", kinds=["code"], limit=ranking.depth(PIECES), vector=await embed(question)
        )
        best = enumerate(ranking.best(hits, question, PIECES))
        return [_told(rows.recollection(row, place)) for place, row in best]

    return ask


def _told(piece: Recollection) -> tuple[str, str]:
    return piece.source.rpartition(" ")[2], quoted([piece])


async def score(questions: tuple[tuple[str, str], ...], ask: Ask) -> Score:
    done = Score(len(questions), 0, 0, [], [], [])
    for question, symbol in questions:
        start, worked = time.perf_counter(), time.process_time()
        found = await ask(question)
        done.millis.append((time.perf_counter() - start) * 1000)
        done.cpu.append((time.process_time() - worked) * 1000)
        right = [each == symbol or each.startswith(f"{symbol}.") for each, _ in found]
        done.pieces += len(found)
        done.tokens += sum(count({"content": text}) for _, text in found)
        done.first, done.five = done.first + any(right[:1]), done.five + any(right)
        if not any(right):
            done.missed.append(f"{question} -> {symbol}")
    return done


async def quality(place: Path) -> dict[str, dict[str, Score]]:
    """Every way on every package."""
    scores: dict[str, dict[str, Score]] = {way: {} for way in WAYS}
    async with embedder() as model:

        async def embed(question: str) -> list[float]:
            return list((await model.embed([question]))[0])

        plain = MilvusStore(str(place / "words"), clock=CLOCK)
        fused = MilvusStore(str(place / "both"), dimension=DIMENSION, clock=CLOCK)
        words = Memory(plain, clock=CLOCK, timeout_s=60)
        both = Memory(fused, clock=CLOCK, timeout_s=60, embedder=model)
        for name, questions in SETS.items():
            files = sources(package(name))
            for memory in (words, both):
                report = await memory.index(name, "c0ffee0", files)
                assert not report.note, report.note
            ways = {
                "grep": grep(files),
                "dense": by_vector(fused, embed, name),
                "BM25": recall(words, name),
                "hybrid": recall(both, name),
            }
            for way in WAYS:
                scores[way][name] = await score(questions, ways[way])
        await words.close()
        await both.close()
    return scores


def many_files() -> tuple[dict[str, SourceFile], int]:
    """Installed packages, until there are enough symbols."""
    files: dict[str, SourceFile] = {}
    symbols = 0
    for path, file in sources(Path(sysconfig.get_paths()["purelib"]), suffix=".py").items():
        found = sum(bool(chunk.symbol) for chunk in chunks_of(path, file.text))
        symbols += found
        if found:
            files[path] = file
        if symbols >= SCALE:
            break
    return files, symbols


async def scale(place: Path) -> list[tuple[str, str]]:
    """Figures at 20,000 symbols."""
    files, symbols = many_files()
    memory = Memory(MilvusStore(str(place / "many"), clock=CLOCK), clock=CLOCK, timeout_s=60)
    start, worked = time.perf_counter(), time.process_time()
    report = await memory.index("many", "c1", files)
    took, work = time.perf_counter() - start, time.process_time() - worked
    path, file = next(iter(files.items()))
    changed = {path: SourceFile(f"{file.blob}x", f"{file.text}\n\ndef added():\n    return 1\n")}
    start = time.perf_counter()
    await memory.index("many", "c2", changed)
    again = time.perf_counter() - start
    questions = CLICK + REQUESTS + COMMANDER
    asked = await score(questions, recall(memory, "many"))
    await memory.close()
    memory = Memory(MilvusStore(str(place / "many"), clock=CLOCK), clock=CLOCK, timeout_s=60)
    start = time.perf_counter()
    await memory.ready()
    opened = time.perf_counter() - start
    start = time.perf_counter()
    await memory.manifest("many")
    listed = time.perf_counter() - start
    cold = await score(questions[:1], recall(memory, "many"))
    await memory.close()
    return [
        ("symbols, in files, as pieces", f"{symbols:,}, {len(files):,}, {report.sent:,}"),
        ("recall, median / p95 (ms)", both(asked.millis)),
        ("its CPU, median / p95 (ms)", both(asked.cpu)),
        ("the first recall after opening (ms)", f"{cold.millis[0]:.0f}"),
        ("opening the index (s)", f"{opened:.1f}"),
        ("indexing 1,000 files (s)", f"{took / len(files) * 1000:.1f}"),
        ("its CPU (s)", f"{work / len(files) * 1000:.1f}"),
        ("indexing after a change of one file (ms)", f"{again * 1000:.0f}"),
        ("before it, in a fresh process: what is indexed? (s)", f"{listed:.1f}"),
        ("largest memory of the process (MB)",
         f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}"),
    ]  # fmt: skip


def both(millis: list[float]) -> str:
    return f"{statistics.median(millis):.0f} / {statistics.quantiles(millis, n=20)[-1]:.0f}"


def page(scores: dict[str, dict[str, Score]], figures: list[tuple[str, str]]) -> str:
    total = sum(map(len, SETS.values()))
    lines = [
        "# Recall: how good, how fast",
        "",
        "Made by `.venv/bin/python -m benchmarks.recall`, one run, on 2 cores that did other things"
        " too: read the CPU figures. The questions and the right answers are in"
        " `benchmarks/recall_questions.py`. We wrote them, and chose the weights of"
        " `actors/memory/ranking.py` on them: expect a little less elsewhere.",
        "",
        f"## The right symbol among the first five, of {total} questions",
        "",
        "| way | " + " | ".join(SETS) + " | all | first | pieces | tokens | CPU ms |",
        "|---|" + "--:|" * (len(SETS) + 5),
    ]
    for way, by_package in scores.items():
        five = [f"{by_package[name].five}/{by_package[name].asked}" for name in SETS]
        whole = sum(done.five for done in by_package.values()) / total
        first = sum(done.first for done in by_package.values()) / total
        pieces = sum(done.pieces for done in by_package.values())
        tokens = sum(done.tokens for done in by_package.values())
        millis = statistics.median(m for done in by_package.values() for m in done.cpu)
        lines.append(
            f"| {way} | " + " | ".join(five) + f" | {whole:.0%} | {first:.0%} "
            f"| {pieces / total:.1f} | {tokens / total:,.0f} | {millis:.0f} |"
        )
    lines += [
        "",
        "- The packages are whole source distributions from PyPI and npm, with tests, documents,"
        " changelogs and licences: what a run would find.",
        "- *grep* counts which of a question's words occur in a piece, for the same pieces.",
        "- *dense* is a small static model (WordLlama, 256 numbers, from its PyPI wheel), served on"
        " loopback and asked through litellm like any other; its own CPU is not counted. It knows"
        " no code; a real embedding model should do better, and none could be reached here.",
        "- *hybrid* is what memory does when an embedding model is configured, *BM25* what it does"
        " without one.",
        "- *pieces* and *tokens* are what one question brings into a prompt, labels and fences"
        " included. What comes far behind the best piece is not sent, and pieces from the third on"
        " are shorter: eight whole ones took 2,047 (BM25) and 1,747 (hybrid) tokens.",
        "",
        f"## At {SCALE:,} symbols, by words alone",
        "",
        "| figure | |",
        "|---|--:|",
        *(f"| {name} | {value} |" for name, value in figures),
        "",
        "## What hybrid recall missed",
        "",
        *(f"- {name}: {miss}" for name in SETS for miss in scores["hybrid"][name].missed),
        "",
    ]
    return "\n".join(lines)


async def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        scores = await quality(Path(place))
        figures = await scale(Path(place))
    text = page(scores, figures)
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    asyncio.run(main())
