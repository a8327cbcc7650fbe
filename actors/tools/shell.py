"""Commands in the sandbox: to their end, or in the background."""

import re
from typing import Literal

from pydantic import Field

from actors.sandbox.protocol import ExecResult, Process, Sandbox
from actors.tools.text import decode, one_line
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool

_KEPT = 1_000_000
"""Bytes kept of each stream, head and tail. All of it goes to the journal."""
_BACKGROUND = 8
"""Background processes at once."""
_ONE_STREAM = "exec 2>&1; "
"""Put before a command, so that things stand in the order they were printed."""
_IN_FULL = f'{_ONE_STREAM}trap "$1" EXIT; shift; '
_PIPES = """
_ended=($? "${PIPESTATUS[@]}")
if [[ $_ended == 0 && $BASH_COMMAND != exit* ]]; then
  _codes="${_ended[*]:1}"
  for _one in $_codes; do
    [[ $_one == 0 || $_one == 141 ]] || { echo "[exit codes in the last pipe: $_codes]"; break; }
  done
fi"""
"""Run when a command is over: `pytest | tail` hides no failure of pytest. 141 is the end of a
program whose reader, such as `head`, had seen enough."""
_FAILED_IN_A_PIPE = re.compile(r"^\[exit codes in the last pipe: [\d ]+\]\Z", re.MULTILINE)


class _Run(Arguments):
    command: str = Field(min_length=1)
    timeout_s: float = Field(default=120.0, gt=0, le=1800)
    folder: str = "."


class _Background(Arguments):
    action: Literal["start", "output", "stop"]
    command: str = Field(default="", description="To start.")
    process: str = Field(default="", description="The name that start gave.")
    wait_s: float = Field(default=1.0, ge=0, le=60, description="For output.")


class ShellTools:
    """`run`, and `background` for what keeps running. `close` ends all of that."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._processes: dict[str, Process] = {}
        self._started = 0

    @tool
    async def run(self, arguments: _Run) -> ToolResult:
        result = await self._sandbox.exec(
            ["bash", "-c", _IN_FULL + arguments.command, "bash", _PIPES],
            timeout_s=arguments.timeout_s,
            cwd=arguments.folder,
            max_output=_KEPT,
        )
        return told(result, arguments.timeout_s)

    @tool
    async def background(self, arguments: _Background) -> ToolResult:
        match arguments.action:
            case "start":
                return await self._start(arguments)
            case "output":
                return await self._output(arguments)
            case "stop":
                process = self._named(arguments.process)
                await process.kill()
                del self._processes[arguments.process]
                return ToolResult(f"{arguments.process} and all its children are stopped.")

    async def close(self) -> None:
        processes, self._processes = list(self._processes.values()), {}
        for process in processes:
            await process.kill()

    async def _start(self, arguments: _Background) -> ToolResult:
        if not arguments.command:
            raise ToolError("Give the `command` to start.")
        if len(self._processes) >= _BACKGROUND:
            names = ", ".join(self._processes)
            raise ToolError(f"{_BACKGROUND} processes run already ({names}). Stop one first.")
        command = ["bash", "-c", _ONE_STREAM + arguments.command]
        process = await self._sandbox.spawn(command)
        self._started += 1
        name = f"process-{self._started}"
        self._processes[name] = process
        return ToolResult(f"Started {name}. See what it prints with action output.")

    async def _output(self, arguments: _Background) -> ToolResult:
        process = self._named(arguments.process)
        text = decode(await process.read(timeout_s=arguments.wait_s))
        ended = await process.wait(timeout_s=0.0)
        if ended is None:
            return ToolResult(text or "(nothing new; still running)")
        while more := await process.read(timeout_s=0.0):
            text += decode(more)
        del self._processes[arguments.process]
        state = f"[{arguments.process} has ended: {_ending(ended, None)}]"
        return ToolResult(f"{text}\n{state}".lstrip(), exit_code=ended.exit_code, ok=ended.ok)

    def _named(self, name: str) -> Process:
        if name not in self._processes:
            known = ", ".join(self._processes) or "none"
            raise ToolError(f"No process {one_line(name, 80)!r} runs. Running: {known}.")
        return self._processes[name]


def told(result: ExecResult, timeout_s: float) -> ToolResult:
    """What a command did, as the model sees it."""
    parts = [_stream(result.stdout, result.stdout_total)]
    if result.stderr:
        parts.append(f"--- stderr ---\n{_stream(result.stderr, result.stderr_total)}")
    if result.ended != "exited":
        parts.append(f"[{_ending(result, timeout_s)}; the whole process tree has been ended]")
    text = "\n".join(part for part in parts if part)
    ok = result.ok and not _FAILED_IN_A_PIPE.search(text)
    return ToolResult(
        text or "(no output)", ok=ok, exit_code=result.exit_code, seconds=result.seconds
    )


def _stream(data: bytes, total: int) -> str:
    text = decode(data).rstrip("\n")
    if total <= len(data):
        return text
    return f"[{total - len(data):,} of {total:,} bytes were not kept]\n{text}"


def _ending(result: ExecResult, timeout_s: float | None) -> str:
    match result.ended:
        case "exited":
            return f"exit code {result.exit_code}"
        case "signaled":
            return f"ended by signal {result.signal}"
        case "timeout":
            return f"no end after {timeout_s:g} s" if timeout_s else "timeout"
        case "oom":
            return "out of memory"
        case "output_limit":
            return "printed too much"
        case "cancelled" | "lost":
            return str(result.ended)
