"""A run's change so far: delivered, asked about, or on its way."""

from actors.run_repository import RunRepository
from cluster.desk.known import knowledge, questions
from cluster.intake import repository_path
from cluster.runs.follow import delivered
from cluster.settings import Settings
from orchestration.errors import GitError, NotFoundError
from orchestration.ids import RunId
from orchestration.messages import TreeRef
from orchestration.workflow.journal import Journal

DIFF_LIMIT = 8_000_000
"""Bytes of a diff that people may leaf through."""


async def change(settings: Settings, journal: Journal, run_id: RunId) -> str:
    """The run's change so far, as a unified diff.

    Raises:
        NotFoundError: nothing is changed yet.
    """
    request, tree = await _trees(journal, run_id)
    if tree is not None and tree.commit != request.commit:
        try:
            path = repository_path(settings, run_id)
            repository = await RunRepository.open(path, journal)
            return await repository.diff(request, tree, max_bytes=DIFF_LIMIT)
        except (GitError, NotFoundError):
            pass  # its objects are gone; the question may still show the change
    for question in await questions(journal, run_id):
        if question.request.gate == "delivery":
            return question.request.body
    raise NotFoundError(f"run {run_id} has changed nothing yet", "look again when a task is merged")


async def _trees(journal: Journal, run_id: RunId) -> tuple[TreeRef, TreeRef | None]:
    known = await knowledge(journal, run_id)
    delivery = await delivered(journal, run_id)
    if delivery is not None and delivery.branch:
        return known.request.base, delivery.tree
    return known.request.base, known.dossier.tree if known.dossier else None
