"""A door may outlive its cluster. Standard library only: this comes before Ray is loaded."""

import os


def outlive_clusters() -> None:
    """Keep this process when it leaves a cluster whose node is gone. Call before Ray is imported.

    Ray takes a process for a worker of that node unless its parent lives, and ends it without a
    word: a service's parent is init, which Ray takes for none. Told that it shares its own life, it
    stays.
    """
    os.environ["RAY_RAYLET_PID"] = str(os.getpid())
