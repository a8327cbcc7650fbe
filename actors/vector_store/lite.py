"""Milvus Lite in this process, reachable by this user alone.

Left to itself Milvus Lite listens on a loopback port without a password, so that any process of
the machine could read and write the memory. Here it listens on a socket file in a directory that
only this user can enter.
"""

import shutil
import tempfile
from pathlib import Path

from milvus_lite.adapter.grpc.server import start_server_in_thread
from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

from orchestration.errors import StoreError

_GRACE_S = 2.0


class LiteServer:
    """A running engine on one directory. Constructing it takes the directory's lock.

    Raises:
        StoreError: another process holds the lock, or the directory cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._room = Path(tempfile.mkdtemp(prefix="manta-memory-"))
        try:
            # The engine joins host and port with a colon: the file's name ends in ":0".
            self._server, self._engine, _ = start_server_in_thread(
                str(directory), host=f"unix:{self._room}/milvus", port=0
            )
        except DataDirLockedError:
            self._leave()
            raise StoreError(
                f"memory at {directory} is in use by another process",
                "end the other process (`manta down` ends a cluster's), or use another "
                "state directory",
            ) from None
        except (MilvusLiteError, OSError, RuntimeError, ValueError) as error:
            self._leave()
            raise StoreError(
                f"memory at {directory} cannot be opened: {str(error)[:300]}",
                "free some space or mend its permissions; or delete it: it is built anew",
            ) from None
        self.uri = f"unix:{self._room}/milvus:0"

    def close(self) -> None:
        """Let calls in flight finish, write everything down, free the lock."""
        self._server.stop(grace=_GRACE_S).wait()
        self._engine.close()
        self._leave()

    def _leave(self) -> None:
        shutil.rmtree(self._room, ignore_errors=True)
