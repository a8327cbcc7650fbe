"""Which tools a role has."""

from collections.abc import Set

from actors.sandbox.protocol import Sandbox
from actors.tools.archive import Archive
from actors.tools.files import FileTools
from actors.tools.git import GitTools
from actors.tools.recall import Recaller, RecallTools
from actors.tools.remember import NoteTools
from actors.tools.search import SearchTools
from actors.tools.shell import ShellTools
from actors.tools.tool import Toolset
from actors.tools.toolset import FunctionToolset
from actors.tools.wrappers import FilteredToolset

CHANGES = frozenset({"write", "edit"})
RUNS = frozenset({"run", "background"})
LOOKS = frozenset({"read", "list_files", "glob", "grep", "recall"})
"""What every role needs. What a role does not is left out: each turn pays for the whole list."""


def coding_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """A coder reads, writes and runs."""
    return _tools(
        LOOKS | CHANGES | RUNS | {"git_status", "git_diff", "remember"}, sandbox, archive, recaller
    )


def judging_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """A reviewer or analyst reads and runs, and changes nothing."""
    return _tools(LOOKS | {"run", "git_diff"}, sandbox, archive, recaller)


def reading_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """An architect plans: it reads alone, where the others would `run` git."""
    return _tools(LOOKS | {"git_log", "remember"}, sandbox, archive, recaller)


def mending_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """A linter mends lines that it is shown, and runs what complained of them."""
    return _tools({"read", "edit", "grep", "recall", "run"}, sandbox, archive, recaller)


def _tools(names: Set[str], sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    every = FunctionToolset(
        FileTools(sandbox, archive),
        SearchTools(sandbox),
        ShellTools(sandbox),
        GitTools(sandbox),
        RecallTools(archive, recaller),
        NoteTools(),
    )
    return FilteredToolset(every, names.__contains__)
