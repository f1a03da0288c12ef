"""``hangard show``: one commit, its columns and, if asked, where every sample lies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click
import hangard_client
from rich.table import Table

from hangard.cli.completing import complete_columns, complete_revisions
from hangard.cli.describe import commit_lines, commit_record, decoration, names_record
from hangard.cli.output import console, human_bytes, key_text, print_json
from hangard.cli.place import open_repository
from hangard.errors import UnknownRevision
from hangard.model.directory import DIRECTORY
from hangard.model.options import BACKEND_NAMES
from hangard.model.schema import Schema

FORMAT_NAMES = {**BACKEND_NAMES, "20": "log"}


@click.command("show")
@click.argument("revision", required=False, shell_complete=complete_revisions)
@click.option("--locations", "with_locations", is_flag=True, help="Also where each sample lies.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    shell_complete=complete_columns,
    help="Locations of this column; repeatable.",
)
@click.option("-n", "count", type=click.IntRange(min=0), help="So many locations only.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    revision: str | None,
    with_locations: bool,
    columns: tuple[str, ...],
    count: int | None,
    as_json: bool,
) -> None:
    """Show the commit REVISION (a branch or a commit; the branch of HEAD if left out)."""
    with open_repository() as repo, repo.checkout(revision or repo.head()) as co:
        head = repo.head()
        if not co.commit_digest:
            raise UnknownRevision(
                f"branch {revision or repo.head()!r} has no commit yet",
                code="branch-without-commit",
            )
        history = repo.history(co.commit_digest, limit=1)
        (entry,) = history.entries
        chosen = [co[name] for name in columns] or list(co.columns.values())
        described = [describe(column) for column in co.columns.values()]
        places = islice(locations(chosen), count if with_locations else 0)
        if as_json:
            names = names_record(entry.digest, history)
            record = {**commit_record(entry), **names, "columns": described}
            print_json({**record, "locations": list(places)} if with_locations else record)
            return
        first, *others = commit_lines(entry)
        click.echo(first + decoration(entry.digest, history, head))
        for line in others:
            click.echo(line)
        click.echo()
        console().print(column_table(described))
        for place in places:
            click.echo(location_lines(place))


def describe(column: hangard_client.Column) -> dict[str, Any]:
    """A column's schema and how many samples it holds."""
    if isinstance(column, hangard_client.NestedColumn | hangard_client.NestedWriteColumn):
        return schema_record(column.name, column.schema, len(column), column.num_subsamples)
    return schema_record(column.name, column.schema, len(column))


def schema_record(
    name: str, schema: Schema, samples: int, subsamples: int | None = None
) -> dict[str, Any]:
    """A column as plain values; ``subsamples`` of a nested one, if they were counted.

    With ``variable_shape`` the shape is the bound of each dimension, and what the samples have
    together is not known without a look at each: ``raw_bytes`` is None.
    """
    fixed = not schema.variable_shape
    arrays = samples if subsamples is None else subsamples
    return {
        "name": name,
        "kind": schema.kind,
        "samples": samples,
        "subsamples": subsamples,
        "dtype": str(schema.numpy_dtype) if schema.kind == "ndarray" else None,
        "shape": list(schema.shape) if schema.kind == "ndarray" else None,
        "variable_shape": schema.variable_shape,
        "layout": schema.layout,
        "backend": schema.backend,
        "backend_options": schema.options,
        "sample_bytes": schema.sample_bytes if fixed else None,
        "raw_bytes": arrays * schema.sample_bytes if fixed else None,
    }


def column_table(columns: list[dict[str, Any]]) -> Table:
    """Columns for people."""
    table = Table("column", "samples", "dtype", "shape", "layout", "backend", "raw", box=None)
    for column in columns:
        table.add_row(
            column["name"],
            samples_text(column),
            column["dtype"] or column["kind"],
            shape_text(column),
            column["layout"],
            format_text(column["backend"]),
            "" if column["raw_bytes"] is None else human_bytes(column["raw_bytes"]),
        )
    return table


def shape_text(column: dict[str, Any]) -> str:
    """The shape of a column's samples; nothing of text and bytes."""
    if column["shape"] is None:
        return ""
    shape = str(tuple(column["shape"]))
    return f"up to {shape}" if column["variable_shape"] else shape


def samples_text(column: dict[str, Any]) -> str:
    """How many samples, and of a nested column how many subsamples."""
    subsamples = column["subsamples"]
    return f"{column['samples']:,}" + ("" if subsamples is None else f" ({subsamples:,})")


def locations(columns: list[hangard_client.Column]) -> Iterator[dict[str, Any]]:
    """Each sample's key, digest and spec, column by column in the order of the keys."""
    for column in columns:
        for place in column.locations():
            if place.purged:
                yield {
                    "column": column.name,
                    "key": place.key,
                    "digest": place.digest,
                    "purged": True,
                }
                continue
            yield {
                "column": column.name,
                "key": place.key,
                "digest": place.digest,
                "purged": False,
                "shape": None if column.schema.kind != "ndarray" else list(place.shape),
                "format": place.format_code,
                "file": f"{DIRECTORY}/{place.file}",
                "offset": place.offset,
                "stored_length": place.stored_length,
                "row": place.row,
                "codec": place.codec,
                "crc32c": f"{place.crc32c:08x}",
            }


def location_lines(place: dict[str, Any]) -> str:
    """A location as people read it."""
    name = f"\n{place['column']} {key_text(place['key'])}  {place['digest'].hex()[:16]}\n"
    if place["purged"]:
        return f"{name}    erased from all history"
    shape = "" if place["shape"] is None else f", shape {tuple(place['shape'])}"
    return (
        f"{name}    format {format_text(place['format'])}, {place['file']}, byte {place['offset']},"
        f" {place['stored_length']} bytes {place['codec']}, row {place['row']},"
        f" crc32c {place['crc32c']}{shape}"
    )


def format_text(code: str) -> str:
    """A format code with the name of its backend."""
    return f"{code} {FORMAT_NAMES.get(code, '')}".rstrip()
