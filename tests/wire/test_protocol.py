import pytest

from hangard.errors import Unavailable
from hangard.wire import protocol


def test_the_same_version_passes():
    protocol.check_version(str(protocol.PROTOCOL_VERSION), peer="client")


@pytest.mark.parametrize("theirs", [None, "0", "", "x", "²"])
def test_an_older_peer_is_the_one_to_restart(theirs):
    with pytest.raises(Unavailable) as caught:
        protocol.check_version(theirs, peer="client")
    assert caught.value.details["restart"] == "client"
    assert caught.value.code == "protocol-mismatch"


def test_a_newer_peer_means_that_this_side_is_old():
    with pytest.raises(Unavailable) as caught:
        protocol.check_version("9" * 400, peer="client")
    assert caught.value.details["restart"] == "daemon"
