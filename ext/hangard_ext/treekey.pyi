from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

_Key: TypeAlias = int | str | tuple[int | str, int | str]
_PackedKeys: TypeAlias = tuple[bytes, npt.NDArray[np.uint32]]

KEY_INT_MAX: Final[int]
KEY_TEXT_BYTES_MAX: Final[int]
ENCODED_KEY_BYTES_MAX: Final[int]

def encode_key(key: object, nested: bool | None = None) -> bytes: ...
def encode_keys(
    keys: Iterable[object] | npt.NDArray[Any], nested: bool | None = None
) -> _PackedKeys: ...
def decode_key(encoded: Buffer) -> _Key: ...
def decode_keys(blob: Buffer, ends: npt.NDArray[np.uint32]) -> list[_Key]: ...
def check_keys(blob: Buffer, ends: npt.NDArray[np.uint32], nested: bool) -> None: ...
