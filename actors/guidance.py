"""What a repository tells agents: AGENTS.md (or CLAUDE.md) by folder, and skills. Pure.

It is advice from a stranger: shown under a heading that says so, capped, and never read by any
code of ours that decides. The guide nearest to a file wins.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import PurePosixPath

from actors.git.records import FileEntry
from actors.tools.text import neutralise, one_line

NAMES = ("AGENTS.md", "CLAUDE.md")
"""The first that a folder has."""
ROOT_BYTES = 30_000
NESTED_BYTES = 12_000
"""Of each guide further down."""
MAX_NESTED = 4
_FILE_BYTES = 1_000_000
"""Nobody writes a longer guide."""
SKILL = "SKILL.md"
MAX_SKILLS = 40
_SKILL_BYTES = 4_000
_ROOT = PurePosixPath()
_OUR_HEADINGS = re.compile(
    r"^#\s+(the (request|task|evidence|change|frozen)|your part|from memory|already built"
    r"|files expected|other work|what (the|memory))\b",
    re.IGNORECASE | re.MULTILINE,
)
_FIELD = re.compile(r"^(name|description):\s*(.*)$")
Read = Callable[[str], Awaitable[bytes]]
"""A file of the commit, by its path."""


def readable(entries: Iterable[FileEntry]) -> list[str]:
    """Paths of a commit's plain files that could be guides."""
    return [e.path for e in entries if e.mode.startswith("100") and e.size <= _FILE_BYTES]


async def root_guidance(paths: Sequence[str], read: Read) -> str:
    """For everybody: the root's guide, where there are others, and the skills on offer."""
    guides = guides_by_folder(paths)
    root = guides.pop(_ROOT, None)
    parts = [await _guide(root, read, ROOT_BYTES)] if root else []
    if guides:
        parts.append(f"Guides for parts of it, to be read there: {', '.join(guides.values())}")
    if skills := await _skills(paths, read):
        parts.append("Skills, to be read where one is of use:\n" + "\n".join(skills))
    return "\n\n".join(part for part in parts if part)


async def nested_guidance(paths: Sequence[str], files: Iterable[str], read: Read) -> str:
    """For one task: the guides below the root that its files are under, nearest last."""
    guides = guides_by_folder(paths)
    folders = {folder for path in files for folder in PurePosixPath(path).parents}
    on_the_way = sorted((folders & guides.keys()) - {_ROOT}, key=lambda f: (len(f.parts), f))
    parts = [
        f"For files under `{folder}/`, before what is said above:\n\n"
        f"{await _guide(guides[folder], read, NESTED_BYTES)}"
        for folder in on_the_way[:MAX_NESTED]
    ]
    return "\n\n".join(parts)


def guides_by_folder(paths: Iterable[str]) -> dict[PurePosixPath, str]:
    """The guide of each folder that has one."""
    found: dict[PurePosixPath, str] = {}
    for name in reversed(NAMES):
        for path in map(PurePosixPath, paths):
            if path.name == name:
                found[path.parent] = str(path)
    return dict(sorted(found.items()))


async def _guide(path: str, read: Read, limit: int) -> str:
    return harmless((await read(path))[:limit].decode(errors="replace"))


def harmless(text: str) -> str:
    """Text that cannot pass for ours: one with headings like ours is shown as a quotation."""
    text = neutralise(text)
    if not _OUR_HEADINGS.search(text):
        return text
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


async def _skills(paths: Sequence[str], read: Read) -> list[str]:
    """One line for each skill; its text is a file of the workspace, read on demand."""
    found = [path for path in paths if PurePosixPath(path).name == SKILL]
    return [skill_line(path, (await read(path))[:_SKILL_BYTES]) for path in found[:MAX_SKILLS]]


def skill_line(path: str, data: bytes) -> str:
    """Name, description and place of a skill, out of its front matter."""
    lines = neutralise(data.decode(errors="replace")).splitlines()
    head = lines[1 : lines.index("---", 1)] if lines[:1] == ["---"] and "---" in lines[1:] else []
    fields: dict[str, str] = {}
    key = ""
    for line in head:
        if field := _FIELD.match(line):
            key = field[1]
            fields[key] = "" if field[2] in {"|", ">", "|-", ">-"} else field[2].strip("'\"")
        elif key and line.startswith((" ", "\t")):
            fields[key] = f"{fields[key]} {line.strip()}"
        else:
            key = ""
    name = fields.get("name") or PurePosixPath(path).parent.name or "skill"
    said = one_line(fields.get("description", ""), 300)
    return f"- {one_line(name, 60)}: {said} (`{path}`)" if said else f"- {name} (`{path}`)"
