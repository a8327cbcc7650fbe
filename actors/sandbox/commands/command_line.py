"""What can be passed to a program, and what no command line can hold."""

from collections.abc import Mapping, Sequence

from orchestration.errors import UsageError


def argv_of(command: str | Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Text goes to bash.

    Raises:
        UsageError: empty, or holds what no command line can (NUL, lone surrogates).
    """
    argv = ["bash", "-c", command] if isinstance(command, str) else list(command)
    texts = [*argv, *env, *env.values()]
    if not argv or not argv[0] or any("\0" in text or not _sayable(text) for text in texts):
        raise UsageError("this command cannot be passed to a program", "leave out NUL")
    if any("=" in name or not name for name in env):
        raise UsageError("a variable's name is empty or holds '='", "use a plain name")
    return argv


def _sayable(text: str) -> bool:
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
