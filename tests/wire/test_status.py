import pytest

from hangard import errors
from hangard.wire import status


def error_classes():
    return [
        cls
        for name in errors.__all__
        if isinstance(cls := getattr(errors, name), type) and issubclass(cls, errors.HangardError)
    ]


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_every_error_is_rebuilt_as_the_same_class(cls):
    error = cls("what happened", code="some-code", keys=[["a", b"\x10"]], total=3)
    number = status.status_of(error)
    assert 400 <= number < 600
    rebuilt = status.decode_error(number, status.encode_error(error))
    assert type(rebuilt) is cls
    assert (rebuilt.code, rebuilt.message) == (error.code, error.message)
    assert rebuilt.details == error.details


def test_busy_says_when_to_come_back():
    assert status.headers_of(errors.Busy("full")) == {"Retry-After": "1"}
    assert status.status_of(errors.Busy("full")) == 429
    assert status.status_of(errors.Busy("full", code="memory-limit")) == 503
    assert status.headers_of(errors.Conflict("no")) == {}


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x80"])
def test_an_answer_without_a_message_is_unavailable(body):
    error = status.decode_error(502, body)
    assert isinstance(error, errors.Unavailable)
    assert "502" in str(error)


def test_details_cannot_collide_with_the_arguments_of_an_error():
    error = errors.HangardError("m")
    error.details = {"code": "x", "message": "y", "class_name": "z", "path": "p"}
    assert status.decode_error(500, status.encode_error(error)).details == {"path": "p"}
