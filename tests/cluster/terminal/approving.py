"""Run as a program on a terminal: the hostile stage's run, watched, its questions asked in place.

python -m tests.cluster.terminal.approving STATE_DIR [--json]
"""

import asyncio
import sys
from pathlib import Path

from cluster.terminal.watching import watch_to_end
from tests.cluster.web.stage import RUN, Stage


async def main() -> int:
    stage = Stage(Path(sys.argv[1]))
    stage.drives = True
    await stage.start(RUN, "plan", "delivery")
    code = await watch_to_end(stage.desk, RUN, as_json="--json" in sys.argv, asks=True)
    sys.stdout.write(f"the architect heard {stage.crew.notes}\n")
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
