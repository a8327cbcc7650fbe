"""The engines' benchmark: it still plays, and says truly what it found."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.contestants.manta import play
from benchmarks.contestants.meter import Job
from benchmarks.engine_plot import plot
from benchmarks.engine_report import FLOOR, OURS, Results, report, write_section
from orchestration.clock import SystemClock
from orchestration.ids import RunId
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RecordKind


def _found(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "cpu_s": 0.1, "written": 2048.0 * 200, "peak_mb": 50.0}


@pytest.fixture
def results() -> Results:
    results = Results(rounds=2, steps={"chain-1": 200}, loads=[0.5, 1.5], machine="a machine")
    for floor, ours in ((0.1, 0.2), (0.4, 1.6), (0.1, 0.3)):
        results.add("chain-1", FLOOR, _found(floor))
        results.add("chain-1", OURS, _found(ours))
    return results


@pytest.mark.parametrize("work", ["chain", "fan", "loop"])
async def test_each_job_takes_as_many_steps_as_it_says(work: str) -> None:
    journal = InMemoryJournal(SystemClock())
    await play(journal, Job(work, 7, 100, ""))
    done = await journal.read(RunId("job"), kinds=[RecordKind.DONE])
    assert len({record.step_key for record in done}) == 7


def test_a_warm_up_stores_nothing_that_the_measured_play_could_find() -> None:
    job = Job("chain", 200, 1024, "")
    assert job.warm_up().size != job.size


def test_ratios_are_taken_within_a_round(results: Results) -> None:
    assert results.rate("chain-1", OURS) == pytest.approx(200 / 0.3)
    assert results.share("chain-1", OURS, FLOOR) == pytest.approx(1 / 3)


def test_who_was_left_out_is_told_with_the_reason(results: Results) -> None:
    results.absent["Mastra, LibSQL"] = "npm is not installed here"
    assert "| Mastra, LibSQL | left out: npm is not installed here |" in report(results)


def test_a_missed_aim_says_where_the_time_goes(results: Results) -> None:
    line = next(x for x in report(results).splitlines() if x.startswith("| chain of 1 KB"))
    assert "missed | of 1.50 ms a step the floor's commit takes 0.50" in line


def test_the_picture_has_a_bar_for_each_that_played(results: Results) -> None:
    bars = ET.fromstring(plot(results)).iter("{http://www.w3.org/2000/svg}rect")
    assert len(list(bars)) == 2


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n\nbefore\n", encoding="utf-8")
    write_section(page, "engine", "old")
    page.write_text(page.read_text() + "\nafter\n", encoding="utf-8")
    write_section(page, "engine", "new")
    assert page.read_text() == (
        "# Benchmarks\n\nbefore\n\n<!-- engine: begin -->\nnew\n<!-- engine: end -->\n\nafter\n"
    )
