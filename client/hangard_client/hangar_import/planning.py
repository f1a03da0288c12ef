"""What one commit changes against another, in the order in which it is carried over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hangard.errors import HangardError
from hangard.model.keys import Key
from hangard.model.options import resolve_backend
from hangard.model.schema import Kind, Schema, make_schema
from hangard_client.hangar_import.records import (
    NDARRAY,
    STR,
    ColumnRecords,
    DamagedRecord,
    HangarSchema,
    Snapshot,
    parse_records,
)

LoadSchema = Callable[[str], HangarSchema]


class Step(Enum):
    """What happens to a column itself before its samples."""

    KEEP = "keep"
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"  # removed and added again: other data than before
    RESTORE = "change"  # later samples are stored another way


@dataclass(slots=True)
class ColumnPlan:
    """What a commit does to one column; ``put`` are keys and digests in Hangar."""

    name: str
    step: Step
    schema: HangarSchema
    put: list[tuple[Key, str]] = field(default_factory=list)
    deleted: list[Key] = field(default_factory=list)


def plan_commit(before: Snapshot, after: Snapshot, load_schema: LoadSchema) -> list[ColumnPlan]:
    """The plans of the columns that differ between all records of two commits, by name.

    Only records that differ are parsed. Errors: DamagedRecord; those of ``load_schema``.
    """
    added = parse_records(after.records - before.records)
    gone = parse_records(before.records - after.records)
    plans = []
    for name in sorted(added.keys() | gone.keys()):
        new, old = added.get(name, ColumnRecords()), gone.get(name, ColumnRecords())
        if old.schema and not new.schema:
            plans.append(ColumnPlan(name, Step.REMOVE, load_schema(old.schema)))
            continue
        if new.schema:
            schema, step = load_schema(new.schema), Step.ADD
            if old.schema:
                step = _changed(load_schema(old.schema), schema)
            if step is Step.REPLACE:
                new = _whole(name, after.records)
        else:
            if name not in after.schemas:
                raise DamagedRecord(f"column {name!r} has samples, and no schema")
            schema, step = load_schema(after.schemas[name]), Step.KEEP
        plan = ColumnPlan(name, step, schema, list(new.samples.items()))
        if step in (Step.KEEP, Step.RESTORE):
            plan.deleted = [key for key in old.samples if key not in new.samples]
        check_keys(plan)
        plans.append(plan)
    return plans


def check_keys(plan: ColumnPlan) -> None:
    """Errors: DamagedRecord for flat keys in a nested column, or the other way round."""
    keys: Iterable[Key] = (*(key for key, _ in plan.put), *plan.deleted)
    for key in keys:
        if isinstance(key, tuple) != plan.schema.nested:
            raise DamagedRecord(f"column {plan.name!r} has samples of another layout")


def _changed(old: HangarSchema, new: HangarSchema) -> Step:
    same = (old.kind, old.nested, old.dtype, old.shape, old.variable) == (
        new.kind,
        new.nested,
        new.dtype,
        new.shape,
        new.variable,
    )
    return Step.RESTORE if same else Step.REPLACE


def _whole(name: str, records: frozenset[bytes]) -> ColumnRecords:
    marks = tuple(f"{letter}:{name}:".encode() for letter in "sfn")
    return parse_records(record for record in records if record.startswith(marks))[name]


def schema_of(schema: HangarSchema) -> tuple[Schema, bool]:
    """Our schema of a column, and whether its backend and options are as they were in Hangar.

    Options that are none of ours give way to the defaults of the backend, or of the shape.
    Errors: InvalidRequest, InvalidType.
    """
    kind: Kind = "ndarray" if schema.kind == NDARRAY else "str" if schema.kind == STR else "bytes"
    shape = schema.shape if kind == "ndarray" else ()
    wanted: tuple[tuple[str | None, dict[str, Any] | None], ...] = (
        (schema.backend, dict(schema.options)),
        (schema.backend, None),
        (None, None),
    )
    for backend, options in wanted:
        try:
            code, resolved = resolve_backend(
                backend, options, shape=shape, kind=kind, variable_shape=schema.variable
            )
        except HangardError:
            if backend is None:
                raise
            continue
        arguments: dict[str, Any] = {"dtype": schema.dtype} if kind == "ndarray" else {}
        made = make_schema(
            shape=shape,
            backend=code,
            backend_options=resolved,
            kind=kind,
            layout="nested" if schema.nested else "flat",
            variable_shape=schema.variable,
            **arguments,
        )
        return made, options is not None
    raise AssertionError("the last of the three is always possible")
