"""The door to begin with: init."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import click

from actors.git.repository import BareRepository
from actors.git.source import open_source
from actors.runners.suite import detect
from cluster.configuration.sources import PROJECT_FILES, user_file
from cluster.configuration.template import project_file, users_file, write_new
from cluster.doctor import examine_quickly
from cluster.intake import routes_of
from cluster.settings import Settings
from cluster.terminal import shown
from cluster.terminal.options import common, door, say, settings_from, tell
from cluster.terminal.progress import busy
from orchestration.errors import MantaError, UsageError


@click.command()
@click.option("--repo", default=".", show_default=True, help="The repository to begin with.")
@click.option("--user", "is_user", is_flag=True, help="Your own file instead, for all of them.")
@common
@door
async def init(repo: str, is_user: bool, **options: Any) -> int:
    """Write a commented configuration, check the set-up, and say what comes next."""
    as_json = options["as_json"]
    if is_user:
        path, text = user_file(), users_file()
    else:
        place = await asyncio.to_thread(Path(repo).absolute)
        found = await _test_command(place)
        path, text = place / PROJECT_FILES[1], project_file(found)
    await asyncio.to_thread(write_new, path, text)
    tell(as_json, "written", f"{path} is written: all in it is a comment so far.", path=str(path))
    settings = settings_from(options, None if is_user else repo)
    with busy("checking the set-up", as_json=as_json):
        checks = await examine_quickly(settings)
    wrong = [check for check in checks if not check.ok]
    for check in checks if as_json else wrong:
        tell(as_json, "check", shown.check_line(check), **shown.check_facts(check))
    if not wrong:
        say("The set-up is fine.")
    next_command = _next(settings)
    tell(as_json, "next", f"Next: {next_command}", command=next_command)
    return 1 if wrong else 0


async def _test_command(place: Path) -> str:
    """How the repository's tests are run, as far as that can be told by looking.

    Raises:
        UsageError: this is no repository that could be worked on.
    """
    source = await open_source(str(place))
    with tempfile.TemporaryDirectory(prefix="manta-init-") as folder:
        repository = await BareRepository.create(Path(folder) / "look.git")
        await repository.import_bundle(source.bundle, max_bytes=len(source.bundle))
        files = [entry.path for entry in await repository.files(source.commit)]

        async def read(path: str) -> bytes:
            return await repository.read(source.commit, path)

        try:
            return (await detect(files, read)).command
        except UsageError as error:
            say(f"note: {error.what}")
            return ""


def _next(settings: Settings) -> str:
    """What a person does now."""
    try:
        routes_of(settings)
    except MantaError:
        return 'manta run "What you want" --model PROVIDER/NAME    (or manta demo: needs no key)'
    return 'manta run "What you want"'
