"""``hangard export COLUMN [REVISION] -o FOLDER``: each sample of a column as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import hangard_client
import msgspec
import numpy as np

from hangard.cli.cat import npy_bytes, png_bytes
from hangard.cli.completing import complete_branches, complete_columns
from hangard.cli.output import counted, human_bytes, key_text, print_json
from hangard.cli.place import open_repository
from hangard.errors import AlreadyExists, InvalidRequest
from hangard.model.keys import Key

NAME_BYTES_MAX: Final = 255  # of a file, on every usual file system
SUFFIXES: Final[Mapping[str, str]] = {"str": ".txt", "bytes": ".bin"}


class Exported(msgspec.Struct, frozen=True):
    """What an export wrote."""

    column: str
    folder: str
    files: int
    bytes: int


@click.command("export")
@click.argument("column", shell_complete=complete_columns)
@click.argument("revision", required=False, shell_complete=complete_branches)
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to; made if it is not there.",
)
@click.option("--png", is_flag=True, help="Write images as PNG: uint8, (h, w[, 1 to 4]).")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(
    column: str,
    revision: str | None,
    folder: Path,
    png: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write each sample of COLUMN at REVISION (HEAD's branch if left out) to a file of its own.

    Arrays become .npy files, or PNG images with --png; text .txt and bytes .bin files. A file is
    called after its key, where / makes a folder; the suffix is added unless the key has it. In a
    column with subsamples each sample is a folder.

    Nothing is written if a key would leave the folder, two keys would share a file, or a file is
    there already.
    """
    with open_repository() as repo, repo.checkout(revision or repo.head()) as co:
        samples = co[column]
        kind = samples.schema.kind
        if png and kind != "ndarray":
            raise InvalidRequest(f"column {column!r} holds {kind}, not images", code="no-image")
        suffix = ".png" if png else SUFFIXES.get(kind, ".npy")
        check_paths(folder, all_keys(samples), suffix, overwrite=overwrite)
        encode = png_bytes if png else content_of
        files, size = write_all(folder, all_items(samples), suffix, encode)
    done = Exported(column, str(folder), files, size)
    if as_json:
        print_json(done)
        return
    click.echo(f"Wrote {counted(files, 'file')}, {human_bytes(size)}, to {folder}")


def all_keys(samples: Any) -> Iterator[Any]:
    """Keys of a column, pairs in one with subsamples."""
    if not isinstance(samples, hangard_client.NestedColumn):
        yield from samples.keys()
        return
    for sample in samples:
        for subsample in samples.subsample_keys(sample):
            yield sample, subsample


def all_items(samples: Any) -> Iterator[tuple[Key, Any]]:
    """The same with what they hold."""
    if not isinstance(samples, hangard_client.NestedColumn):
        yield from samples.items()
        return
    for key in all_keys(samples):
        yield key, samples.read(key)


def check_paths(folder: Path, keys: Iterable[Key], suffix: str, *, overwrite: bool) -> None:
    """Errors: InvalidRequest (``key-is-no-path``, ``same-file``); AlreadyExists
    (``file-exists``)."""
    seen: dict[Path, Key] = {}
    for key in keys:
        path = path_of(folder, key, suffix)
        if path in seen:
            raise InvalidRequest(
                f"keys {seen[path]!r} and {key!r} would both be written to {path}", code="same-file"
            )
        if path.exists() and not overwrite:
            raise AlreadyExists(
                f"{path} is there already; --overwrite replaces it", code="file-exists"
            )
        seen[path] = key


def path_of(folder: Path, key: Key, suffix: str) -> Path:
    """The file of a key. Errors: InvalidRequest (``key-is-no-path``)."""
    parts = [part for whole in _parts(key) for part in str(whole).split("/")]
    legal = all(part not in ("", ".", "..") for part in parts)
    if not parts[-1].endswith(suffix):
        parts[-1] += suffix
    if legal and max(len(part.encode()) for part in parts) <= NAME_BYTES_MAX:
        path = folder.joinpath(*parts)
        # A link in the folder must not lead out of it either.
        if path.resolve().is_relative_to(folder.resolve()):
            return path
    raise InvalidRequest(
        f"key {key_text(key)!r} is no path within {folder}; write it with: hangard cat ... -o FILE",
        code="key-is-no-path",
    )


def write_all(
    folder: Path,
    items: Iterable[tuple[Key, Any]],
    suffix: str,
    encode: Callable[[Any], bytes],
) -> tuple[int, int]:
    """How many files, and bytes. Errors: those of ``encode``; OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    files = size = 0
    for key, sample in items:
        path = path_of(folder, key, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = encode(sample)
        path.write_bytes(content)
        files += 1
        size += len(content)
    return files, size


def content_of(sample: Any) -> bytes:
    """What stands in the file of a sample."""
    if isinstance(sample, str):
        return sample.encode()
    return sample if isinstance(sample, bytes) else npy_bytes(np.asarray(sample))


def _parts(key: Key) -> tuple[int | str, ...]:
    return key if isinstance(key, tuple) else (key,)
