import numpy as np
import numpy.typing as npt

_Bytes = npt.NDArray[np.uint8]
_Ends = npt.NDArray[np.uint64]

def digest_shaped(
    context: str, head: bytes, shapes: _Ends, data: _Bytes, ends: _Ends, out: _Bytes
) -> None: ...
def crc32c_ragged(data: _Bytes, ends: _Ends) -> npt.NDArray[np.uint32]: ...
def take_ragged(
    data: _Bytes, ends: _Ends, positions: npt.NDArray[np.int64]
) -> tuple[_Bytes, _Ends]: ...
