"""Which backend stores a schema's batches, and the process that the HDF5 ones share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hangard.backends.disk import Disk
from hangard.backends.hdf5_segment import Hdf5Segment
from hangard.backends.hdf5_writer import Hdf5Writer, ProcessLost
from hangard.backends.numpy_segment import NumpySegment
from hangard.backends.segment import Segment
from hangard.errors import InvalidRequest
from hangard.model.directory import FORMAT_HDF5, FORMAT_HDF5_FIXED, FORMAT_NUMPY, data_path
from hangard.model.options import HDF5_BACKENDS, hdf5_options
from hangard.model.schema import Schema


class SegmentFactory:
    """Creates segments for schemas. Thread-safe."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self.hdf5 = Hdf5Writer()

    def create(self, schema: Schema, number: int) -> Segment:
        """A new segment with this number. Errors: NoSpace, SegmentLost, InvalidRequest."""
        if schema.backend == "10":
            path = self._directory / data_path(FORMAT_NUMPY, number)
            return NumpySegment(path, number, schema.dtype, schema.shape, self._disk)
        if schema.backend in HDF5_BACKENDS:
            code = FORMAT_HDF5 if schema.backend == "00" else FORMAT_HDF5_FIXED
            return Hdf5Segment(
                self._directory / data_path(code, number),
                number,
                schema.dtype,
                schema.shape,
                self._disk,
                writer=self.hdf5,
                options=hdf5_options(schema.options),
                format_code=code,
            )
        raise InvalidRequest(f"unknown backend {schema.backend!r}", code="unknown-backend")

    def expect(self, schema: Schema) -> None:
        """Batches of this schema are to come: what takes long to start is started now."""
        if schema.backend in HDF5_BACKENDS:
            with suppress(ProcessLost):
                self.hdf5.start()

    def close(self) -> None:
        """End the HDF5 process."""
        self.hdf5.close()
