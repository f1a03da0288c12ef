import os
import stat

import pytest

from hangard.daemon import place
from hangard.errors import PermissionDenied
from hangard.wire.endpoint import Endpoint, read_endpoint


@pytest.fixture
def runtime(tmp_path_factory, monkeypatch):
    directory = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def test_sockets_lie_in_a_private_directory_named_by_the_repository(runtime, tmp_path):
    first = place.socket_paths(tmp_path)
    assert first == place.socket_paths(tmp_path / ".")
    assert first != place.socket_paths(tmp_path / "other")
    assert first[0].parent == runtime / "hangard"
    assert stat.S_IMODE(first[0].parent.stat().st_mode) == 0o700


def test_without_a_runtime_directory_the_temp_directory_serves(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert place.socket_directory() == tmp_path / f"hangard-{os.geteuid()}"


def test_a_directory_that_others_can_enter_is_refused(runtime):
    (runtime / "hangard").mkdir(mode=0o755)
    (runtime / "hangard").chmod(0o755)
    with pytest.raises(PermissionDenied) as caught:
        place.socket_directory()
    assert caught.value.code == "unsafe-socket-directory"


def test_a_link_to_a_directory_is_refused(runtime, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (runtime / "hangard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionDenied):
        place.socket_directory()


def test_a_dead_daemons_socket_is_replaced_and_the_new_one_is_private(runtime, tmp_path):
    path = place.socket_paths(tmp_path)[0]
    place.bind(path).close()
    with place.bind(path) as listener:
        assert listener.getsockname() == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_endpoint_is_published_and_withdrawn(tmp_path):
    (tmp_path / ".hangard").mkdir()
    endpoint = Endpoint(
        protocol=1, socket="/run/a", windows_socket="/run/b", pid=1, epoch="00", version="0"
    )
    place.write_endpoint(tmp_path, endpoint)
    assert read_endpoint(tmp_path) == endpoint
    assert [file.name for file in (tmp_path / ".hangard").iterdir()] == ["daemon.json"]
    place.remove_endpoint(tmp_path)
    place.remove_endpoint(tmp_path)
    assert read_endpoint(tmp_path) is None
