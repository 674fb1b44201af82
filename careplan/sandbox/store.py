"""Resources and their versions in SQLite, with the index that searches read."""

from __future__ import annotations

import re
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from careplan.errors import BadRequest, Conflict, NotFound
from careplan.fhir import json
from careplan.fhir.bundle import references_in
from careplan.fhir.conformance import Problem, check
from careplan.sandbox.search import PARAMS, REFERS, Condition, Query, local_target, tokens_of

Resource = dict[str, Any]
Check = Callable[[Resource], Sequence[Problem]]

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (last INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT * FROM counter);
CREATE TABLE IF NOT EXISTS resource (
    seq INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL,
    UNIQUE (type, id));
CREATE TABLE IF NOT EXISTS version (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, updated TEXT NOT NULL, body TEXT,
    PRIMARY KEY (type, id, version));
CREATE TABLE IF NOT EXISTS token (
    seq INTEGER NOT NULL REFERENCES resource (seq), param TEXT NOT NULL, system TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS token_by_value ON token (param, value, system);
CREATE INDEX IF NOT EXISTS token_by_resource ON token (seq);
"""


class Gone(NotFound):
    """It was here, and has been deleted."""

    status = 410
    issue_type = "deleted"


class PreconditionFailed(Conflict):
    """The condition of a conditional create fits several resources."""

    status = 412
    issue_type = "multiple-matches"


class Invalid(BadRequest):
    """Not a valid R4 resource. *problems* say where and why."""

    issue_type = "invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.text, expression=first.expression)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Stored:
    """A version of a resource, as the server keeps it. *created*: it was not there before this write."""

    resource: Resource
    created: bool = False

    @property
    def reference(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}"

    @property
    def version(self) -> str:
        return str(self.resource["meta"]["versionId"])

    @property
    def updated(self) -> datetime:
        return datetime.fromisoformat(self.resource["meta"]["lastUpdated"])


@dataclass(frozen=True)
class Page:
    """Some matches of a search. *after* is where the next page begins, if there is one; *total* counts all."""

    matches: tuple[Resource, ...]
    total: int
    after: int | None


class Storage(Protocol):
    """What the views and transactions ask of a `Store`, or of what stands in front of one and lets less through."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def read(self, resource_type: str, identity: str) -> Stored: ...

    def read_version(self, resource_type: str, identity: str, version: str) -> Stored: ...

    def new_id(self) -> str: ...

    def create(self, resource: Resource, *, identity: str | None = None) -> Stored: ...

    def update(self, resource: Resource, *, if_version: str | None = None) -> Stored: ...

    def delete(self, resource_type: str, identity: str) -> bool: ...

    def search(self, query: Query) -> Page: ...

    def find_one(self, query: Query) -> Stored | None: ...

    def is_there(self, resource_type: str, identity: str) -> bool: ...

    def problems(self, resource: Resource) -> Sequence[Problem]: ...


class Store:
    """The resources of a sandbox in the file *path*, or `":memory:"`. Safe to use from several threads.

    Every write is checked with *check* and for references that lead nowhere; a write inside `transaction()` only when
    that ends, since resources of one transaction may refer to each other in any order.
    """

    def __init__(self, path: str | Path, *, check: Check = check) -> None:
        self._check = check
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._finalizer = weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)
        self._touched: dict[tuple[str, str], None] = {}

    def close(self) -> None:
        self._finalizer()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block, or none."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._touched.clear()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._check_references()
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def read(self, resource_type: str, identity: str) -> Stored:
        """The current version. Raises NotFound, or Gone."""
        with self._lock:
            found = self._current(resource_type, identity)
            if found is None:
                raise NotFound(f"There is no {resource_type} with this id.")
            if found[1]:
                raise Gone(f"This {resource_type} has been deleted.")
            return self.read_version(resource_type, identity, str(found[0]))

    def read_version(self, resource_type: str, identity: str, version: str) -> Stored:
        """One version, current or not. Raises NotFound, or Gone for the version that says it was deleted."""
        with self._lock:
            row = self._db.execute(
                "SELECT body FROM version WHERE type = ? AND id = ? AND version = ?", (resource_type, identity, version)
            ).fetchone()
        if row is None:
            raise NotFound(f"There is no {resource_type} with this id and version.")
        if row[0] is None:
            raise Gone(f"With this version the {resource_type} was deleted.")
        return Stored(json.loads(row[0]))

    def new_id(self) -> str:
        """An id that no resource has; a number, which clients may not choose."""
        with self._lock:
            return str(self._db.execute("UPDATE counter SET last = last + 1 RETURNING last").fetchone()[0])

    def create(self, resource: Resource, *, identity: str | None = None) -> Stored:
        """Keep *resource* under a new id, whatever its own."""
        with self.transaction():
            return self._write({**resource, "id": identity or self.new_id()}, 1, created=True)

    def update(self, resource: Resource, *, if_version: str | None = None) -> Stored:
        """Keep *resource* under its own id, as a new version unless nothing changed, and create it if need be.

        Raises Conflict when *if_version* is given and not the current one, and BadRequest for creating one whose id
        is a number, since those are given by the server (as HAPI has it).
        """
        resource_type, identity = resource["resourceType"], resource["id"]
        with self.transaction():
            found = self._current(resource_type, identity)
            if if_version is not None and (found is None or found[1] or str(found[0]) != if_version):
                raise Conflict(f"Version {if_version} is not the current one; read the {resource_type} again.")
            if found is None and identity.isdigit():
                raise BadRequest("An id chosen by the client needs a letter; numbers are given by the server.")
            if found is None or found[1]:
                return self._write(resource, found[0] + 1 if found else 1, created=True)
            before = self.read(resource_type, identity)
            return before if _same(before.resource, resource) else self._write(resource, found[0] + 1)

    def delete(self, resource_type: str, identity: str) -> bool:
        """Whether there was anything to delete. Raises Conflict while another resource refers to it."""
        with self.transaction():
            found = self._current(resource_type, identity)
            if found is None or found[1]:
                return False
            self._keep(resource_type, identity, found[0] + 1, _now(), None)
            return True

    def search(self, query: Query) -> Page:
        """One page of matches, in the order they were created."""
        where, values = _where(query)
        with self._lock:
            total = self._db.execute(f"SELECT count(*) FROM resource WHERE {where}", values).fetchone()[0]  # noqa: S608
            rows = self._db.execute(
                f"SELECT seq, id FROM resource WHERE {where} AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
                (*values, query.after, query.count + 1),
            ).fetchall()
            matches = [self.read(query.resource_type, identity).resource for _, identity in rows[: query.count]]
        more = query.count and len(rows) > query.count
        return Page(tuple(matches), total, rows[query.count - 1][0] if more else None)

    def find_one(self, query: Query) -> Stored | None:
        """The only match, or None. Raises PreconditionFailed for several."""
        return only_match(query, self.search)

    def load(self, resources: Resource | Iterable[Resource]) -> Resource:
        """Write a Bundle, or resources, as one transaction; resources with an id keep it."""
        from careplan.sandbox.transactions import process, transaction_of

        return process(self, transaction_of(resources))

    def is_there(self, resource_type: str, identity: str) -> bool:
        with self._lock:
            found = self._current(resource_type, identity)
        return found is not None and not found[1]

    def validate(self, resource: Resource) -> None:
        """Raise Invalid if *resource* is not R4."""
        errors = [problem for problem in self._check(resource) if problem.severity == "error"]
        if errors:
            raise Invalid(errors)

    def problems(self, resource: Resource) -> Sequence[Problem]:
        """What is wrong, or not as it should be, with *resource*."""
        return self._check(resource)

    def _current(self, resource_type: str, identity: str) -> tuple[int, bool] | None:
        """Version, and whether it is deleted."""
        row = self._db.execute(
            "SELECT version, deleted FROM resource WHERE type = ? AND id = ?", (resource_type, identity)
        ).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    def _write(self, resource: Resource, version: int, *, created: bool = False) -> Stored:
        _check_identity(resource)
        self.validate(resource)
        updated = _now()
        meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": updated}
        rest = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")}
        kept = {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta, **rest}
        self._keep(kept["resourceType"], kept["id"], version, updated, kept)
        return Stored(kept, created)

    def _keep(self, resource_type: str, identity: str, version: int, updated: str, body: Resource | None) -> None:
        self._touched[resource_type, identity] = None
        text = None if body is None else json.dumps(body)
        self._db.execute(
            "INSERT INTO version VALUES (?, ?, ?, ?, ?)", (resource_type, identity, version, updated, text)
        )
        seq = self._db.execute(
            "INSERT INTO resource (type, id, version, deleted) VALUES (?, ?, ?, ?) ON CONFLICT (type, id)"
            " DO UPDATE SET version = excluded.version, deleted = excluded.deleted RETURNING seq",
            (resource_type, identity, version, body is None),
        ).fetchone()[0]
        self._db.execute("DELETE FROM token WHERE seq = ?", (seq,))
        tokens = tokens_of(body) if body is not None else ()
        self._db.executemany("INSERT INTO token VALUES (?, ?, ?, ?)", [(seq, *token) for token in tokens])

    def _check_references(self) -> None:
        """Every reference of what was written leads somewhere, and nothing that stays refers to what was deleted."""
        for resource_type, identity in self._touched:
            if self.is_there(resource_type, identity):
                self._check_targets(self.read(resource_type, identity).resource)
            else:
                self._check_not_needed(resource_type, identity)

    def _check_targets(self, resource: Resource) -> None:
        for reference in references_in(resource):
            target = local_target(reference)
            if target and not self.is_there(*target):
                raise BadRequest(f"{reference} is not on this server, but {resource['resourceType']} refers to it.")
            if reference.startswith("urn:") or "?" in reference:
                raise BadRequest(f"A reference of {resource['resourceType']} could not be resolved in the request.")

    def _check_not_needed(self, resource_type: str, identity: str) -> None:
        row = self._db.execute(
            "SELECT type FROM token JOIN resource USING (seq) WHERE param = ? AND system = ? AND value = ?"
            " AND NOT (type = ? AND id = ?)",
            (REFERS, resource_type, identity, resource_type, identity),
        ).fetchone()
        if row:
            raise Conflict(f"{resource_type} cannot be deleted while a {row[0]} refers to it.")


def only_match(query: Query, search: Callable[[Query], Page]) -> Stored | None:
    """What *search* finds when that is one or none. Raises PreconditionFailed for several, BadRequest for any."""
    if not query.conditions:
        raise BadRequest("A condition without a search parameter would fit every resource.")
    page = search(query)
    if page.total > 1:
        raise PreconditionFailed(f"The condition fits {page.total} resources; it must fit one or none.")
    return Stored(page.matches[0]) if page.matches else None


def _where(query: Query) -> tuple[str, tuple[str, ...]]:
    """SQL for the conditions, which holds no value of theirs: those are bound."""
    parts, values = ["type = ?", "deleted = 0"], [query.resource_type]
    for condition in query.conditions:
        part, bound = _any_of(condition)
        parts.append(part)
        values += bound
    return " AND ".join(parts), tuple(values)


def _any_of(condition: Condition) -> tuple[str, list[str]]:
    choices, values = [], [condition.param]
    for system, value in condition.alternatives:
        tests: Mapping[str, str | None] = {"system = ?": system, "value = ?": value}
        given = {test: bound for test, bound in tests.items() if bound is not None}
        choices.append("(" + (" AND ".join(given) or "1") + ")")
        values += given.values()
    return f"seq IN (SELECT seq FROM token WHERE param = ? AND ({' OR '.join(choices)}))", values  # noqa: S608


def _check_identity(resource: Resource) -> None:
    if resource.get("resourceType") not in PARAMS:
        raise BadRequest("This server does not keep resources of this type; /metadata lists those it does.")
    if not isinstance(resource["id"], str) or not _ID.fullmatch(resource["id"]):
        raise BadRequest("An id is 1 to 64 letters, digits, hyphens or dots.")
    if not isinstance(resource.get("meta", {}), dict):
        raise BadRequest("meta is not an object.", expression="meta")


def _same(kept: Resource, given: Resource) -> bool:
    """Whether *given* changes nothing but what the server sets itself. Compares digits: 2.5 is not 2.50."""
    return _comparable(kept) == _comparable(given)


def _comparable(resource: Resource) -> str:
    meta = {name: value for name, value in _meta(resource).items() if name not in ("versionId", "lastUpdated")}
    return json.dumps(dict(sorted({**resource, "meta": meta}.items())))


def _meta(resource: Resource) -> Resource:
    meta = resource.get("meta")
    return meta if isinstance(meta, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
