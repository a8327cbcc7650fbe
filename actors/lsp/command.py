"""`manta lsp`: the same program behind Manta's own front door."""

import sys

import click

from actors.lsp.__main__ import main


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    short_help="Serve code questions (definitions, references, renames) to any MCP client.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lsp(arguments: tuple[str, ...]) -> None:
    """Serve code questions to any MCP client; see `manta lsp --help`."""
    sys.exit(main(list(arguments)))
