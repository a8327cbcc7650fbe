"""What a run costs grows with its work, and no faster."""

import pytest

from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.journal import RecordKind
from orchestration.workflow.shape import Flow
from tests.orchestration.workflow.stage import LOSES, Stage
from tests.orchestration.workflow.test_any_history import cut


async def same(value: str) -> str:
    return value


def chain(length: int) -> Flow[str, str]:
    flow = Workflow("chain", str)
    for number in range(length):
        flow = flow.then(step(same, id=f"s{number:05}"))
    return flow.commit()


async def written(length: int) -> int:
    stage = Stage()
    await stage.start(chain(length), "x" * 1000)
    return sum(len(r.body) + len(r.step_key) for r in (await stage.facts())[1:])


async def test_bytes_grow_linearly_with_the_steps() -> None:
    few, many = await written(50), await written(500)
    assert many / few < 10.2
    assert many / 500 < 1.1 * 1000


@pytest.mark.skipif(LOSES > 0, reason="who looks for a lost acknowledgement reads")
async def test_resuming_a_long_run_reads_once_and_decodes_only_what_it_needs() -> None:
    flow = chain(3000)
    stage = Stage()
    await stage.start(flow, "x" * 1000)
    records = await stage.facts()
    again = await cut(records, len(records) - 2, flow)
    reads = 0
    read = again.journal.read

    async def counting(*args, **options):  # type: ignore[no-untyped-def] # pyright: ignore
        nonlocal reads
        reads += 1
        return await read(*args, **options)  # pyright: ignore

    again.journal.read = counting  # type: ignore[method-assign] # pyright: ignore
    await again.resume(flow)
    assert reads == 1
    assert len(await again.facts(RecordKind.DONE)) == 3000
