from pathlib import Path

from actors.evidence import Environment, Evidence
from cluster.desk.diffs import read_diff
from cluster.handover.handing import Handover
from cluster.lines.of_runs import OutcomeLine
from cluster.terminal.ending import Ending, facts, told
from orchestration.ids import BlobId, CommitId, RunId, TaskId
from orchestration.messages import CodeTask, Delivery, TaskEvidence, TreeRef, Usage
from orchestration.proof import Finding, Outcome, Review, Severity, TestCase, TestReport
from orchestration.strength import Fate, Mutant, Strength, Trial

RUN = RunId("add-red-1a2b3c")
COMMIT = CommitId("c" * 40)
DIFF = """\
diff --git a/red.py b/red.py
new file mode 100644
--- /dev/null
+++ b/red.py
@@ -0,0 +1,2 @@
+one
+two
diff --git a/blue.py b/blue.py
--- a/blue.py
+++ b/blue.py
@@ -1,2 +1,1 @@
-old
 same
"""
LOW = Finding(
    file="red.py", line=2, severity=Severity.LOW, why="Say \x1b[31mwhy.", source="reviewer"
)


def report(*failing: str, code: int = 0) -> TestReport:
    cases = tuple(TestCase(id=name, outcome=Outcome.FAILED) for name in failing)
    return TestReport(commit=COMMIT, command="python -m pytest", cases=cases, exit_code=code)


def proof() -> TaskEvidence:
    mutant = Mutant(path="red.py", line=1, what="constant", start=0, before="1", after="2")
    fates = (Fate.KILLED, Fate.TIMEOUT, Fate.SURVIVED)
    return TaskEvidence(
        task=CodeTask(id=TaskId("red"), title="Add red", description="It.", acceptance=("It is.",)),
        base=COMMIT, commit=COMMIT, merged=COMMIT, test_files={},
        red=report("a", "b", code=1), green=report(),
        review=Review(approved=True, summary="Good.", findings=(LOW,)),
        audit=Review(approved=True, summary="Good.", findings=(LOW,)),
        strength=Strength(trials=tuple(Trial(mutant=mutant, fate=fate) for fate in fates)),
    )  # fmt: skip


def ending(home: Path | None = None, **changes: object) -> Ending:
    usage = Usage(calls=3, input_tokens=900, cached_tokens=300, output_tokens=100, cost_usd=0.25)
    given = {
        "run_id": RUN, "request": "Add red", "repository": "paint", "base": COMMIT,
        "branch": f"manta/{RUN}", "commit": COMMIT, "models": ("anthropic/x",),
        "tasks": (proof(),), "final": report(), "usage": usage,
        "environment": Environment(python="3.11", system="Linux"),
    }  # fmt: skip
    nothing = BlobId("b" * 64)
    delivery = Delivery(
        run_id=RUN, branch=f"manta/{RUN}", tree=TreeRef(commit=COMMIT, bundles=()),
        bundle=nothing, evidence=nothing, summary="red: Add red",
    )  # fmt: skip
    made = Handover(delivery, f"The branch is in {home}." if home else "", "", home)
    files = tuple(read_diff(DIFF))
    return Ending(delivery, made, Evidence.model_validate(given | changes), files, seconds=125.0)


def text(given: Ending, *, titles: bool = True) -> str:
    return "\n".join(line.plain.rstrip() for line in told(given, titles=titles))


def test_the_end_tells_what_changed_how_it_is_proven_and_what_it_cost() -> None:
    said = text(ending())

    assert "changed   2 files  +2    -1" in said
    assert "red.py   +2    -0  added" in said
    assert "2 new tests, red without the change and green with it; the whole suite passes" in said
    assert "mutants   2 of 3 killed" in said
    assert "$0.25, 3 model calls, 1,000 tokens (300 cached), 2m05s" in said


def test_remarks_that_did_not_block_are_told_once_and_are_plain_text() -> None:
    said = text(ending())

    assert said.count("red.py:2: Say") == 1
    assert "1 remark that did not block" in said
    assert "\x1b" not in said


def test_nobody_is_told_to_fetch_what_is_there(tmp_path: Path) -> None:
    home = tmp_path / "paint"

    here, elsewhere = text(ending(home)), text(ending())

    assert f"git -C {home} merge manta/{RUN}" in here
    assert "manta fetch" not in here
    assert f"manta fetch {RUN} --repo PATH" in elsewhere


def test_a_recording_costs_nothing_and_an_unpriced_model_says_so() -> None:
    free = Usage(calls=1)

    assert "nothing (a recording)" in text(ending(models=("recording:x",), usage=free))
    assert "no price known" in text(ending(usage=free))


def test_titles_are_left_out_where_a_tree_has_them() -> None:
    assert "red: Add red" in text(ending())
    assert "red: Add red" not in text(ending(), titles=False)


def test_programs_get_the_same_in_the_published_form() -> None:
    line = OutcomeLine.model_validate(facts(ending()))

    assert (line.new_tests, line.mutants_killed, line.mutants_survived) == (2, 2, 1)
    assert [finding.severity for finding in line.findings] == [Severity.LOW]
    assert line.suite_passes
