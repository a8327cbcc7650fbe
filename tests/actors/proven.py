"""A delivery of one task, as real commits, with the evidence that a run would write."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.evidence import Environment, Evidence
from actors.git.repository import BareRepository
from orchestration.ids import CommitId, RunId, TaskId
from orchestration.messages import CodeTask, TaskEvidence, Usage
from orchestration.proof import Outcome, Review, TestCase, TestReport
from tests.actors.git.checkout import Checkout

BASE = {
    "greet.py": "def hello(name):\n    return f'Hello {name}'\n",
    "tests/test_hello.py": "import greet\ndef test_hello(): assert 'Ada' in greet.hello('Ada')\n",
}
TEST = {
    "tests/test_bye.py": "from greet import bye\n\ndef test_bye(): assert bye('Ada') == 'Bye Ada'\n"
}
CODE = {"greet.py": BASE["greet.py"] + "\ndef bye(name):\n    return f'Bye {name}'\n"}
HELLO, BYE = "tests/test_hello.py::test_hello", "tests/test_bye.py::test_bye"
COMMAND = "python -m pytest"
YES = Review(approved=True, summary="fine")


def report(commit: str, *passed: str, failed: str = "") -> TestReport:
    cases = [TestCase(id=id_, outcome=Outcome.PASSED) for id_ in passed]
    if failed:
        why = "ImportError: cannot import name 'bye' from 'greet'"
        cases.append(TestCase(id=failed, outcome=Outcome.ERROR, message=why))
    return TestReport(
        commit=CommitId(commit), command=COMMAND, cases=tuple(cases), exit_code=int(bool(failed))
    )


@dataclass
class Proven:
    """The commits, and what the suite says at each."""

    checkout: Checkout
    base: CommitId
    test: CommitId
    code: CommitId
    evidence: Evidence

    @property
    def reports(self) -> dict[CommitId, TestReport]:
        return {
            self.base: report(self.base, HELLO),
            self.test: report(self.test, HELLO, failed="tests/test_bye.py"),
            self.code: report(self.code, HELLO, BYE),
        }

    async def bare(self, place: Path) -> BareRepository:
        """A repository of ours with all of it."""
        bare = await BareRepository.create(place)
        await bare.import_bundle(await asyncio.to_thread(self.checkout.bundle, "--all"))
        return bare


def prove(place: Path, code: Mapping[str, str | bytes | None] = CODE) -> Proven:
    checkout = Checkout(place)
    base, test = (CommitId(checkout.commit(files)) for files in (BASE, TEST))
    work = CommitId(checkout.commit(code))
    checkout.git("branch", "manta/run")
    blob = checkout.git("rev-parse", f"{test}:tests/test_bye.py")
    task = TaskEvidence(
        task=CodeTask(id=TaskId("bye"), title="Say bye", description="d", acceptance=("a",)),
        base=base,
        test_commit=test,
        commit=work,
        merged=work,
        test_files={"tests/test_bye.py": blob},
        red=report(test, failed="tests/test_bye.py"),
        green=report(work),
        review=YES,
        audit=YES,
    )
    evidence = Evidence(
        run_id=RunId("say-bye-1"),
        request="Say bye",
        repository="project",
        base=base,
        branch="manta/run",
        commit=work,
        models=("scripted",),
        tasks=(task,),
        final=report(work),
        usage=Usage(),
        environment=Environment(python="3", system="test"),
    )
    return Proven(checkout, base, test, work, evidence)
