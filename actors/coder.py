"""The coder: writes the failing test, then the code that makes it pass."""

from pathlib import Path

from pydantic import Field

from actors.assignments import CodeJob, Handed
from actors.briefs import TEXT_SHOWN, listed, others_text, told
from actors.linter import lint
from actors.player import Player, Task
from actors.sandbox.protocol import Sandbox
from actors.tools.kits import coding_tools
from actors.tools.text import neutralise, one_line
from orchestration.errors import RunFailedError
from orchestration.ids import BlobId, CommitId, StepGrant
from orchestration.kinds import is_test_path
from orchestration.messages import Frozen, TreeRef

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")


GIT_SECONDS = 60.0
BLOCKED_SHOWN = 1_000
"""Characters of the reason why a part cannot be done."""


class Written(Frozen):
    """The coder's answer once the workspace holds its work."""

    title: str = Field(min_length=1, max_length=72)
    """Title of the commit that holds this part of the work, in the style of the log."""
    notes: str = ""
    """Body of the commit: what a later reader should know of choices made and cases left out."""
    blocked: str = ""
    """Only where no work can be right, as when a frozen test contradicts the task: which line, and
    why. The task is then planned anew."""


class BlockedError(RunFailedError):
    """The coder found that its part cannot be done as it stands."""


class Coder(Player):
    """Owns one workspace per task, in which its test and its code are written; two where the run
    wants them apart."""

    role = "coder"

    async def write_test(self, job: CodeJob, grant: StepGrant) -> Handed:
        """A commit on `job.tree` with tests for the task and nothing else."""
        return await self._write(job, grant, TEST_PHASE)

    async def write_code(self, job: CodeJob, grant: StepGrant) -> Handed:
        """A commit on `job.tree` that makes the frozen tests pass, heeding the feedback.

        For a task that changes no behaviour: one that keeps everything passing.
        """
        upkeep = FIRST_TESTS_PHASE if job.first_tests else UPKEEP_PHASE
        return await self._write(job, grant, CODE_PHASE if job.task.changes_behaviour else upkeep)

    async def _write(self, job: CodeJob, grant: StepGrant, phase: str) -> Handed:
        hands = self.hands
        upstream = job.upstream.bundles if job.upstream else ()
        start = TreeRef(commit=job.tree.commit, bundles=(*upstream, *job.tree.bundles))
        rival = {"candidate": str(job.candidate)} if job.candidate > 1 else {}
        apart = {"part": "test"} if job.apart and phase is TEST_PHASE else {}
        sandbox = await hands.workspace(
            grant, start, base=None, task=job.task.id, role=self.role, **rival, **apart
        )
        conflicts = await merge_upstream(sandbox, job.upstream) if job.upstream else ()
        await hands.redo(grant, sandbox)
        text = task_text(job, phase, conflicts)
        shown = [files for files in (job.tests, job.files) if are_shown(files)]
        task = Task(PROMPT, text, Written, job.task.difficulty, shown=frozenset().union(*shown))
        written = await self.think(coding_tools, sandbox, task, job.brief, grant)
        if written.blocked.strip():
            why = one_line(neutralise(written.blocked), BLOCKED_SHOWN)
            raise BlockedError(f"the coder cannot do it as it stands: {why}", "plan it anew")
        if phase is not TEST_PHASE:
            await lint(self, sandbox, job, grant)
        commit, bundle = await sandbox.git_export(job.tree.commit, message=written.title)
        blob = await hands.journal.put_blob(bundle) if commit else BlobId("")
        return Handed(
            commit=CommitId(commit), bundle=blob, title=written.title, notes=written.notes
        )


async def merge_upstream(sandbox: Sandbox, upstream: TreeRef) -> tuple[str, ...]:
    """Merge the moved integration branch into the workspace, once; the paths that conflict."""
    merge = ["git", "merge", "--quiet", "--no-commit", "--no-ff", upstream.commit]
    await sandbox.exec(merge, timeout_s=GIT_SECONDS)
    unmerged = ["git", "diff", "--name-only", "--diff-filter=U", "-z"]
    listing = await sandbox.exec(unmerged, timeout_s=GIT_SECONDS)
    return tuple(p for p in listing.stdout.decode(errors="replace").split("\0") if p)


TEST_PHASE = """# Your part: the test, and only the test

Another step writes the code. Write tests that show that it is missing.

- Put them into a new test file where the repository's layout allows: other tasks may be worked on
  at the same time. Touch nothing but tests, whatever the description says of code.
- Cover each acceptance criterion. Every new test function must run and fail now because the
  behaviour is missing: by a failed assertion, by the error that the task is about, or by a name
  that does not exist yet. What holds already may be pinned beside it, in the same function.
- Import names that do not exist yet inside the tests that need them, so that each test fails by
  itself and not the whole file.
- Tests that passed before must still pass. Do not skip, and do not expect failure.
- Run them, see them fail for the right reason, then call `finish`."""

CODE_PHASE = """# Your part: the code that makes the frozen tests pass

The tests below are in the workspace already. They failed without the code, and are frozen now: any
change to them, or to other tests, fails the task.

- Change what the task needs; docs and changelog too where the repository keeps them, unless the
  task says otherwise. Whatever the description says of tests is done.
- Run the whole suite before you call `finish`: everything that passed before must still pass."""

UPKEEP_PHASE = """# Your part: the whole task

It changes no behaviour (documentation, names, structure), so no test is written for it.

- Change what the task needs, and no test: every change to tests fails the task.
- Whoever calls this code must notice nothing. Where you find that behaviour has to change after
  all, say so in the notes and leave it.
- Run the whole suite before you call `finish`: everything that passed before must still pass."""

FIRST_TESTS_PHASE = """# Your part: the whole task

It changes no behaviour, and the repository has no tests yet. You may add the first ones: they pin
what the code does today.

- Put them where the test command collects them, and change no code unless the task asks for it.
  Settings of the test runner (conftest.py and the like) stay out: keep fixtures in the test files.
- Each new test must run and pass, and would fail if what it pins were broken.
- Run the whole suite before you call `finish`."""

MERGING = """# Other work was merged meanwhile

It has been merged into your workspace. {state} Keep what both sides mean to do."""


def task_text(job: CodeJob, phase: str, conflicts: tuple[str, ...]) -> str:
    """The task as the coder is told it."""
    parts = [
        phase,
        f"# The task: {job.task.title}\n\n{job.task.description}",
        f"It is done when\n{listed(job.task.acceptance)}",
        expected_files(job),
        pinned_text(job),
        others_text(job.builds_on, job.others),
        told(job.brief),
    ]
    if job.tests:
        parts.append(f"# The frozen tests\n\n{texts(job.tests)}")
    if job.files:
        parts.append(f"# Files expected to change, as they are now\n\n{texts(job.files)}")
    if job.outlines:
        large = "\n\n".join(f"`{path}`: {said}" for path, said in job.outlines.items())
        parts.append(f"# Files expected to change that are too large to show\n\n{large}")
    if job.upstream is not None:
        parts.append(MERGING.format(state=merge_state(conflicts)))
    if job.feedback:
        parts.append(
            "# What the last round found wanting\n\nMend all of it, with the smallest change:\n"
            f"{listed(job.feedback)}"
        )
    return "\n\n".join(part for part in parts if part)


def expected_files(job: CodeJob) -> str:
    """The planned files that this part may touch."""
    wanted = [path for path in job.task.files if is_test_path(path) is not job.writes_code]
    return f"Files expected to change: {', '.join(wanted)}" if wanted else ""


def pinned_text(job: CodeJob) -> str:
    """The existing tests that a task has leave to change, where this part is the tests."""
    if job.writes_code or not job.task.existing_tests:
        return ""
    return (
        "These existing tests pin what is to change, and may be changed: "
        f"{', '.join(job.task.existing_tests)}. Bring them up to date: what you change in them has "
        "to fail now, like the new tests."
    )


def are_shown(files: dict[str, str]) -> bool:
    """Whether files are short enough to be shown in full."""
    return sum(map(len, files.values())) <= TEXT_SHOWN


def texts(files: dict[str, str]) -> str:
    """Files in full, or only their names where they are long."""
    if not are_shown(files):
        return f"Read them first: {', '.join(files)}"
    return "\n\n".join(f"`{path}`\n```\n{text}\n```" for path, text in files.items())


def merge_state(conflicts: tuple[str, ...]) -> str:
    """What is left to do after the merge."""
    if not conflicts:
        return "There is no textual conflict, but the merged tests fail: find out why."
    return f"Resolve the conflict markers in: {', '.join(conflicts)}."
