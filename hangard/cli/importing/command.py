"""``hangard import COLUMN PATH``: stage samples from a folder of images or a file of arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click
import hangard_client
import msgspec
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hangard.cli.importing.arrays import (
    hdf5_members,
    npz_members,
    open_hdf5,
    open_npy,
    open_npz,
)
from hangard.cli.importing.files import Files
from hangard.cli.importing.folders import Folders
from hangard.cli.importing.images import Images, is_image
from hangard.cli.importing.samples import SampleKind, Samples
from hangard.cli.output import counted, human_bytes, print_json, progress_console
from hangard.cli.place import open_repository
from hangard.cli.staging import default_session
from hangard.errors import InvalidRequest

TextKind = Literal["str", "bytes"]

HDF5_SUFFIXES = {".h5", ".hdf5", ".hdf"}


class Imported(msgspec.Struct, frozen=True):
    """What an import staged, and the commit if there was one."""

    column: str
    samples: int
    sample_bytes: int
    created_column: bool
    branch: str
    commit: str | None = None


@click.command("import")
@click.argument("column")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--member", help="The array to take from an .npz or .h5 file that has several.")
@click.option("--all", "all_members", is_flag=True, help="Take all arrays of such a file.")
@click.option(
    "--kind",
    type=click.Choice(["str", "bytes"]),
    help="Take PATH, or each file below it, as text or as bytes.",
)
@click.option("--nested", is_flag=True, help="PATH is a folder of folders: see below.")
@click.option("--backend", help="How a new column is stored: numpy or hdf5.")
@click.option("--option", "options", multiple=True, help="Backend option NAME=VALUE; repeatable.")
@click.option("--branch", help="The branch to stage for; without it the repository's HEAD.")
@click.option("--commit", "message", metavar="MESSAGE", help="Commit what is staged afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print what was staged as JSON.")
def command(
    column: str,
    path: Path,
    member: str | None,
    all_members: bool,
    kind: TextKind | None,
    nested: bool,
    backend: str | None,
    options: tuple[str, ...],
    branch: str | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Stage samples from PATH into COLUMN; `hangard commit` makes them permanent.

    \b
    A folder     each image below it; the key is its path in the folder, with the suffix.
                 Images of several sizes make a column of variable shape; one mode have all.
                 Into a column with subsamples (--nested makes a new one): each folder in it is a
                 sample, what lies below that folder are its subsamples.
    An image     one sample; the key is its file name.
    Any file     with --kind str its text in UTF-8, with --kind bytes its bytes; of a folder
                 each file below it, with its path as key.
    .npy         the rows of the first axis; the keys are 0 .. n-1.
    .npz, .h5    the same, of the array that --member names (not needed if there is one only);
                 with --all each array goes into a column of its own, named COLUMN.MEMBER.

    A column that does not exist is created from the first sample. Keys that exist get the new
    value.
    """
    if member is not None and all_members:
        raise click.UsageError("give either --member or --all")
    if kind is not None and (member is not None or all_members):
        raise click.UsageError("--kind takes whole files, --member and --all their arrays")
    targets = [(column, member)]
    if all_members:
        targets = [(f"{column}.{name.replace('/', '.')}", name) for name in members_of(path)]
    with open_repository() as repo, default_session(repo, branch) as co:
        staged = [
            import_member(co, name, path, chosen, backend, options, kind, nested)
            for name, chosen in targets
        ]
        co.flush()
        commit = co.commit(message).hex() if message is not None else None
    done = [msgspec.structs.replace(imported, commit=commit) for imported in staged]
    if as_json:
        print_json(done if all_members else done[0])
        return
    for imported in done:
        click.echo(f"{'Staged' if commit is None else 'Committed'} {described(imported)}")
    if commit is None:
        click.echo("Next: hangard commit -m MESSAGE")


def import_member(
    co: hangard_client.WriteCheckout,
    column: str,
    path: Path,
    member: str | None,
    backend: str | None,
    options: tuple[str, ...],
    kind: TextKind | None = None,
    nested: bool = False,
) -> Imported:
    """Stage one file, folder or array of a file into one column."""
    created = column not in co
    if nested and not created and not co[column].contains_subsamples:
        raise click.UsageError(f"column {column!r} exists and has no subsamples")
    nested = nested or (not created and co[column].contains_subsamples)
    samples = open_samples(path, member) if kind is None else Files(path, kind)
    try:
        samples = Folders(samples) if nested else samples
        if created:
            add_column(co, column, samples.kind, nested, backend, backend_options(options))
        elif backend is not None or options:
            raise click.UsageError(
                f"column {column!r} exists; --backend and --option are for new columns"
            )
        sample_bytes = stage(co[column], samples)
    finally:
        samples.close()
    return Imported(column, samples.total, sample_bytes, created, co.branch)


def add_column(
    co: hangard_client.WriteCheckout,
    name: str,
    kind: SampleKind,
    nested: bool,
    backend: str | None,
    options: dict[str, Any] | None,
) -> None:
    """Create the column that an import needs."""
    if kind.kind == "str":
        co.add_str_column(name, nested, backend=backend, backend_options=options)
    elif kind.kind == "bytes":
        co.add_bytes_column(name, nested, backend=backend, backend_options=options)
    else:
        co.add_ndarray_column(
            name,
            kind.shape,
            kind.dtype,
            variable_shape=kind.variable_shape,
            contains_subsamples=nested,
            backend=backend,
            backend_options=options,
        )


def described(imported: Imported) -> str:
    """What was staged, and for which branch or in which commit."""
    size = f"{counted(imported.samples, 'sample')}, {human_bytes(imported.sample_bytes)},"
    branch = f"branch {imported.branch}"
    where = f"for {branch}." if imported.commit is None else f"to {branch}: {imported.commit[:16]}"
    return f"{size} into column {imported.column!r} {where}"


def members_of(path: Path) -> list[str]:
    """The arrays of a file. Errors: click.UsageError, if it is of a kind that has one only."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        names = npz_members(path)
    elif suffix in HDF5_SUFFIXES:
        names = hdf5_members(path)
    else:
        raise click.UsageError("--all is for .npz and .h5 files")
    if not names:
        raise InvalidRequest(f"{path} holds no array", code="no-member")
    return names


def open_samples(path: Path, member: str | None) -> Samples:
    """The samples that a path stands for. Errors: click.UsageError for a suffix nobody knows."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return open_npz(path, member)
    if suffix in HDF5_SUFFIXES:
        return open_hdf5(path, member)
    if member is not None:
        raise click.UsageError("--member is for .npz and .h5 files")
    if suffix == ".npy":
        return open_npy(path)
    if path.is_dir() or is_image(path):
        return Images(path)
    raise click.UsageError(
        f"{path}: import a folder of images, an image, or an .npy, .npz or .h5 file;"
        " --kind str or --kind bytes takes any file as it is"
    )


def backend_options(options: tuple[str, ...]) -> dict[str, Any] | None:
    """``("complevel=5",)`` as a dict; None if there are none."""
    values: dict[str, Any] = {}
    for option in options:
        name, separator, text = option.partition("=")
        if not separator or not name:
            raise click.UsageError(f"--option {option!r}: write NAME=VALUE")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values or None


def stage(column: hangard_client.WriteColumn, samples: Samples) -> int:
    """Put all samples, with a progress bar where people watch; the bytes of all of them."""
    console = progress_console()
    sample_bytes = 0
    with Progress(
        TextColumn("import"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("import", total=samples.total)
        for keys, rows in samples.batches():
            column.put_many(keys, rows)
            sample_bytes += sum(map(bytes_of, rows)) if isinstance(rows, list) else rows.nbytes
            progress.advance(task, len(keys))
    return sample_bytes


def bytes_of(sample: Any) -> int:
    """Bytes of an array, or of a text or byte string as it is stored."""
    if isinstance(sample, str):
        return len(sample.encode())
    return len(sample) if isinstance(sample, bytes) else int(sample.nbytes)
