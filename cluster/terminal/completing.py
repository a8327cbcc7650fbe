"""Completing `manta` commands in a shell. A key is waited for: nothing heavy is imported here.

Shells ask by running `manta` with `_MANTA_COMPLETE` set, as click does it. Where a run's id is
wanted, the command itself (and Ray with it) is not loaded at all.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

ASKED = "_MANTA_COMPLETE"
TAKE_RUNS = frozenset(
    ("show", "watch", "approve", "reject", "resume", "cancel", "fetch", "fork", "verify", "replay")
)
"""Commands whose first argument is a run's id."""
MOST = 50


def wants_run(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a shell asks for what follows `manta NAME`, and it is no option."""
    last = environ.get("COMP_WORDS", "").rpartition(" ")[2]
    return ASKED in environ and name in TAKE_RUNS and not last.startswith("-")


def known_runs(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Runs of this state directory, the newest first.

    Their repositories tell, for the store is locked by whoever has it open.
    """
    words = os.environ.get("COMP_WORDS", "").split()
    folder = state_dir(words, os.environ) / "repositories"
    try:
        found = sorted(folder.glob("[!.]*.git"), key=lambda path: -path.stat().st_mtime)
    except OSError:
        return []
    return [CompletionItem(path.stem) for path in found if path.stem.startswith(begun)][:MOST]


def stand_in(name: str) -> click.Command:
    """In place of a command while its run is completed: every option is passed over."""
    return click.Command(
        name,
        params=[
            click.Option(["--state-dir"], type=click.Path()),
            click.Argument(["run"], required=False, shell_complete=known_runs),
        ],
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def state_dir(words: Sequence[str], environ: Mapping[str, str]) -> Path:
    """Where runs are kept, as `cluster.settings` has it, without loading that."""
    after = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--state-dir"]
    config = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    named = [*after, environ.get("MANTA_STATE_DIR"), _in_file(config / "manta" / "config.toml")]
    home = Path(environ.get("XDG_STATE_HOME") or "~/.local/state") / "manta"
    return Path(next(filter(None, named), home)).expanduser()


def _in_file(file: Path) -> str:
    try:
        return str(tomllib.loads(file.read_text("utf-8")).get("state_dir", ""))
    except (OSError, ValueError):
        return ""
