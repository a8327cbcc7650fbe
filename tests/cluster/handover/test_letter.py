import pytest

from actors.evidence import Environment, Evidence
from cluster.handover.letter import body_of, plain, title_of
from orchestration.ids import BlobId, CommitId, RunId, TaskId
from orchestration.messages import CodeTask, Delivery, TaskEvidence, TreeRef, Usage
from orchestration.proof import Review, TestReport

COMMIT = CommitId("a" * 40)
REPORT = TestReport(commit=COMMIT, command="python -m pytest", exit_code=0)
GOOD = Review(approved=True, summary="Good.")


def proof(title: str, **more: object) -> TaskEvidence:
    task = CodeTask(id=TaskId("t"), title=title, description="d", acceptance=("a",))
    return TaskEvidence(
        task=task.model_copy(update=more), base=COMMIT, commit=COMMIT, merged=COMMIT,
        test_files={}, green=REPORT, review=GOOD, audit=GOOD,
    )  # fmt: skip


def evidence(request: str, *proofs: TaskEvidence) -> Evidence:
    return Evidence(
        run_id=RunId("r"), request=request, repository="x", base=COMMIT, branch="b",
        commit=COMMIT, models=(), tasks=proofs, final=REPORT, usage=Usage(),
        environment=Environment(python="3", system="x"),
    )  # fmt: skip


UPKEEP = {"changes_behaviour": False}


@pytest.mark.parametrize(
    ("request_", "proofs", "title"),
    [
        ("Do it", [proof("Add red.")], "feat: add red"),
        ("The parser crashes on tabs", [proof("Accept tabs")], "fix: accept tabs"),
        ("Do it", [proof("fix(parser): accept tabs")], "fix(parser): accept tabs"),
        ("Tidy", [proof("Tell of red", files=("README.md",), **UPKEEP)], "docs: tell of red"),
        ("Tidy", [proof("Pin red", files=("tests/test_a.py",), **UPKEEP)], "test: pin red"),
        ("Tidy", [proof("Rename red", files=("a.py",), **UPKEEP)], "refactor: rename red"),
        ("Two\nthings", [proof("Add red"), proof("Add blue")], "feat: two things"),
    ],
)
def test_a_title_is_conventional(request_: str, proofs: list[TaskEvidence], title: str) -> None:
    assert title_of(evidence(request_, *proofs)) == title


def test_a_long_title_is_cut_to_what_a_log_shows() -> None:
    title = title_of(evidence("words " * 100, proof("Add red"), proof("Add blue")))
    assert 66 < len(title) <= 72
    assert title.endswith("words…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ask @octocat", "ask @\u200boctocat"),
        ("closes #12", "closes #\u200b12"),
        ("![x](https://e.org/y)", "!\\[x\\](https\u200b://e.org/y)"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("one\n## two", "one ## two"),
        ("\x1b[31mred\u202e", "red\\<U+202E\\>"),
    ],
    ids=["a mention", "a reference", "a picture", "markup", "lines", "escapes"],
)
def test_what_models_wrote_has_no_effect_in_markdown(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_letter_says_who_scanned_the_change_and_who_was_missing() -> None:
    audit = Review(approved=True, summary="", scanners=("bandit", "manta"), missing=("semgrep",))
    made = evidence("Do it", proof("Add red").model_copy(update={"audit": audit}))
    tree = TreeRef(commit=COMMIT, bundles=())
    delivery = Delivery(
        run_id=RunId("r"), branch="b", tree=tree,
        bundle=BlobId("b"), evidence=BlobId("e"), summary="",
    )  # fmt: skip
    assert "Scanned by bandit, manta, without semgrep." in body_of(made, delivery, (), {})
