"""Which language server serves which files; a table that a person's own file can change."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.lsp.rpc import Json


@dataclass(frozen=True, slots=True)
class Language:
    """A language server."""

    name: str
    command: tuple[str, ...]
    extensions: Mapping[str, str]
    """File name ending -> the protocol's language id."""
    install: str = ""
    """What a person runs to get the server."""
    settings: Json = field(default_factory=dict[str, Json])
    """Answers to the server's `workspace/configuration`, by section."""
    options: Json = None
    """`initializationOptions`."""
    projects: tuple[str, ...] = ()
    """Files that change how the server sees everything."""

    def program(self) -> str | None:
        """Where the server is: as named, beside the Python that runs this, or on PATH."""
        if "/" in self.command[0]:
            return shutil.which(self.command[0])
        beside = Path(sys.executable).with_name(self.command[0])
        return str(beside) if beside.is_file() else shutil.which(self.command[0])


_PYTHON = {
    "analysis": {
        "diagnosticMode": "openFilesOnly",
        "typeCheckingMode": "standard",
        # What is not installed here may well be where the code runs.
        "diagnosticSeverityOverrides": {
            "reportMissingImports": "warning",
            "reportMissingModuleSource": "none",
        },
    }
}
_SCRIPT = {
    **dict.fromkeys((".ts", ".mts", ".cts"), "typescript"),
    **dict.fromkeys((".js", ".mjs", ".cjs"), "javascript"),
    ".tsx": "typescriptreact",
    ".jsx": "javascriptreact",
}
_C = {
    **dict.fromkeys((".c", ".h"), "c"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"), "cpp"),
}
LANGUAGES = (
    Language(
        "python",
        ("basedpyright-langserver", "--stdio"),
        {".py": "python", ".pyi": "python"},
        "pip install basedpyright",
        {"basedpyright": _PYTHON, "python": _PYTHON},
        projects=("pyproject.toml", "pyrightconfig.json", "setup.cfg"),
    ),
    Language(
        "typescript",
        ("typescript-language-server", "--stdio"),
        _SCRIPT,
        "npm install -g typescript-language-server typescript@5",
        projects=("tsconfig.json", "jsconfig.json", "package.json"),
    ),
    Language(
        "go",
        ("gopls",),
        {".go": "go"},
        "go install golang.org/x/tools/gopls@latest",
        projects=("go.mod", "go.work"),
    ),
    Language(
        "rust",
        ("rust-analyzer",),
        {".rs": "rust"},
        "rustup component add rust-analyzer",
        projects=("Cargo.toml",),
    ),
    Language(
        "c",
        ("clangd", "--background-index=false"),
        _C,
        "apt-get install clangd",
        projects=("compile_commands.json", "compile_flags.txt"),
    ),
    Language(
        "java",
        ("jdtls",),
        {".java": "java"},
        "see https://github.com/eclipse-jdtls/eclipse.jdt.ls",
        projects=("pom.xml", "build.gradle"),
    ),
)


class LanguagesError(ValueError):
    """A file of languages that cannot be used; says where and how to mend it."""


def load(path: Path | None) -> tuple[Language, ...]:
    """The table, changed by a file: `{"languages": {NAME: {...} or null}}`.

    An entry may have `command` and `extensions` (needed for a new language), `settings`,
    `options`, `install`, `projects`; `null` leaves the language out. The file must be the
    person's own: it names programs to run.

    Raises:
        LanguagesError: it cannot be read or used.
    """
    table = {language.name: language for language in LANGUAGES}
    if path is None:
        return tuple(table.values())
    for name, entry in _entries(path).items():
        if entry is None:
            table.pop(name, None)
        else:
            table[name] = _changed(table.get(name) or Language(name, (), {}), entry, path)
    return tuple(table.values())


def _entries(path: Path) -> dict[str, Json]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LanguagesError(f"{path} cannot be read: {error}. Mend its JSON.") from None
    entries = value.get("languages") if isinstance(value, dict) else None
    if not isinstance(entries, dict):
        raise LanguagesError(f'{path} has no "languages": write {{"languages": {{...}}}}.')
    return entries


def _changed(language: Language, entry: Json, path: Path) -> Language:
    where = f"{path}: languages.{language.name}"
    known = {"command", "extensions", "settings", "options", "install", "projects"}
    if not isinstance(entry, dict) or set(entry) - known:
        raise LanguagesError(f"{where} may have {', '.join(sorted(known))} and nothing else.")
    values = dict(entry)
    for name in ("command", "projects"):
        if name in values:
            values[name] = _texts(values[name], f"{where}.{name}")
    changed = replace(language, **values)
    if not changed.command:
        raise LanguagesError(f'{where} needs a "command", such as ["solargraph", "stdio"].')
    if not _is_table(changed.extensions):
        raise LanguagesError(f'{where} needs "extensions", such as {{".rb": "ruby"}}.')
    return changed


def _texts(value: Json, where: str) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise LanguagesError(f'{where} must be a list of texts, such as ["a", "b"].')


def _is_table(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(str(key).startswith(".") and isinstance(text, str) for key, text in value.items())
    )
