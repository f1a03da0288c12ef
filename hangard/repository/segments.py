"""Which backend stores a schema's batches, and the process that the HDF5 ones share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hangard.backends.disk import Disk
from hangard.backends.hdf5_ragged import RaggedHdf5Segment
from hangard.backends.hdf5_segment import Hdf5Segment
from hangard.backends.hdf5_writer import Hdf5Writer, ProcessLost
from hangard.backends.numpy_segment import NumpySegment
from hangard.backends.packed_segment import PackedSegment
from hangard.backends.segment import SegmentFile, SegmentForm
from hangard.model.directory import FORMAT_BYTES, FORMAT_NUMPY, FORMAT_STR, data_path
from hangard.model.options import HDF5_BACKENDS, hdf5_options
from hangard.model.schema import Schema


class SegmentFactory:
    """Creates segments for schemas. Thread-safe."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self.hdf5 = Hdf5Writer()

    def create(self, form: SegmentForm, number: int) -> SegmentFile:
        """A new segment with this number. Errors: NoSpace, SegmentLost, InvalidRequest."""
        code = int(form.backend)
        path = self._directory / data_path(code, number)
        # An old repository has no folder for the backends that came later.
        path.parent.mkdir(exist_ok=True)
        if code == FORMAT_NUMPY:
            return NumpySegment(path, number, form.dtype, form.shape, self._disk)
        if code in (FORMAT_STR, FORMAT_BYTES):
            return PackedSegment(path, number, code, self._disk)
        kind = RaggedHdf5Segment if form.ragged else Hdf5Segment
        return kind(
            path,
            number,
            form.dtype,
            form.shape,
            self._disk,
            writer=self.hdf5,
            options=hdf5_options(dict(form.options)),
            format_code=code,
            chunk_items=form.chunk_items,
        )

    def expect(self, schema: Schema) -> None:
        """Batches of this schema are to come: what takes long to start is started now."""
        if schema.backend in HDF5_BACKENDS:
            with suppress(ProcessLost):
                self.hdf5.start()

    def close(self) -> None:
        """End the HDF5 process."""
        self.hdf5.close()
