"""Backends by code and by name, and their options as a user spells them.

Given options stay in the schema as they were spelt; those left out are filled in once, when the
schema is made, so that a schema says all that is in force. What they mean is decided here.

Choice of a backend that nobody named, as in Hangar::

    str                              30
    bytes                            31
    1-D, fewer than 400 items        10
    1-D, up to 10,000,000 items      00
    any other fixed shape            01
    any other variable shape         00

Options of the HDF5 backends, 00 and 01 (the others have none)::

    complib     blosc2:blosclz|lz4|lz4hc|zlib|zstd (also spelt blosc:), gzip, lzf, none
    complevel   0 to 9; None with lzf and none
    shuffle     'none', 'byte', 'bit' with blosc2; True, False, 'byte', 'none' with gzip and lzf
    fletcher32  True, False: HDF5's own checksum of each chunk, for those who read it with h5py

Left out, they are blosc2:lz4 at level 5 with byte shuffle. Hangar's default is lz4hc, and lzf for
samples of up to 16 bytes, since its Blosc cannot take less at once. Here many samples share a
chunk, so that both rules lose their reason: of 28x28 uint8 images in blocks of 2 KiB lz4
compresses 760 MB/s to 38 %, zstd at level 1 190 MB/s to 32 %; they decode at 1,240 and 930 MB/s
(bench/bench_codec.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hangard.errors import InvalidRequest, InvalidType

# Format code -> name. Both stay what they mean; codes are permanent.
BACKEND_NAMES = {"00": "hdf5", "01": "hdf5-fixed", "10": "numpy", "30": "str", "31": "bytes"}
_CODES = {name: code for code, name in BACKEND_NAMES.items()}
HDF5_BACKENDS = ("00", "01")
_BACKENDS_OF_KIND = {"ndarray": ("00", "01", "10"), "str": ("30",), "bytes": ("31",)}

# blosc2:* are the codecs of HDF5's filter 32026. Hangar's blosc:* are spellings of the same: Blosc2
# writes no chunk that the older filter 32001 accepts.
Blosc2Codec = Literal["blosclz", "lz4", "lz4hc", "zlib", "zstd"]
BLOSC2_CODECS: tuple[Blosc2Codec, ...] = get_args(Blosc2Codec)
Codec = Blosc2Codec | Literal["gzip", "lzf", "none"]
LEVEL_MAX = 9
LEVEL_DEFAULT = 5
HdfFilter = Literal["blosc2", "shuffle", "gzip", "lzf", "fletcher32"]
Shuffle = Literal["none", "byte", "bit"]
SHUFFLES: tuple[Shuffle, ...] = get_args(Shuffle)

COMPLIBS: dict[str, Codec] = {
    **{f"{family}:{codec}": codec for family in ("blosc2", "blosc") for codec in BLOSC2_CODECS},
    "gzip": "gzip",
    "lzf": "lzf",
    "none": "none",
}
COMPLIB_DEFAULT = "blosc2:lz4"

NUMPY_ITEMS_MAX = 400  # of a 1-D sample that goes to 10; one of as many goes to 00
RAVELLED_ITEMS_MAX = 10_000_000  # of a 1-D sample that goes to 00


@dataclass(frozen=True, slots=True)
class Hdf5Options:
    """How a segment of format 00 or 01 stores its chunks."""

    codec: Codec = "lz4"
    level: int = LEVEL_DEFAULT
    shuffle: Shuffle = "byte"
    fletcher32: bool = False

    @property
    def blosc2_codec(self) -> Blosc2Codec | None:
        """The codec if it is one of Blosc2's."""
        if self.codec == "gzip" or self.codec == "lzf" or self.codec == "none":
            return None
        return self.codec

    @property
    def is_blosc2(self) -> bool:
        return self.blosc2_codec is not None

    @property
    def filters(self) -> tuple[HdfFilter, ...]:
        """HDF5's filters in the order in which a chunk goes through them."""
        result: list[HdfFilter] = []
        if self.codec == "gzip" or self.codec == "lzf":
            result = [self.codec] if self.shuffle == "none" else ["shuffle", self.codec]
        elif self.codec != "none":
            result = ["blosc2"]
        if self.fletcher32:
            result.append("fletcher32")
        return tuple(result)


def resolve_backend(
    backend: str | Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
    *,
    shape: tuple[int, ...],
    kind: str = "ndarray",
    variable_shape: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The format code of a backend that was named, or chosen, and all its options.

    ``backend``: a code (``"00"``), a name (``"hdf5"``), a dict that has one of the two under
    ``backend`` or ``name`` and options beside it, or None. ``defaults``: such a dict, of what holds
    where the caller says nothing; its backend is passed over for a column that it cannot store.
    Errors: InvalidRequest (``unknown-backend``, ``unsuitable-backend``,
    ``invalid-backend-option``), which name what is legal; InvalidType.
    """
    named, given = _split(backend, options)
    usual_name, usual = _split(dict(defaults), None) if defaults else (None, {})
    if named is None:
        if given:
            raise InvalidRequest(
                f"backend options without a backend; name one of {_listed(BACKEND_NAMES)}",
                code="invalid-backend-option",
            )
        code = _usual_code(usual_name, kind, shape, variable_shape)
    else:
        code = backend_code(named)
        _check_suits(code, kind, variable_shape)
    if code not in HDF5_BACKENDS:
        if given:
            raise InvalidType(
                f"backend {code} ({BACKEND_NAMES[code]}) has no options, but got"
                f" {', '.join(map(repr, given))}",
                code="invalid-backend-option",
            )
        return code, {}
    # Who names a compressor means another set of options, not some of it.
    return code, _complete(given if "complib" in given else {**usual, **given})


def backend_code(named: Any) -> str:
    """The format code of a code or a name. Errors: InvalidRequest (``unknown-backend``)."""
    if isinstance(named, str):
        code = _CODES.get(named, named)
        if code in BACKEND_NAMES:
            return code
    raise InvalidRequest(
        f"unknown backend {named!r}; there are {_listed(BACKEND_NAMES)}", code="unknown-backend"
    )


def hdf5_options(options: Mapping[str, Any]) -> Hdf5Options:
    """What the options of an HDF5 backend say; an absent one keeps its default.

    Errors: InvalidRequest (``invalid-backend-option``) naming the option and its legal values.
    """
    complete = _complete(options)
    level = complete["complevel"]
    given = complete["shuffle"]
    shuffle: Shuffle = "byte" if given else "none"
    if given in SHUFFLES:
        shuffle = given
    return Hdf5Options(
        codec=COMPLIBS[complete["complib"] or "none"],
        level=level if isinstance(level, int) else 0,
        shuffle=shuffle,
        fletcher32=complete.get("fletcher32", False),
    )


def _split(backend: Any, options: Any) -> tuple[Any, dict[str, Any]]:
    """The backend that a specification names, and the options it gives."""
    if options is not None and not isinstance(options, Mapping):
        raise InvalidType(
            f"backend options are a dict, not {type(options).__name__}",
            code="invalid-backend-option",
        )
    if not isinstance(backend, Mapping):
        return backend, dict(options or {})
    if options:
        raise InvalidRequest(
            "give the options in the backend's dict or in backend_options, not in both",
            code="invalid-backend-option",
        )
    given = dict(backend)
    names = [given.pop(key) for key in ("backend", "name") if given.get(key) is not None]
    if len(names) > 1 and backend_code(names[0]) != backend_code(names[1]):
        raise InvalidRequest(
            f"the dict names two backends, {names[0]!r} and {names[1]!r}", code="unknown-backend"
        )
    for key in ("backend", "name"):
        given.pop(key, None)
    return (names[0] if names else None), given


def _usual_code(
    usual_name: str | None, kind: str, shape: tuple[int, ...], variable_shape: bool
) -> str:
    """The backend of a column for which none was named."""
    if usual_name is not None:
        code = backend_code(usual_name)
        if _suits(code, kind, variable_shape):
            return code
    if kind != "ndarray":
        return _BACKENDS_OF_KIND[kind][0]
    if len(shape) == 1 and shape[0] < NUMPY_ITEMS_MAX:
        return "10"
    if len(shape) == 1 and shape[0] <= RAVELLED_ITEMS_MAX:
        return "00"
    return "00" if variable_shape else "01"


def _suits(code: str, kind: str, variable_shape: bool) -> bool:
    return code in _BACKENDS_OF_KIND[kind] and not (code == "01" and variable_shape)


def _check_suits(code: str, kind: str, variable_shape: bool) -> None:
    if _suits(code, kind, variable_shape):
        return
    legal = [code for code in _BACKENDS_OF_KIND[kind] if _suits(code, kind, variable_shape)]
    what = f"{kind} samples" + (
        " of variable shape" if variable_shape and kind == "ndarray" else ""
    )
    raise InvalidRequest(
        f"backend {code} ({BACKEND_NAMES[code]}) does not store {what}; use {_listed(legal)}",
        code="unsuitable-backend",
    )


def _complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with those left out filled in, all checked."""
    result = dict(options)
    known = ("complib", "complevel", "shuffle", "fletcher32")
    for name in result:
        if name not in known:
            raise InvalidType(
                f"unknown backend option {name!r}; there are {', '.join(known)}",
                code="invalid-backend-option",
            )
    complib = result.setdefault("complib", COMPLIB_DEFAULT)
    _check_legal("complib", complib, (*COMPLIBS, None))
    codec = COMPLIBS[complib or "none"]
    suffix = f" with complib={complib!r}"
    if codec in ("lzf", "none"):
        _check_legal("complevel", result.setdefault("complevel", None), (None, "none"), suffix)
    else:
        level = result.setdefault("complevel", LEVEL_DEFAULT)
        if isinstance(level, np.integer):
            level = result["complevel"] = int(level)
        _check_legal("complevel", level, tuple(range(LEVEL_MAX + 1)), suffix)
    if codec in BLOSC2_CODECS:
        _check_legal("shuffle", result.setdefault("shuffle", "byte"), (*SHUFFLES, None), suffix)
    elif codec == "none":
        legal: tuple[Any, ...] = ("none", None, False)
        _check_legal("shuffle", result.setdefault("shuffle", "none"), legal, suffix)
    else:
        legal = (True, False, "byte", "none", None)
        _check_legal("shuffle", result.setdefault("shuffle", True), legal, suffix)
    if "fletcher32" in result:
        _check_legal("fletcher32", result["fletcher32"], (True, False))
    return result


def _check_legal(name: str, value: Any, legal: tuple[Any, ...], suffix: str = "") -> None:
    # A bool equals 0 or 1 and a float an int, but nobody means a level by them.
    if not any(type(value) is type(choice) and value == choice for choice in legal):
        raise InvalidRequest(
            f"backend option {name}={value!r}{suffix}; it may be " + ", ".join(map(repr, legal)),
            code="invalid-backend-option",
        )


def _listed(codes: Any) -> str:
    return ", ".join(f"{code} ({BACKEND_NAMES[code]})" for code in codes)
