"""Backends by name, and their options as a user spells them.

Options stay in the schema as the user wrote them; what they mean is decided here, each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hangard.errors import InvalidRequest, InvalidType

# Spelling -> format code. The names stay what they mean; codes are permanent.
BACKENDS = {
    "00": "00",
    "hdf5": "00",
    "10": "10",
    "numpy": "10",
    "30": "30",
    "str": "30",
    "31": "31",
    "bytes": "31",
}
_BACKENDS_OF_KIND = {"ndarray": ("00", "10"), "str": ("30",), "bytes": ("31",)}

# The codecs of HDF5's filter 32026. Hangar's blosc:* are spellings of the same: Blosc2 writes no
# chunk that the older filter 32001 accepts.
Codec = Literal["blosclz", "lz4", "lz4hc", "zlib", "zstd"]
CODECS: tuple[Codec, ...] = get_args(Codec)
COMPLIBS = tuple(f"{family}:{codec}" for family in ("blosc2", "blosc") for codec in CODECS)
LEVEL_MAX = 9
Shuffle = Literal["none", "byte", "bit"]
SHUFFLES: tuple[Shuffle, ...] = get_args(Shuffle)

NUMPY_ITEMS_MAX = 400  # of a 1-D sample that goes to 10 when no backend is named, as in Hangar


@dataclass(frozen=True, slots=True)
class Hdf5Options:
    """How a segment of format 00 compresses its chunks.

    lz4 at level 5: of 28x28 uint8 images in blocks of 2 KiB it compresses 760 MB/s to 38 %, zstd
    at level 1 190 MB/s to 32 %; they decode at 1,240 and 930 MB/s.
    """

    codec: Codec = "lz4"
    level: int = 5
    shuffle: Shuffle = "byte"


def resolve_backend(
    backend: str | None,
    options: Mapping[str, Any] | None,
    *,
    shape: tuple[int, ...],
    kind: str = "ndarray",
    variable_shape: bool = False,
) -> tuple[str, dict[str, Any]]:
    """The format code of a backend that was named, or chosen for ``shape``, and its options.

    Errors: InvalidRequest (``unknown-backend``, ``invalid-backend-option``), InvalidType.
    """
    if backend is None:
        if options:
            raise InvalidRequest(
                "backend options without a backend; name one of " + ", ".join(BACKENDS),
                code="invalid-backend-option",
            )
        if kind != "ndarray":
            return _BACKENDS_OF_KIND[kind][0], {}
        return ("10" if len(shape) == 1 and shape[0] < NUMPY_ITEMS_MAX else "00"), {}
    code = BACKENDS.get(backend) if isinstance(backend, str) else None
    if code is None:
        raise InvalidRequest(
            f"unknown backend {backend!r}; there are " + ", ".join(BACKENDS),
            code="unknown-backend",
        )
    if code not in _BACKENDS_OF_KIND[kind]:
        raise InvalidRequest(
            f"backend {code} does not store {kind}; there are "
            + ", ".join(_BACKENDS_OF_KIND[kind]),
            code="unsuitable-backend",
        )
    if options is not None and not isinstance(options, Mapping):
        raise InvalidType(
            f"backend options are a dict, not {type(options).__name__}",
            code="invalid-backend-option",
        )
    given = dict(options or {})
    if code == "00":
        hdf5_options(given)
    elif given:
        raise InvalidRequest(
            f"backend {backend} has no options, but got {', '.join(map(repr, given))}",
            code="invalid-backend-option",
        )
    return code, given


def hdf5_options(options: Mapping[str, Any]) -> Hdf5Options:
    """What ``complib``, ``complevel`` and ``shuffle`` say; an absent one keeps its default.

    Errors: InvalidRequest (``invalid-backend-option``) naming the option and its legal values.
    """
    legal: dict[str, tuple[Any, ...]] = {
        "complib": COMPLIBS,
        "complevel": tuple(range(LEVEL_MAX + 1)),
        "shuffle": (*SHUFFLES, None),
    }
    for name, value in options.items():
        if name not in legal:
            raise InvalidRequest(
                f"unknown backend option {name!r}; there are {', '.join(legal)}",
                code="invalid-backend-option",
            )
        # A bool equals 0 or 1, but nobody means a level by it.
        if isinstance(value, bool) or value not in legal[name]:
            raise InvalidRequest(
                f"backend option {name}={value!r}; it may be " + ", ".join(map(repr, legal[name])),
                code="invalid-backend-option",
            )
    default = Hdf5Options()
    return Hdf5Options(
        codec=options.get("complib", f"blosc2:{default.codec}").partition(":")[2],
        level=int(options.get("complevel", default.level)),
        shuffle=options.get("shuffle", default.shuffle) or "none",
    )
