"""Keys of samples: an int, a text, or (in nested columns) a pair of those.

Order: ints numerically, then text by its UTF-8 bytes; a nested key is the pair. Keys are data,
never paths. Their bytes are described in hangard_ext.treekey.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from hangard_ext import treekey

from hangard.errors import InvalidRequest, InvalidType

__all__ = ["Key", "PackedKeys", "check_key", "encode_key", "encode_keys"]

Key: TypeAlias = int | str | tuple[int | str, int | str]
PackedKeys: TypeAlias = tuple[bytes, npt.NDArray[np.uint32]]
"""Encoded keys, one after the other, and the end of each: (blob, ends)."""


def check_key(key: object, nested: bool | None = None) -> Key:
    """The key as plain Python values (numpy integers become int).

    ``nested``: True wants a pair, False refuses one, None takes either.
    Errors: as encode_key.
    """
    return treekey.decode_key(encode_key(key, nested))


def encode_key(key: object, nested: bool | None = None) -> bytes:
    """One key in its encoded form.

    Errors: InvalidType (``invalid-key-type``) for bool and other types and for the wrong layout;
    InvalidRequest (``invalid-key``) for ints out of 0 .. 2**63 - 1, text that is not 1 to 255
    bytes of UTF-8, control characters, lone surrogates.
    """
    try:
        return treekey.encode_key(key, nested)
    except TypeError as error:
        raise InvalidType(str(error), code="invalid-key-type") from None
    except ValueError as error:
        raise InvalidRequest(str(error), code="invalid-key") from None


def encode_keys(keys: Iterable[Any], nested: bool | None = None) -> PackedKeys:
    """Many keys (any iterable, a range, an integer array of one axis) as one packed block.

    Errors: as encode_key, and the message names the first key at fault.
    """
    try:
        return treekey.encode_keys(keys, nested)
    except TypeError as error:
        raise InvalidType(str(error), code="invalid-key-type") from None
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(str(error), code="invalid-key") from None
