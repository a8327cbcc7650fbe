"""The tables that both durable plugs share.

`store_time()` is the store's clock, in seconds since the epoch: a function that each database
provides, so that all leases and records of a store are dated by one clock.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
)

METADATA = MetaData()

VERSIONS = Table(
    "versions",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("since", Double, nullable=False),
)
"""Every schema version that this store has reached."""

RUNS = Table(
    "runs",
    METADATA,
    Column("run_id", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("cancel_requested", Boolean(create_constraint=False), nullable=False),
    Column("parent", Text),
    Column("wake_at", Double),
)
"""The fields of `RunInfo`, in its order. Nobody drives a run whose owner is empty."""

RECORDS = Table(
    "records",
    METADATA,
    Column("run_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("step_key", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("crc", BigInteger, nullable=False),
)
"""The fields of `Record`, in its order, and a CRC-32 of the body."""

STEPS = Table(
    "steps",
    METADATA,
    Column("run_id", Text, primary_key=True),
    Column("step_key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Each step's last record among `CONTROL_KINDS`: what grants are checked against."""

BLOBS = Table(
    "blobs",
    METADATA,
    Column("blob_id", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""Content by its SHA-256, in PostgreSQL. Beside SQLite blobs are files."""


def store_time() -> ColumnElement[float]:
    """Now, by the store's clock."""
    return func.store_time(type_=Double)
