import os
import socket
import subprocess
import sys

import msgspec
import pytest

from hangard.repository.repository import Repository
from hangard.wire import messages, protocol
from hangard.wire.endpoint import Endpoint
from hangard.wire.messages import ErrorMessage


class Daemon:
    """A daemon process and raw connections to it."""

    def __init__(self, path, *options):
        self.path = path
        reader, writer = os.pipe()
        self.log = path / "daemon.log"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hangard.daemon", str(path), "--log", str(self.log)),
                *("--report-fd", str(writer), *options),
            ],
            pass_fds=[writer],
        )
        os.close(writer)
        with os.fdopen(reader, "rb") as report:
            self.endpoint = msgspec.json.decode(report.read(), type=Endpoint)

    def connect(self):
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(30)
        peer.connect(self.endpoint.socket)
        return peer

    def ask(self, head, body=b""):
        """Send raw bytes; the status and body of the answer."""
        with self.connect() as peer:
            peer.sendall(head + body)
            return read_answer(peer)

    def post(self, path, body, **headers):
        return self.ask(post_head(path, len(body), **headers), body)

    def message(self, path, message, answer_type):
        status, body = self.post(path, msgspec.msgpack.encode(message))
        assert status == 200, error_of(body)
        return msgspec.msgpack.decode(body, type=answer_type)

    def open_session(self):
        opened = messages.OpenSession(branch="main")
        return self.message(protocol.SESSION_OPEN, opened, messages.SessionState)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(30) == 0


def post_head(path, length, **headers):
    lines = {"Host": "hangard", protocol.HEADER_PROTOCOL: str(protocol.PROTOCOL_VERSION)}
    if length is not None:
        lines["Content-Length"] = str(length)
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    rest = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"POST {path} HTTP/1.1\r\n{rest}\r\n".encode()


def read_answer(peer):
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = peer.recv(65536)
        if not piece:
            return 0, b""
        answer += piece
    head, body = answer.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    lengths = [int(line[16:]) for line in lines if line.lower().startswith("content-length: ")]
    while lengths and len(body) < lengths[0]:
        body += peer.recv(65536)
    return int(lines[0].split()[1]), body


def error_of(body):
    return msgspec.msgpack.decode(body, type=ErrorMessage)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    path = tmp_path_factory.mktemp("repository")
    Repository.create(path)
    running = Daemon(path)
    yield running
    running.stop()
