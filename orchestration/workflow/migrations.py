"""Old records, read by new code. Rows are never rewritten; they are migrated as they are read.

To change what a record means: raise `RECORD_VERSION`, add the step from the version before to
`MIGRATIONS`, and store a sample of a run written by the old code beside the tests.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from orchestration.errors import StoreError
from orchestration.workflow.journal import RECORD_VERSION, Record

Migration = Callable[[Record], Record]

MIGRATIONS: Mapping[int, Migration] = {}
"""By the version they read; each gives a record of the next version. The first is yet to come."""


def migrated(
    record: Record,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    current: int = RECORD_VERSION,
) -> Record:
    """The record as this version would have written it.

    Raises:
        StoreError: a newer version wrote it, or a version from before the first migration.
    """
    while record.version != current:
        step = migrations.get(record.version)
        if record.version > current or step is None:
            age = "newer" if record.version > current else "older"
            raise StoreError(
                f"record {record.seq} of run {record.run_id} has version {record.version}, "
                f"{age} than this program reads ({current})",
                "use the version of Manta that wrote it, or a newer one",
            )
        record = replace(step(record), version=record.version + 1)
    return record
