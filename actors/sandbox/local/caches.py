"""Toolchains that keep what they need in a place a variable names: Rust's, and Go's modules."""

from collections.abc import Iterable, Mapping
from pathlib import Path


def cache_variables(toolchains: Iterable[str]) -> Mapping[str, str]:
    """Variables by which programs inside find a read-only installation or cache of the host's.

    A directory is known by what is in it: `~/.rustup`, `~/.cargo`, `~/go/pkg/mod`. There is no
    network behind them, so each is told not to ask for one.
    """
    found: dict[str, str] = {}
    for place in map(Path, toolchains):
        if (place / "settings.toml").is_file() and (place / "toolchains").is_dir():
            found["RUSTUP_HOME"] = str(place)
        if (place / "bin" / "cargo").exists():
            found |= {"CARGO_HOME": str(place), "CARGO_NET_OFFLINE": "true"}
        if (place / "cache" / "download").is_dir():
            found |= {"GOMODCACHE": str(place), "GOPROXY": "off", "GOFLAGS": "-mod=readonly"}
    return found
