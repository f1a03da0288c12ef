"""Files as samples, whole: text in UTF-8, or bytes. The key is the path below the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from hangard.cli.importing.samples import BATCH_BYTES, TEXT_DTYPE, Batch, SampleKind
from hangard.errors import InvalidRequest
from hangard.limits import SAMPLE_BYTES_MAX

BATCH_FILES_MAX = 1024


class Files:
    """Every file below a folder, or one file. Hidden ones are left out."""

    def __init__(self, path: Path, kind: Literal["str", "bytes"]) -> None:
        """Errors: InvalidRequest (``no-rows``, ``sample-too-large``)."""
        self._folder = path if path.is_dir() else path.parent
        self._files = files_below(path) if path.is_dir() else [path]
        if not self._files:
            raise InvalidRequest(f"there is no file in {path}", code="no-rows")
        for file in self._files:
            if file.stat().st_size > SAMPLE_BYTES_MAX:
                raise InvalidRequest(
                    f"{file} has {file.stat().st_size} bytes; a sample has at most"
                    f" {SAMPLE_BYTES_MAX}",
                    code="sample-too-large",
                )
        self.kind = SampleKind(TEXT_DTYPE, (), variable_shape=True, kind=kind)
        self.total = len(self._files)

    @property
    def paths(self) -> list[str]:
        """All keys: the files' paths below the folder."""
        return [file.relative_to(self._folder).as_posix() for file in self._files]

    def batches(self) -> Iterator[Batch]:
        keys: list[str] = []
        samples: list[Any] = []
        size = 0
        for file in self._files:
            content = file.read_bytes()
            size += len(content)
            keys.append(file.relative_to(self._folder).as_posix())
            samples.append(self._text(file, content) if self.kind.kind == "str" else content)
            if size >= BATCH_BYTES or len(keys) >= BATCH_FILES_MAX:
                yield keys, samples
                keys, samples, size = [], [], 0
        if keys:
            yield keys, samples

    def close(self) -> None:
        """Nothing is open between two batches."""

    def _text(self, file: Path, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"{file} is no text in UTF-8 ({error}); --kind bytes takes it as it is",
                code="damaged-import",
            ) from error


def files_below(folder: Path) -> list[Path]:
    """Files below a folder, in the order of their paths; hidden ones are left out."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
