"""A folder of folders as samples with subsamples: each folder is a sample, what lies in it its
subsamples, under their paths there."""

from __future__ import annotations

from collections.abc import Iterator

from hangard.cli.importing.files import Files
from hangard.cli.importing.images import Images
from hangard.cli.importing.samples import Batch, Samples
from hangard.errors import InvalidRequest


class Folders:
    """The samples of a folder under pairs of keys, cut at the first slash of their paths."""

    def __init__(self, samples: Samples) -> None:
        """Errors: InvalidRequest (``not-in-a-folder``) for keys that are no paths in folders."""
        paths = samples.paths if isinstance(samples, Images | Files) else ["the rows of an array"]
        for path in paths:
            if "/" not in path:
                raise InvalidRequest(
                    f"{path} lies in no folder: in a column with subsamples each folder is a"
                    " sample, its files are the subsamples",
                    code="not-in-a-folder",
                )
        self._samples = samples
        self.kind = samples.kind
        self.total = samples.total

    def batches(self) -> Iterator[Batch]:
        for keys, rows in self._samples.batches():
            yield [_pair(str(key)) for key in keys], rows

    def close(self) -> None:
        self._samples.close()


def _pair(path: str) -> tuple[str, str]:
    folder, _, name = path.partition("/")
    return folder, name
