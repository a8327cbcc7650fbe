"""Options that doors share, and how flags become settings."""

import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ParamSpec

import click

from cluster.configuration.sources import Loaded, load_settings, unknown_variables
from cluster.machines.reach import is_overheard
from cluster.runs.budgets import parse_budget
from cluster.settings import Settings
from cluster.terminal.mishaps import in_words
from orchestration.errors import MantaError

P = ParamSpec("P")
SCHEMA = 1
"""Version of the JSON lines."""
INTERRUPTED = 130
CUT_OFF = 141
"""Exit code where nobody reads on, as of a program that SIGPIPE ends."""


def chained(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several click options as one decorator, shown in the order given."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


RUN_ID = click.argument("run_id", metavar="RUN")
common = chained(
    click.option("--state-dir", type=click.Path(path_type=Path), help="Where runs are kept."),
    click.option("--address", help="A running Ray cluster, HOST:PORT or auto."),
    click.option("--json", "as_json", is_flag=True, help="JSON lines on stdout."),
)
pr_server = click.option(
    "--pr-server", metavar="NAME", help="An MCP server of yours that opens it, instead of gh."
)
afar = click.option("--hall", metavar="URL", help="A hall elsewhere: what `manta web` printed.")
asking = click.option(
    "--no-ask", is_flag=True, help="Exit with code 3 at a gate, even where you could be asked here."
)
running = chained(
    click.option("--repo", default=".", show_default=True, help="Path or URL of the repository."),
    click.option("--ref", default="HEAD", show_default=True, help="What to build on."),
    click.option("--run-id", help="Submitting the same id again attaches to the run."),
    click.option("--model", help="PROVIDER/NAME, for example anthropic/claude-sonnet-4-5."),
    click.option("--api-base", help="URL of an OpenAI-compatible endpoint."),
    click.option("--approve", help="Gates that wait for you: plan, delivery, or both."),
    click.option("--allow", help="Gates that need not: tests, deletions, or both."),
    click.option("--budget", help="For the whole run: money, tokens, time, such as 5usd,3Mtok,2h."),
    click.option(
        "--rule",
        "tool_rules",
        multiple=True,
        metavar="RULE",
        help="allow, ask or deny TOOL [PATTERN], such as 'ask run *curl*'. Several times.",
    ),
    click.option("--sandbox", help="local, container, e2b, daytona, or none: a bare process."),
    click.option(
        "--deliver",
        type=click.Choice(["branch", "patch", "pr"]),
        help="A new branch (default), a patch file, or a pull request on origin, by gh.",
    ),
    pr_server,
    click.option("--workflow", help="A delivery of your own, MODULE:FUNCTION."),
    click.option("--test-command", help="Overrides the detected test runner."),
    click.option("--setup", help="Makes workspaces ready, once per run, such as `npm ci`."),
    click.option("--setup-egress", help="What it may reach: HOST:PORT, ..."),
    click.option("--mcp", type=click.Path(path_type=Path), help="A .mcp.json of your own."),
    click.option("--trust-mcp", help="Digest of the repository's .mcp.json, once you saw it."),
    click.option("--lsp", type=click.Choice(["auto", "on", "off"]), help="Language servers."),
    click.option("--record", type=click.Path(path_type=Path), help="Keep model replies here."),
    click.option("--replay", type=click.Path(path_type=Path), help="Play a recording back."),
)
SETTING_FLAGS = (
    *("address", "model", "api_base", "approve", "sandbox", "workflow", "test_command"),
    *("setup", "setup_egress", "allow", "trust_mcp", "lsp", "deliver", "pr_server", "hall"),
)


def settings_from(options: dict[str, Any], repository: str | None = None) -> Settings:
    """Settings from a command's options, the environment and the files.

    Raises:
        UsageError: something in them is unknown or wrong; says where.
    """
    return loaded_from(options, repository).settings


def loaded_from(options: dict[str, Any], repository: str | None = None) -> Loaded:
    """Settings as `settings_from` gives them, with where each came from."""
    flags = {name: options.get(name) for name in SETTING_FLAGS}
    if options.get("budget"):
        flags["budget"] = parse_budget(options["budget"]).model_dump(exclude_none=True)
    if options.get("tool_rules"):
        flags["tool_rules"] = list(options["tool_rules"])
    for name in ("state_dir", "mcp"):
        if options.get(name):
            flags[name] = options[name].absolute()
    for name, meant in unknown_variables(os.environ).items():
        hint = f" (did you mean {meant}?)" if meant else ""
        say(f"{name} is not a setting{hint}; ignored")
    folder = Path(repository) if repository else None
    local = folder if folder and folder.is_dir() else None
    loaded = load_settings(flags, repository=local)
    if loaded.settings.hall and is_overheard(loaded.settings.hall):
        say(f"warning: others can read what is sent to {loaded.settings.hall}, the token too:")
        say("  use https or a tunnel")
    return loaded


def person() -> str:
    """Whoever sits here, as decisions name them."""
    return os.environ.get("USER") or "somebody"


def say(text: str) -> None:
    """A line for people; data goes to stdout, everything else here."""
    click.echo(text, err=True)


def tell(as_json: bool, kind: str, human: str, /, **data: Any) -> None:
    """One result: a JSON line, or text for people, on stdout."""
    click.echo(json.dumps({"v": SCHEMA, "type": kind, **data}) if as_json else human)


def door(command: Callable[P, Coroutine[Any, Any, int]]) -> Callable[P, None]:
    """Run an async command; its number is the exit code, its errors are one sentence and a fix."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = asyncio.run(command(*args, **kwargs))
            sys.stdout.flush()
        except KeyboardInterrupt:
            say("interrupted; a run that was started goes on: see `manta runs`")
            code = INTERRUPTED
        except BrokenPipeError:  # whoever read it has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = CUT_OFF
        except Exception as error:  # noqa: BLE001 - a door: nobody is shown a traceback
            code = complain(in_words(error), as_json=bool(kwargs.get("as_json")))
            sys.stdout.flush()
        raise SystemExit(code)

    return run


def complain(error: MantaError, *, as_json: bool) -> int:
    """Show an error; returns its exit code."""
    if as_json:
        tell(True, "error", "", what=error.what, fix=error.fix, exit_code=error.exit_code)
    say(f"manta: {error.what}")
    if error.fix:
        say(f"  fix: {error.fix}")
    return error.exit_code
