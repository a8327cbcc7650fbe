"""Which tests a change most likely touches, by name: run first, they tell of a failure soonest."""

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from orchestration.kinds import is_test_path

MAX_FILES = 40


def affected(
    changed: Iterable[str], files: Collection[str], *, failing: Collection[str] = ()
) -> tuple[str, ...]:
    """Test files among `files` that are changed, or named after a changed one.

    Those in `failing`, where tests fail anyway, are left out: they would tell nothing.
    `tests/test_pool.py`, `pool_test.go` and `src/pool.test.ts` are named after `pool`.
    """
    paths = list(changed)
    stems = {_plain(PurePosixPath(path).name) for path in paths if not is_test_path(path)} - {""}
    tests = [path for path in sorted(files) if is_test_path(path) and path not in failing]
    near = [p for p in tests if p in paths] + [
        p for p in tests if p not in paths and _plain(PurePosixPath(p).name) in stems
    ]
    return tuple(near[:MAX_FILES])


def _plain(name: str) -> str:
    """A file's name without suffixes and without what marks it as a test."""
    stem = name.partition(".")[0]
    return stem.removeprefix("test_").removesuffix("_test").removesuffix("_tests").lower()
