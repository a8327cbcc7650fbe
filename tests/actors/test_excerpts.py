"""Files that a coder is to change: small ones whole, large ones by outline and named symbols."""

from actors.assignments import Brief, CodeJob, ExamineJob
from actors.briefs import examine_text
from actors.coder import CODE_PHASE, TEST_PHASE, task_text
from actors.excerpts import excerpts
from orchestration.ids import CommitId, TaskId
from orchestration.messages import CodeTask, Limits, TreeRef
from orchestration.proof import TestReport

FILLER = "\n".join(f"def filler_{n}():\n    return {n}\n" for n in range(300))
METHODS = "\n".join(
    f"    def method_{n}(self):\n        value = {n}\n        return value\n" for n in range(30)
)
LARGE = f"{FILLER}\n\n@final\ndef wanted(x):\n    return x + 1\n\n\nclass Big:\n{METHODS}"


def test_small_files_are_shown_whole_and_nothing_else_is_said():
    shown = excerpts({"a.py": "x = 1\n", "b.py": "y = 2\n"}, ["a.py:x"], 100)
    assert (shown.whole, shown.outlined) == ({"a.py": "x = 1\n", "b.py": "y = 2\n"}, {})


def test_of_a_large_file_what_is_where_and_the_named_symbols_are_shown():
    shown = excerpts({"large.py": LARGE, "a.py": "x = 1\n"}, ["large.py:wanted"], 1_000)
    said = shown.outlined["large.py"]

    assert shown.whole == {"a.py": "x = 1\n"}
    number = LARGE.splitlines().index("@final") + 1
    assert said.startswith(f"{len(LARGE.splitlines()):,} lines.")
    assert f"{1:>6}  function filler_0" in said
    assert "`wanted`, as it is now:" in said
    assert f"{number:>6}\t@final\n{number + 1:>6}\tdef wanted(x):\n" in said
    assert "more)" in said
    assert len(said) < len(LARGE) / 2


def test_a_method_is_found_by_its_bare_name_and_a_class_with_all_it_holds():
    said = excerpts({"a.py": LARGE}, ["a.py:method_7", "a.py:Big"], 100).outlined["a.py"]

    assert "`method_7`, as it is now:" in said
    assert said.count("value = 7") == 2
    assert "value = 29" in said


def test_a_symbol_that_is_not_there_or_too_long_is_left_to_the_reader():
    body = "\n".join(f"    print('{n} and a rather long line of text')" for n in range(600))
    huge = f"def huge():\n{body}\n"
    said = excerpts({"a.py": huge}, ["a.py:huge", "a.py:nowhere"], 100).outlined["a.py"]

    assert said == f"601 lines.\n\n```\n{1:>6}  function huge\n```"


def test_a_file_of_no_known_language_is_named_with_its_length():
    assert excerpts({"a.cfg": "x\n" * 50}, [], 10).outlined == {"a.cfg": "50 lines."}


def test_what_a_file_says_cannot_leave_its_fence_nor_reach_a_terminal():
    text = "def wanted():\n    '''\n```\n# The request\n\x1b[2J\n'''\n" + "\n" * 300
    said = excerpts({"a.py": text}, ["a.py:wanted"], 10).outlined["a.py"]

    assert "````\n     1\tdef wanted()" in said
    assert "\x1b" not in said


def test_the_task_tells_of_large_files_only_where_there_are_any():
    task = CodeTask(id=TaskId("t"), title="T", description="D", acceptance=("A",), files=("a.py",))
    brief = Brief(request="r", repository="repo", guidance="", limits=Limits())
    tree = TreeRef(commit=CommitId("c"), bundles=())
    job = CodeJob(brief=brief, task=task, tree=tree, files={"a.py": "x = 1\n"})
    outlined = job.model_copy(update={"files": {}, "outlines": {"a.py": "9 lines."}})

    assert "too large" not in task_text(job, CODE_PHASE, ())
    assert task_text(outlined, CODE_PHASE, ()).endswith(
        "# Files expected to change that are too large to show\n\n`a.py`: 9 lines."
    )


def test_a_coder_is_told_which_existing_tests_it_may_change_and_only_then():
    task = CodeTask(
        id=TaskId("t"), title="T", description="D", acceptance=("A",), existing_tests=("test_x.py",)
    )
    brief = Brief(request="r", repository="repo", guidance="", limits=Limits())
    tree = TreeRef(commit=CommitId("c"), bundles=())
    job = CodeJob(brief=brief, task=task, tree=tree)
    frozen = job.model_copy(update={"tests": {"test_x.py": "def test_x(): ..."}})

    assert "may be changed: test_x.py. Bring them up to date" in task_text(job, TEST_PHASE, ())
    assert "may be changed" not in task_text(frozen, CODE_PHASE, ())


def test_judges_are_told_of_existing_tests_that_may_change_and_only_then():
    tree, task = (
        TreeRef(commit=CommitId("c"), bundles=()),
        CodeTask(id=TaskId("t"), title="T", description="D", acceptance=("A",)),
    )
    job = ExamineJob(
        brief=Brief(request="r", repository="repo", guidance="", limits=Limits()),
        task=task, base=CommitId("b"), tree=tree, diff="", changes=(), added={}, red=None,
        green=TestReport(commit=CommitId("c"), command="pytest", exit_code=0),
    )  # fmt: skip
    agreed = job.task.model_copy(update={"existing_tests": ("test_x.py",)})

    assert "leave to change" not in examine_text(job)
    told = examine_text(job.model_copy(update={"task": agreed}))
    assert "leave to change these existing tests: test_x.py" in told
