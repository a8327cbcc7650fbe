"""How often recall puts the right symbol among the first five, how fast, and at what cost.

    .venv/bin/python -m benchmarks.recall

Questions: `recall_questions`. Answers are compared by symbol. "Grep" ranks the same pieces by how
many different words of the question occur in them, ignoring case: more than an agent's grep does.
"""

import asyncio
import hashlib
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from actors.memory import Memory, SourceFile
from actors.vector_store.chunks import chunks_of
from actors.vector_store.in_memory import InMemoryStore
from actors.vector_store.milvus import MilvusStore
from benchmarks.recall_questions import CLICK
from orchestration.clock import SystemClock

Ask = Callable[[str], Awaitable[list[str]]]
PACKAGE = Path(click.__file__).parent
SCALE_SYMBOLS = 20_000


def sources(root: Path) -> dict[str, SourceFile]:
    texts = {path: path.read_text(errors="replace") for path in sorted(root.rglob("*.py"))}
    return {
        str(path.relative_to(root)): SourceFile(hashlib.sha1(text.encode()).hexdigest(), text)
        for path, text in texts.items()
    }


def grep(files: dict[str, SourceFile]) -> Ask:
    pieces = [chunk for path, file in files.items() for chunk in chunks_of(path, file.text)]

    async def ask(question: str) -> list[str]:
        wanted = {word.lower() for word in re.findall(r"\w{3,}", question)}
        ranked = sorted(pieces, key=lambda p: -sum(word in p.text.lower() for word in wanted))
        return [piece.symbol for piece in ranked[:5]]

    return ask


def recall(memory: Memory, repository: str) -> Ask:
    async def ask(question: str) -> list[str]:
        report = await memory.recall(repository, question, limit=5)
        assert not report.note, report.note
        return [found.source.partition(" ")[2] for found in report.found]

    return ask


async def score(name: str, ask: Ask, *, show: bool = False) -> None:
    first = five = 0
    millis: list[float] = []
    for question, symbol in CLICK:
        start = time.perf_counter()
        found = await ask(question)
        millis.append((time.perf_counter() - start) * 1000)
        right = [f == symbol or f.startswith(f"{symbol}.") for f in found]
        first, five = first + any(right[:1]), five + any(right)
        if show and not any(right):
            print(f"    missed: {question!r} -> {found}, not {symbol}")
    p95 = statistics.quantiles(millis, n=20)[-1]
    asked = len(CLICK)
    print(
        f"{name:24} recall@5 {five}/{asked} = {five / asked:.0%}   recall@1 {first / asked:.0%}",
        end="",
    )
    print(f"   median {statistics.median(millis):.1f} ms   p95 {p95:.1f} ms")


async def timed(what: str, work: Awaitable[object]) -> None:
    start = time.perf_counter()
    result = await work
    print(f"{what}: {time.perf_counter() - start:.2f} s   {result}")


def many_files() -> dict[str, SourceFile]:
    """Installed packages, until there are enough symbols."""
    files: dict[str, SourceFile] = {}
    symbols = 0
    for path, file in sources(PACKAGE.parent).items():
        symbols += len(chunks_of(path, file.text))
        files[path] = file
        if symbols >= SCALE_SYMBOLS:
            break
    print(f"\nScale: {len(files)} files, {symbols} pieces of installed packages")
    return files


async def main() -> None:
    files = sources(PACKAGE)
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as place:
        milvus = Memory(MilvusStore(f"{place}/memory", clock=clock), clock=clock, timeout_s=60)
        simple = Memory(InMemoryStore(), clock=clock, timeout_s=60)
        await timed(f"Index click ({len(files)} files)", milvus.index("click", "c1", files))
        await simple.index("click", "c1", files)
        await score("grep", grep(files))
        await score("BM25, in memory", recall(simple, "click"))
        await score("BM25, Milvus Lite", recall(milvus, "click"), show=True)
        many = many_files() | {f"click/{path}": file for path, file in files.items()}
        await timed("Index", milvus.index("many", "c1", many))
        changed = dict([next(iter(files.items()))])
        again = {p: SourceFile(f.blob + "x", f.text + "\nX = 1\n") for p, f in changed.items()}
        await timed("Index one changed file", milvus.index("many", "c2", again))
        await score("BM25 at that scale", recall(milvus, "many"))
        await milvus.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Peak memory of this process: {peak:.0f} MB")


if __name__ == "__main__":
    asyncio.run(main())
