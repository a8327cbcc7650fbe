"""A PostgreSQL server of the tests' own: a temporary directory and a unix socket."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

DEBIAN = Path("/usr/lib/postgresql")
MISSING = (
    "PostgreSQL's server is not installed (no pg_ctl on PATH or in /usr/lib/postgresql): "
    "`apt-get install postgresql`, then run the tests again"
)


class Server:
    """A running server; each `database()` is a schema of its own."""

    def __init__(self, programs: Path, directory: Path, *, durable: bool) -> None:
        self._programs = programs
        self.directory = directory
        self._fsync = "on" if durable else "off"
        self._made = 0

    def initialise(self) -> None:
        self._run("initdb", "--no-sync", "--auth=trust", "--username=manta", "--encoding=UTF8")

    def start(self) -> None:
        options = (
            f"-k {self.directory} -c listen_addresses='' -c max_connections=60"
            f" -c fsync={self._fsync}"
        )
        log = str(self.directory / "log")
        self._run("pg_ctl", "start", "-w", "-s", "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "-w", "-s", "-m", mode)

    def database(self) -> str:
        """The URL of an empty store."""
        self._made += 1
        name = f"store_{os.getpid()}_{self._made}"
        self.execute(f"CREATE SCHEMA {name}")
        option = quote(f"-csearch_path={name}")
        return f"postgresql://manta@/postgres?host={quote(str(self.directory))}&options={option}"

    def execute(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        """Run one statement as the tests' own client, in the schema of `url`."""
        address = url or f"postgresql://manta@/postgres?host={quote(str(self.directory))}"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        # A server refuses to run as root; Debian's package brings a user for it.
        user = "postgres" if os.geteuid() == 0 else None
        done = subprocess.run(
            [self._programs / program, "-D", self.directory / "data", *arguments],
            user=user,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            check=False,
        )
        log = self.directory / "log"
        said = (done.stdout or b"").decode() or (log.read_text() if log.exists() else "")
        assert done.returncode == 0, f"{program} failed: {said[-2000:]}"


@contextmanager
def running_server(*, durable: bool = False) -> Generator[Server]:
    """A new server, gone with its directory afterwards; a `durable` one syncs its disk."""
    directory = Path(tempfile.mkdtemp(prefix="manta-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres")
    server = Server(_programs(), directory, durable=durable)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        if (directory / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(directory)


def _programs() -> Path:
    found = sorted(DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("pg_ctl")
    assert on_path, MISSING
    return Path(on_path).resolve().parent
