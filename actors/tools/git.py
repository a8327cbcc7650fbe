"""Looking at the work with git, inside the sandbox."""

from pydantic import Field

from actors.sandbox.protocol import Sandbox
from actors.tools.files import canonical
from actors.tools.text import decode, one_line
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool

_GIT = ["git", "--no-optional-locks", "--no-pager", "-c", "color.ui=never"]
_TIMEOUT_S = 30.0


class _GitStatus(Arguments):
    pass


class _GitDiff(Arguments):
    since: str = Field(default="HEAD", pattern=r"^\w[\w./~^-]*$")
    path: str = "."


class _GitLog(Arguments):
    count: int = Field(default=10, ge=1, le=100)
    path: str = "."


class GitTools:
    """`git_status`, `git_diff`, `git_log`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @tool
    async def git_status(self, _arguments: _GitStatus) -> ToolResult:
        return ToolResult(await self._git("status", "--short") or "Nothing has changed.")

    @tool
    async def git_diff(self, arguments: _GitDiff) -> ToolResult:
        path = canonical(arguments.path)
        plain = ["--no-ext-diff", "--no-textconv"]  # show the change, run no program for it
        diff = await self._git("diff", *plain, arguments.since, "--", path)
        new = await self._git("ls-files", "--others", "--exclude-standard", "--", path)
        if new:
            diff = f"{diff}\nNew files, not in the diff:\n{new}".lstrip()
        return ToolResult(diff or "No change.")

    @tool
    async def git_log(self, arguments: _GitLog) -> ToolResult:
        form = "--format=%h %as %an: %s"
        path = canonical(arguments.path)
        log = await self._git("log", form, f"-{arguments.count}", "--", path)
        return ToolResult(log or "No commit.")

    async def _git(self, *arguments: str) -> str:
        result = await self._sandbox.exec([*_GIT, *arguments], timeout_s=_TIMEOUT_S)
        if not result.ok:
            raise ToolError(one_line(decode(result.stderr), 500) or "git failed.")
        return decode(result.stdout).rstrip("\n")
