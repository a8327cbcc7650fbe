"""Being told of a child's end."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable


def when_dead(popen: subprocess.Popen[bytes], then: Callable[[], None]) -> None:
    """Call `then` on the running loop once the child is dead: its `wait` will not block.

    Linux tells by a descriptor; elsewhere a thread waits for each child.
    """
    loop = asyncio.get_running_loop()
    if not hasattr(os, "pidfd_open"):
        threading.Thread(target=_wait, args=(popen, loop, then), daemon=True).start()
        return
    handle = os.pidfd_open(popen.pid)

    def dead() -> None:
        loop.remove_reader(handle)
        os.close(handle)
        then()

    loop.add_reader(handle, dead)


def _wait(
    popen: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, then: Callable[[], None]
) -> None:
    popen.wait()
    if not loop.is_closed():
        loop.call_soon_threadsafe(then)
