"""`python -m actors.lsp --root DIR`: the MCP server, with nothing but Python."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from actors.lsp.door import Door
from actors.lsp.languages import Language, LanguagesError, load
from actors.lsp.tools import LanguageTools

IDLE_S = 600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stdin ends; 2 if it cannot be begun."""
    given = _parser().parse_args(arguments)
    if not given.root.is_dir():
        sys.stderr.write(f"manta lsp: {given.root} is no directory; name one with --root\n")
        return 2
    try:
        languages = load(given.languages)
    except LanguagesError as error:
        sys.stderr.write(f"manta lsp: {error}\n")
        return 2
    if given.check:
        sys.stdout.write(json.dumps(_found(languages)) + "\n")
        return 0
    tools = LanguageTools(given.root, languages)
    asyncio.run(Door(tools, idle_s=given.idle_stop).serve())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manta lsp",
        description="Definitions, references, types, diagnostics and renames as an MCP server on "
        "stdin and stdout. Language servers are started when first asked for.",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the project (default: here)")
    parser.add_argument(
        "--languages", type=Path, metavar="FILE", help='JSON: {"languages": {NAME: {...}}}'
    )
    parser.add_argument(
        "--idle-stop", type=float, default=IDLE_S, metavar="SECONDS",
        help="end a language server that nobody asked for so long (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true", help="say which language servers are here, and end"
    )
    return parser


def _found(languages: Sequence[Language]) -> list[dict[str, object]]:
    """Each language, and where its server is."""
    return [
        {
            "language": language.name,
            "command": language.command[0],
            "program": language.program(),
            "extensions": list(language.extensions),
            "install": language.install,
        }
        for language in languages
    ]


if __name__ == "__main__":
    sys.exit(main())
