"""Real packages to recall from, fetched as their makers publish them, and a small embedding model.

Everything lands in `.cache/benchmarks/` and is fetched once.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.memory import SourceFile
from actors.memory.feeding import MAX_BYTES
from actors.models.embedding import LitellmEmbedder
from actors.models.routing import Route

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
PYPI = {"click": "8.5.1", "requests": "2.32.3"}
NPM = {"commander": "14.0.1"}
MODEL = "wordllama==0.4.0.post1"


def package(name: str) -> Path:
    """The published source of a package, with its tests, documents and licence."""
    home = CACHE / "packages" / name
    if not home.is_dir():
        scratch = home.with_name(f"{name}.part")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        _fetch(name, scratch)
        (archive,) = [*scratch.glob("*.tar.gz"), *scratch.glob("*.tgz")]
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (folder,) = (path for path in scratch.iterdir() if path.is_dir())
        folder.rename(home)
        shutil.rmtree(scratch)
    return home


def _fetch(name: str, place: Path) -> None:
    if name in NPM:
        command = ["npm", "pack", "--silent", f"{name}@{NPM[name]}"]
    else:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-binary", name, f"{name}=={PYPI[name]}",
        ]  # fmt: skip
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL, timeout=300)


def sources(root: Path, *, suffix: str = "") -> dict[str, SourceFile]:
    """All files below a folder that memory would be given."""
    found: dict[str, SourceFile] = {}
    for path in sorted(root.rglob(f"*{suffix}")):
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            data = path.read_bytes()
            blob = hashlib.sha1(data).hexdigest()
            text = data.decode(errors="replace")
            found[str(path.relative_to(root))] = SourceFile(blob, text)
    return found


@asynccontextmanager
async def embedder() -> AsyncGenerator[LitellmEmbedder]:
    """An embedding model behind litellm and HTTP, as a configured one would be."""
    python = await asyncio.to_thread(_installed)
    server = await asyncio.create_subprocess_exec(
        python,
        str(ROOT / "benchmarks" / "contestants" / "static_embeddings.py"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    port = int(await server.stdout.readline())
    os.environ.setdefault("OPENAI_API_KEY", "none is needed")
    route = Route(model="openai/wordllama", api_base=f"http://127.0.0.1:{port}/v1")
    made = LitellmEmbedder(route)
    try:
        yield made
    finally:
        await made.close()
        server.stdin.close()
        await server.wait()


def _installed() -> Path:
    home = CACHE / "wordllama"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = [str(python), "-m", "pip", "install", "-qq", MODEL]
        subprocess.run(install, check=True, timeout=600, stderr=subprocess.DEVNULL)
        (home / "installed").touch()
    return python
