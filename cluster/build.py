"""Which build this is: actors of another build are never talked to by mistake."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = ("orchestration", "actors", "cluster")


@cache
def build_id() -> str:
    """The version and a hash of the source files, such as `0.1.0+3f9a12bc`."""
    digest = hashlib.sha256()
    for floor in FLOORS:
        for file in sorted((ROOT / floor).rglob("*.py")) + sorted((ROOT / floor).rglob("*.md")):
            digest.update(file.read_bytes())
    try:
        number = version("manta-team")
    except PackageNotFoundError:
        number = "0"
    return f"{number}+{digest.hexdigest()[:8]}"
