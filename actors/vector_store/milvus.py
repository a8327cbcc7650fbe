"""The vector store on Milvus: Milvus Lite in a directory, or a Milvus server. The only door to it.

Filters hold nothing but digests and known words, so that no name from a repository or a model
can change what a query means.
"""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import grpc
from pymilvus import (
    CollectionSchema,
    DataType,
    Function,
    FunctionType,
    MilvusClient,
    MilvusException,
)

from actors.vector_store.fusion import fuse
from actors.vector_store.limits import MAX_LABEL_BYTES, check_kinds, check_rows, check_vector
from actors.vector_store.lite import LiteServer
from actors.vector_store.protocol import MAX_TEXT_BYTES, Hit, Row, RowKind
from actors.vector_store.words import words, words_of
from orchestration.clock import Clock
from orchestration.errors import StoreError

_SCHEMA = 2
"""Part of the collection's name: a changed schema starts an empty index, which is then rebuilt."""
_FIELDS = ("id", "repository", "kind", "source", "commit_id", "symbol", "form", "content")
_PAUSES_S = (0.1, 0.3, 0.6)
"""Between attempts to open: a predecessor that was just killed frees its lock within moments."""
_CALL_S = 20.0
_BATCH = 200
_UNFLUSHED_ROWS = 200
"""Milvus Lite indexes what is not flushed anew for each search: 0.1 ms per row."""
_MAX_TERM_BYTES = 65_000
_T = TypeVar("_T")
_Found = tuple[Row, float]
"""A row and its score."""


class MilvusStore:
    """`uri` is a directory (Milvus Lite, one process at a time) or `http(s)://[user:pw@]host:port`.

    `dimension` is the embedding model's, or None for full text alone. Collections of different
    dimensions live side by side. A server must be Milvus 2.5 or later, the first with BM25.
    """

    def __init__(self, uri: str, *, dimension: int | None = None, clock: Clock) -> None:
        self._uri = uri
        self._dimension = dimension
        self._clock = clock
        self._collection = f"manta_{_SCHEMA}_" + (f"d{dimension}" if dimension else "text")
        self._client: MilvusClient | None = None
        self._lite: LiteServer | None = None
        self._unflushed = 0
        self._opening: asyncio.Task[None] | None = None
        self._changing = threading.Lock()
        """Writes and openings, one at a time: Milvus Lite takes one writer. A thread's lock, since
        a cancelled caller leaves its thread at work."""

    async def open(self) -> None:
        """All callers share one opening, which goes on when one of them gives up."""
        if self._client is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(_look_at)
            await asyncio.shield(self._opening)

    async def _open(self) -> None:
        for pause in _PAUSES_S:
            try:
                return await asyncio.to_thread(self._connect)
            except StoreError:
                await self._clock.sleep(pause)
        return await asyncio.to_thread(self._connect)

    async def upsert(self, rows: Sequence[Row]) -> None:
        check_rows(rows, self._dimension)
        await self._call("write", lambda client: self._write(client, rows))

    async def delete(self, repository: str, *, ids: Sequence[str]) -> None:
        await self._call("delete", lambda client: self._delete(client, repository, ids))

    async def ids(self, repository: str, kind: RowKind) -> set[str]:
        found = await self._query(repository, kind, ("id",))
        return {entity["id"] for entity in found}

    async def rows(self, repository: str, kind: RowKind) -> list[Row]:
        return [_row(entity) for entity in await self._query(repository, kind, _FIELDS)]

    async def search(
        self,
        repository: str,
        text: str,
        *,
        kinds: Sequence[RowKind],
        limit: int,
        vector: Sequence[float] | None = None,
    ) -> list[Hit]:
        check_vector(vector, self._dimension)
        if not kinds:
            return []
        where, terms = _where(repository, kinds), _terms(dict.fromkeys(words(text)))
        by_words, by_vector = list[_Found](), list[_Found]()
        if terms:
            by_words = await self._ranked("sparse", terms, "BM25", where, limit)
        if vector is not None:
            where = f"{where} and embedded == true"
            by_vector = await self._ranked("dense", list(vector), "COSINE", where, limit)
        rows = {row.id: row for row, _ in (*by_words, *by_vector)}
        rankings = ([(row.id, score) for row, score in each] for each in (by_words, by_vector))
        return fuse(rows, *rankings, limit=limit)

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        await asyncio.to_thread(self._disconnect)

    # --- one call each, in a thread ------------------------------------------------------------

    async def _call(self, verb: str, work: Callable[[MilvusClient], _T]) -> _T:
        client = self._client
        if client is None:
            raise StoreError("memory's store is not open", "call open() first")
        try:
            return await asyncio.to_thread(work, client)
        except (MilvusException, grpc.RpcError, ValueError) as error:  # ValueError: just closed
            raise StoreError(
                f"memory at {self._place} failed to {verb}: {str(error)[:300]}",
                "look at the store's disk or server; memory is an index and can be rebuilt",
            ) from None

    async def _query(
        self, repository: str, kind: RowKind, fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        where = _where(repository, (kind,))
        return await self._call(
            "read",
            lambda client: list(
                client.query(
                    self._collection, filter=where, output_fields=list(fields), timeout=_CALL_S
                )
            ),
        )

    async def _ranked(
        self, field: str, wanted: str | list[float], metric: str, where: str, limit: int
    ) -> list[_Found]:
        """Rows by one index, best first. Lite's BM25 scores are negative, a server's are not."""

        def find(client: MilvusClient) -> list[dict[str, Any]]:
            found = client.search(
                self._collection,
                [wanted],
                filter=where,
                limit=limit,
                output_fields=list(_FIELDS),
                search_params={"metric_type": metric},
                anns_field=field,
                timeout=_CALL_S,
            )
            return list(found[0])

        found = await self._call("search", find)
        return [(_row(hit["entity"]), float(hit["distance"])) for hit in found]

    def _write(self, client: MilvusClient, rows: Sequence[Row]) -> None:
        with self._changing:
            for batch in _batches(rows):
                entities = [self._entity(row) for row in batch]
                client.upsert(self._collection, entities, timeout=_CALL_S)
                self._unflushed += len(batch)
            if self._is_directory and self._unflushed >= _UNFLUSHED_ROWS:
                client.flush(self._collection, timeout=_CALL_S)
                self._unflushed = 0

    def _delete(self, client: MilvusClient, repository: str, ids: Sequence[str]) -> None:
        with self._changing:
            for batch in _batches(ids):
                keys = ", ".join(f'"{_key(repository, row_id)}"' for row_id in batch)
                where = f'owner == "{_digest(repository)}" and key in [{keys}]'
                client.delete(self._collection, filter=where, timeout=_CALL_S)

    # --- opening and closing -------------------------------------------------------------------

    @property
    def _place(self) -> str:
        """For messages: a server's address without its password."""
        return self._uri if self._is_directory else str(urlsplit(self._uri).hostname)

    @property
    def _is_directory(self) -> bool:
        return "://" not in self._uri

    def _connect(self) -> None:
        # It prints every error with a traceback; ours reach the caller instead.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        with self._changing:
            if self._client is not None:
                return
            lite = LiteServer(Path(self._uri)) if self._is_directory else None
            try:
                client = MilvusClient(lite.uri if lite else self._uri, timeout=_CALL_S / 4)
                self._prepare(client)
            except (MilvusException, grpc.RpcError) as error:
                if lite:
                    lite.close()
                raise StoreError(
                    f"memory at {self._place} cannot be opened: {str(error)[:300]}",
                    "check that the server runs and the address and password are right"
                    if lite is None
                    else "delete the directory: it is built anew",
                ) from None
            self._client, self._lite = client, lite

    def _disconnect(self) -> None:
        with self._changing:
            client, self._client = self._client, None
            lite, self._lite = self._lite, None
            if client is not None:
                client.close()
            if lite is not None:
                lite.close()

    def _prepare(self, client: MilvusClient) -> None:
        """Make what is missing, so that a crash half-way through does no harm, and load it."""
        if self._collection not in _names(client.list_collections(timeout=_CALL_S)):
            client.create_collection(
                self._collection,
                schema=self._schema(),
                consistency_level="Strong",
                timeout=_CALL_S,
            )
        # Exact search is quick enough at Lite's sizes, and spares it the index's long builds.
        dense = "FLAT" if self._is_directory else "AUTOINDEX"
        self._require_index(client, "sparse", "SPARSE_INVERTED_INDEX", "BM25")
        if self._dimension:
            self._require_index(client, "dense", dense, "COSINE")
        client.load_collection(self._collection, timeout=_CALL_S)
        # Lite indexes at the first search: a second at 20,000 rows, which no recall should wait.
        client.search(self._collection, ["first"], anns_field="sparse", limit=1, timeout=_CALL_S)

    def _require_index(self, client: MilvusClient, field: str, kind: str, metric: str) -> None:
        if not _names(client.list_indexes(self._collection, field, timeout=_CALL_S)):
            index = client.prepare_index_params()
            index.add_index(field, kind, metric_type=metric)
            # Waiting for the index of an empty collection would only cost half a second.
            client.create_index(self._collection, index, timeout=_CALL_S, sync=False)

    def _schema(self) -> CollectionSchema:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("owner", DataType.VARCHAR, is_partition_key=True, max_length=64)
        for field in _FIELDS:
            most = MAX_TEXT_BYTES if field == "content" else MAX_LABEL_BYTES
            schema.add_field(field, DataType.VARCHAR, max_length=most)
        schema.add_field(
            "terms",
            DataType.VARCHAR,
            max_length=65_535,
            enable_analyzer=True,
            analyzer_params={"tokenizer": "standard"},
        )
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function("bm25", FunctionType.BM25, ["terms"], ["sparse"]))
        if self._dimension:
            # Not a nullable vector: servers before 2.6 and Milvus Lite do not really have them.
            schema.add_field("embedded", DataType.BOOL)
            schema.add_field("dense", DataType.FLOAT_VECTOR, dim=self._dimension)
        return schema

    def _entity(self, row: Row) -> dict[str, Any]:
        entity: dict[str, Any] = {
            "key": _key(row.repository, row.id),
            "owner": _digest(row.repository),
            "id": row.id,
            "repository": row.repository,
            "kind": row.kind,
            "source": row.source,
            "commit_id": row.commit,
            "symbol": row.symbol,
            "form": row.form,
            "content": row.text,
            "terms": _terms(words_of(row)),
        }
        if self._dimension:
            entity["embedded"] = row.vector is not None
            entity["dense"] = list(row.vector or (1.0,) * self._dimension)
        return entity


def _look_at(opening: "asyncio.Task[None]") -> None:
    """Its failure may have no caller left to hear of it."""
    if not opening.cancelled():
        opening.exception()


def _names(listed: object) -> list[str]:
    """The library's stubs cannot tell its plain client from its asynchronous one."""
    return cast("list[str]", listed)


def _row(entity: dict[str, Any]) -> Row:
    return Row(
        id=entity["id"],
        repository=entity["repository"],
        kind=entity["kind"],
        source=entity["source"],
        commit=entity["commit_id"],
        symbol=entity["symbol"],
        form=entity["form"],
        text=entity["content"],
    )


def _where(repository: str, kinds: Sequence[RowKind]) -> str:
    check_kinds(kinds)
    known = ", ".join(f'"{kind}"' for kind in kinds)
    return f'owner == "{_digest(repository)}" and kind in [{known}]'


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _key(repository: str, row_id: str) -> str:
    return _digest(f"{_digest(repository)} {row_id}")


def _terms(terms: Iterable[str]) -> str:
    """Our own words, which any analyser then only has to split at spaces."""
    return " ".join(terms).encode()[:_MAX_TERM_BYTES].decode(errors="ignore")


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
