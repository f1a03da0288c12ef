"""``hangard cat COLUMN KEY``: one sample; ``COLUMN SAMPLE SUBSAMPLE`` of a nested column."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import click
import hangard_client
import numpy as np
import numpy.typing as npt

from hangard.cli.completing import complete_branches, complete_columns
from hangard.cli.importing.samples import listed
from hangard.cli.output import key_text, print_json
from hangard.cli.place import open_repository
from hangard.errors import InvalidRequest, UnknownColumn, UnknownKey
from hangard.model.keys import Key

INTEGER = re.compile(r"0|[1-9][0-9]*")
IMAGE_MODES_NDIM = {2, 3}
# More would take numpy minutes to format, and nobody to read.
TEXT_ITEMS_MAX = 100_000


@click.command("cat")
@click.argument("column", shell_complete=complete_columns)
@click.argument("key")
@click.argument("subsample", required=False)
@click.option(
    "--revision",
    "-r",
    shell_complete=complete_branches,
    help="A branch or commit; the branch of HEAD if left out.",
)
@click.option("--text-key", is_flag=True, help="Keys are text although they look like numbers.")
@click.option("--npy", is_flag=True, help="Write it as an .npy file.")
@click.option("--png", is_flag=True, help="Write it as a PNG image: uint8, (h, w[, 1 to 4]).")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="To a file.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with dtype and shape.")
def command(
    column: str,
    key: str,
    subsample: str | None,
    revision: str | None,
    text_key: bool,
    npy: bool,
    png: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Print the sample KEY of COLUMN: its dtype, its shape and its numbers; a text as it is.

    In a column with subsamples KEY names a sample and SUBSAMPLE one of its subsamples. Bytes go to
    a file or a pipe only.
    """
    if npy + png + as_json > 1:
        raise click.UsageError("choose one of --npy, --png and --json")
    parts = [key] if subsample is None else [key, subsample]
    keys = [int(part) if INTEGER.fullmatch(part) and not text_key else part for part in parts]
    chosen: Key = keys[0] if subsample is None else (keys[0], keys[1])
    with open_repository() as repo, repo.checkout(revision or repo.head()) as co:
        try:
            sample = read_sample(co[column], chosen)
        except (UnknownColumn, UnknownKey) as error:
            error.message += "; what is only staged is not shown before it is committed"
            raise
    if isinstance(sample, str | bytes):
        if npy or png:
            raise InvalidRequest(
                f"column {column!r} holds {type(sample).__name__}, not arrays", code="no-array"
            )
        write_text(column, chosen, sample, output, as_json)
        return
    sample = np.asarray(sample)
    if npy:
        write_bytes(npy_bytes(sample), output)
    elif png:
        write_bytes(png_bytes(sample), output)
    elif as_json:
        print_json(
            {
                "column": column,
                "key": chosen,
                "dtype": str(sample.dtype),
                "shape": sample.shape,
                "data": json_values(sample),
            }
        )
    elif output is not None:
        output.write_text(array_text(sample) + "\n")
    else:
        click.echo(array_text(sample))


def read_sample(column: hangard_client.Column, key: Key) -> Any:
    """Errors: UnknownKey; click.UsageError, if the key has a part too few or too many."""
    if isinstance(column, hangard_client.NestedColumn):
        if not isinstance(key, tuple):
            raise click.UsageError(
                f"{column.name!r} has subsamples; name one of {key_text(key)!r} behind it:"
                f" {listed([key_text(part) for part in column.subsample_keys(key)])}"
            )
    elif isinstance(key, tuple):
        raise click.UsageError(f"{column.name!r} has no subsamples; give one key")
    return column.read(key)


def write_text(
    column: str, key: Key, sample: str | bytes, output: Path | None, as_json: bool
) -> None:
    """A text or byte string as it is, or in JSON; bytes there in base64."""
    if as_json and isinstance(sample, str):
        print_json({"column": column, "key": key, "data": sample})
    elif as_json:
        assert isinstance(sample, bytes)
        data = base64.b64encode(sample).decode()
        print_json({"column": column, "key": key, "encoding": "base64", "data": data})
    elif isinstance(sample, bytes):
        write_bytes(sample, output)
    elif output is not None:
        output.write_bytes(sample.encode())
    else:
        click.echo(sample)


def array_text(sample: npt.NDArray[Any]) -> str:
    """A line with dtype and shape, then every number; of a large sample the outermost."""
    if sample.size <= TEXT_ITEMS_MAX:
        numbers = np.array2string(sample, threshold=sys.maxsize, max_line_width=100)
        return f"# {sample.dtype} {sample.shape}\n{numbers}"
    numbers = np.array2string(sample, threshold=0, max_line_width=100)
    shortened = f"shortened: --npy writes all {sample.size:,} values"
    return f"# {sample.dtype} {sample.shape}, {shortened}\n{numbers}"


def json_values(sample: npt.NDArray[Any]) -> Any:
    """Nested lists; a complex number is a pair."""
    if sample.dtype.kind == "c":
        sample = np.stack([sample.real, sample.imag], axis=-1)
    return sample.tolist()


def npy_bytes(sample: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, sample, allow_pickle=False)
    return stream.getvalue()


def png_bytes(sample: npt.NDArray[Any]) -> bytes:
    """Errors: InvalidRequest (``no-image``)."""
    from PIL import Image

    if sample.dtype.kind not in "bu" or sample.ndim not in IMAGE_MODES_NDIM:
        raise InvalidRequest(
            f"a sample of {sample.dtype} {sample.shape} is no image", code="no-image"
        )
    stream = io.BytesIO()
    try:
        Image.fromarray(sample.squeeze(-1) if sample.shape[2:] == (1,) else sample).save(
            stream, "PNG"
        )
    except (TypeError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"a sample of {sample.dtype} {sample.shape} is no image: {error}", code="no-image"
        ) from error
    return stream.getvalue()


def write_bytes(content: bytes, output: Path | None) -> None:
    """To a file, or to standard output unless a person would see it."""
    if output is not None:
        output.write_bytes(content)
        return
    if sys.stdout.isatty():
        raise click.UsageError("this is binary: name a file with -o, or redirect the output")
    sys.stdout.buffer.write(content)
