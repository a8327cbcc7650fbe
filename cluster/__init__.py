"""The hall: where the players play, its doors and its wiring.

`from cluster import Manta` is the Python API; it is loaded when it is asked for, as worker
processes import this package, too.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.manta import Manta, Run

__all__ = ["Manta", "Run"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("cluster.manta"), name)
    raise AttributeError(f"module 'cluster' has no attribute {name!r}")
