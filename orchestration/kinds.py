"""What kind of file a path is: does it hold tests, or decide how they run?"""

import configparser
import json
import re
import tomllib
from pathlib import PurePosixPath
from typing import Any

_TEST_FOLDERS = {"tests", "__tests__", "__snapshots__", "testdata"}
_TEST_ROOTS = {"test", "spec", "e2e"}
_TEST_NAME = re.compile(
    r"test_.*\.py|.*_tests?\.py|tests\.py|.*\.(test|spec)\.[cm]?[jt]sx?|.*_test\.go|.*_spec\.rb"
    r"|.*Tests?\.(java|kt|cs)"
)
_RUNNER_NAME = re.compile(
    r"conftest\.py|\.?pytest\.(ini|toml)|(sitecustom|usercustom)ize\.py|.*\.pth|\.mocharc\..*"
    r"|(jest|vitest|playwright|karma|vite|babel)\.(config|conf|workspace|setup)\..*"
    r"|\.babelrc(\..*)?|nextest\.toml"
)
_RUNNER_PLACE = re.compile(r"(.*/)?(\.cargo/config(\.toml)?|node_modules/.*)")
_RUNNER_MODULE = re.compile(
    r"(src/)?(_?pytest|pluggy|iniconfig|unittest|junitxml|xdist)(\.py|/__init__\.py)"
)
_SHARED_SETTINGS = {"pyproject.toml", "setup.cfg", "tox.ini", "package.json", "Cargo.toml"}


def is_test_path(path: str) -> bool:
    """Whether a file holds tests, or data and helpers that only tests use."""
    pure = PurePosixPath(path)
    folders = pure.parts[:-1]
    return bool(
        _TEST_NAME.fullmatch(pure.name)
        or _TEST_FOLDERS & set(folders)
        or (folders and folders[0] in _TEST_ROOTS)
    )


def is_runner_config(path: str) -> bool:
    """Whether a file decides how tests run: nobody may change it on the way from red to green."""
    pure = PurePosixPath(path)
    return bool(_RUNNER_NAME.fullmatch(pure.name) or _RUNNER_PLACE.fullmatch(path))


def stands_for_runner(path: str) -> bool:
    """Whether a new module would be imported instead of one that the test runner is made of."""
    return bool(_RUNNER_MODULE.fullmatch(path))


def has_runner_section(path: str) -> bool:
    """Whether the file may hold runner settings among others; compare `runner_section` of both."""
    return PurePosixPath(path).name in _SHARED_SETTINGS


def runner_section(path: str, text: str) -> str:
    """The part of a shared settings file that decides how tests run, in one canonical form.

    A file that is not there has the section of an empty one (`text` is ""). One that cannot be
    read is its own section, so that any change of it shows.
    """
    name = PurePosixPath(path).name
    try:
        if name == "pyproject.toml":
            section: object = _toml_section(tomllib.loads(text))
        elif name == "package.json":
            content = json.loads(text or "{}")
            keys = ("jest", "vitest", "mocha", "ava", "babel", "type", "imports")
            scripts = content.get("scripts") or {}
            section = {key: content[key] for key in keys if key in content}
            section |= {name: scripts.get(name) for name in ("pretest", "test", "posttest")}
        elif name == "Cargo.toml":
            section = _cargo_section(tomllib.loads(text))
        else:
            parser = configparser.RawConfigParser(strict=False)
            parser.read_string(text)
            names = [name for name in parser.sections() if "pytest" in name]
            section = {name: dict(parser.items(name)) for name in sorted(names)}
    except (ValueError, AttributeError, TypeError, configparser.Error):
        return text
    return json.dumps(section, sort_keys=True, default=str)


def _toml_section(content: dict[str, dict[str, object]]) -> dict[str, object]:
    plugins = content.get("project", {}).get("entry-points")
    return {"pytest": content.get("tool", {}).get("pytest"), "plugins": plugins}


def _cargo_section(content: dict[str, Any]) -> dict[str, object]:
    """Targets and switches that say which tests there are and who runs them."""
    switches = ("test", "doctest", "harness")
    targets = [content.get("lib") or {}, *content.get("bin", ())]
    return {
        "targets": [{key: t[key] for key in switches if key in t} for t in targets],
        "tests": content.get("test"),
        "automatic": (content.get("package") or {}).get("autotests"),
        "profile": (content.get("profile") or {}).get("test"),
    }
