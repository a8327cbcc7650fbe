"""Which tools a role has."""

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

CHANGES = {"write", "edit"}
RUNS = {"run", "start", "output", "stop"}


def coding_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """Everything: a coder reads, writes and runs."""
    return FunctionToolset(
        FileTools(sandbox, archive),
        SearchTools(sandbox),
        ShellTools(sandbox),
        GitTools(sandbox),
        RecallTools(archive, recaller),
        NoteTools(),
    )


def judging_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """Reading and running: a reviewer or analyst changes nothing."""
    tools = coding_tools(sandbox, archive, recaller)
    return FilteredToolset(tools, lambda name: name not in CHANGES)


def reading_tools(sandbox: Sandbox, archive: Archive, recaller: Recaller) -> Toolset:
    """Reading alone: an architect plans."""
    tools = coding_tools(sandbox, archive, recaller)
    return FilteredToolset(tools, lambda name: name not in CHANGES | RUNS)
