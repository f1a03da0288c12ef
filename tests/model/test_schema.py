"""Schemas: what is possible, and what is refused."""

import pytest

from hangard.encoding.objects import decode_schema, encode_schema
from hangard.errors import InvalidRequest, InvalidType
from hangard.limits import SAMPLE_BYTES_MAX
from hangard.model.schema import check_schema, make_schema
from hangard.wire.messages import SchemaMessage

SCHEMAS = [
    make_schema(dtype="f4", shape=(3, 4), backend="00"),
    make_schema(dtype="f4", shape=(3, 4), backend="00", variable_shape=True),
    make_schema(dtype="u1", shape=5, backend="10", variable_shape=True, layout="nested"),
    make_schema(dtype="c16", shape=(), backend="00"),
    make_schema(dtype="i8", shape=(0, 7), backend="10"),
    make_schema(kind="str", backend="30"),
    make_schema(kind="bytes", backend="31", layout="nested"),
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_kind_and_layout_survives_its_record_and_its_message(schema):
    assert decode_schema(encode_schema(schema)) == schema
    assert SchemaMessage.of(schema).schema() == schema


def test_text_has_no_bound_but_that_of_every_sample():
    text = make_schema(kind="str", backend="30")
    assert text.variable_shape
    assert text.shape == ()
    assert text.bound == (SAMPLE_BYTES_MAX,)
    assert text.sample_bytes == SAMPLE_BYTES_MAX


@pytest.mark.parametrize("given", [{"dtype": "f4"}, {"shape": (3,)}])
def test_text_has_neither_dtype_nor_shape(given):
    with pytest.raises(InvalidRequest) as caught:
        make_schema(kind="str", backend="30", **given)
    assert caught.value.code == "unsupported-schema"


@pytest.mark.parametrize("given", [{"kind": "tensor"}, {"layout": "deep"}])
def test_unknown_kinds_and_layouts_are_refused_with_those_there_are(given):
    with pytest.raises(InvalidRequest, match=r"'(str|nested)'"):
        make_schema(dtype="f4", shape=(3,), backend="00", **given)


def test_the_largest_sample_of_a_variable_shape_is_bounded():
    with pytest.raises(InvalidRequest) as caught:
        make_schema(dtype="f4", shape=(2**20, 2**10), backend="00", variable_shape=True)
    assert caught.value.code == "sample-too-large"


@pytest.mark.parametrize("schema", SCHEMAS[:2])
def test_a_schema_of_another_clients_making_is_checked(schema):
    made = check_schema(
        make_schema(
            dtype=schema.dtype,
            shape=schema.shape,
            backend="10",
            variable_shape=schema.variable_shape,
        )
    )
    assert made.variable_shape == schema.variable_shape


@pytest.mark.parametrize("backend", ["00", "10", "31"])
def test_text_goes_into_its_own_backend(backend):
    with pytest.raises(InvalidRequest) as caught:
        check_schema(make_schema(kind="str", backend=backend))
    assert caught.value.code == "unsuitable-backend"


def test_a_dtype_is_a_dtype():
    with pytest.raises(InvalidType):
        make_schema(dtype="object", shape=(3,), backend="00")
