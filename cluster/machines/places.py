"""How many submitted requests a cluster works on at once.

Each takes one unit of a resource of Ray's own, and Ray lets the others wait in the order in which
they came: a job that waits is a row in Ray's table, no process. No scheduler of ours.
"""

import os

from cluster.settings import Settings

PLACE = "manta_run"
"""The resource. A cluster's head has as many as it is to work on at once."""
RESIDENTS_CPUS = 0.3
"""What checkpoints, governor, models, memory and tools ask for (`actors.spawn.CPUS`)."""
LEADERS_CPUS = 0.15
"""A supervisor and an architect."""
TASK_CPUS = 0.3
"""A coder, a reviewer and a security analyst."""
STOPPING_S = 60
"""How long a stopped job may take to have its run cancelled; Ray would kill it after 3 s."""
PATIENCE_S = 30 * 24 * 3600
"""How long Ray lets a job wait on a cluster of ours; its own default is 15 minutes."""


def places(settings: Settings) -> int:
    """Of the local cluster: as many as named, else as many as there is room for whole teams.

    With more, each team might hold what the others wait for.
    """
    if settings.parallel_runs:
        return settings.parallel_runs
    cpus = settings.cpus or os.cpu_count() or 1
    team = LEADERS_CPUS + TASK_CPUS * settings.limits.parallel_tasks
    return max(1, int((cpus - RESIDENTS_CPUS) / team))
