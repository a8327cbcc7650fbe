"""Commands in the sandbox: to their end, or in the background."""

from pydantic import Field

from actors.sandbox.protocol import ExecResult, Process, Sandbox
from actors.tools.text import decode, one_line
from actors.tools.tool import ToolError, ToolResult
from actors.tools.toolset import Arguments, tool

_KEPT = 1_000_000
"""Bytes kept of each stream, head and tail. All of it goes to the journal."""
_BACKGROUND = 8
"""Background processes at once."""


class _Run(Arguments):
    command: str = Field(min_length=1, description="Run by bash in the workspace.")
    timeout_s: float = Field(default=120.0, gt=0, le=1800)
    folder: str = Field(default=".", description="Where to run it, relative to the workspace.")


class _Start(Arguments):
    command: str = Field(min_length=1)
    folder: str = "."


class _Output(Arguments):
    process: str = Field(description="The name that `start` gave.")
    wait_s: float = Field(default=1.0, ge=0, le=60, description="How long to wait for output.")


class _Stop(Arguments):
    process: str


class ShellTools:
    """`run`, and `start`, `output`, `stop` for what keeps running. `close` ends all of these."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._processes: dict[str, Process] = {}
        self._started = 0

    @tool
    async def run(self, arguments: _Run) -> ToolResult:
        result = await self._sandbox.exec(
            _one_stream(arguments.command),
            timeout_s=arguments.timeout_s,
            cwd=arguments.folder,
            max_output=_KEPT,
        )
        return told(result, arguments.timeout_s)

    @tool
    async def start(self, arguments: _Start) -> ToolResult:
        if len(self._processes) >= _BACKGROUND:
            names = ", ".join(self._processes)
            raise ToolError(f"{_BACKGROUND} processes run already ({names}). Stop one first.")
        command = _one_stream(arguments.command)
        process = await self._sandbox.spawn(command, cwd=arguments.folder)
        self._started += 1
        name = f"process-{self._started}"
        self._processes[name] = process
        return ToolResult(f"Started {name}. See what it prints with `output`.")

    @tool
    async def output(self, arguments: _Output) -> ToolResult:
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

    @tool
    async def stop(self, arguments: _Stop) -> ToolResult:
        process = self._named(arguments.process)
        await process.kill()
        del self._processes[arguments.process]
        return ToolResult(f"{arguments.process} and all its children are stopped.")

    async def close(self) -> None:
        processes, self._processes = list(self._processes.values()), {}
        for process in processes:
            await process.kill()

    def _named(self, name: str) -> Process:
        if name not in self._processes:
            known = ", ".join(self._processes) or "none"
            raise ToolError(f"No process {one_line(name, 80)!r} runs. Running: {known}.")
        return self._processes[name]


def _one_stream(command: str) -> list[str]:
    """The command with stderr in stdout, so that things stand in the order they were printed."""
    return ["bash", "-c", 'exec 2>&1; eval "$1"', "bash", command]


def told(result: ExecResult, timeout_s: float) -> ToolResult:
    """What a command did, as the model sees it."""
    parts = [_stream(result.stdout, result.stdout_total)]
    if result.stderr:
        parts.append(f"--- stderr ---\n{_stream(result.stderr, result.stderr_total)}")
    if result.ended != "exited":
        parts.append(f"[{_ending(result, timeout_s)}; the whole process tree has been ended]")
    text = "\n".join(part for part in parts if part)
    return ToolResult(
        text or "(no output)", ok=result.ok, exit_code=result.exit_code, seconds=result.seconds
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
