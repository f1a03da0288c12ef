import asyncio
import socket

import pytest
from aiohttp import web

from hangard.daemon import connection
from hangard.daemon.bodies import read_body
from hangard.daemon.connection import Connections
from hangard.daemon.events import EventLog
from hangard.daemon.memory import Memory
from hangard.errors import InvalidRequest


class Server:
    """The daemon's connections in front of a handler that reads bodies against a deadline."""

    def __init__(self, path, **options):
        self.path = str(path / "s")
        self.memory = Memory(1000)
        self.errors = []
        self.options = options

    async def handle(self, request):
        request.protocol.begin_request()
        try:
            body, reservation = await read_body(request, self.memory, 100, deadline_s=0.1)
            reservation.release()
            return web.Response(body=bytes(body))
        except InvalidRequest as error:
            self.errors.append(error.code)
            return web.Response(status=400)
        finally:
            request.protocol.end_request()

    async def __aenter__(self):
        self.connections = Connections(self.handle, EventLog(), **self.options)
        loop = asyncio.get_running_loop()
        self.server = await loop.create_unix_server(self.connections, self.path)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.connections.pre_shutdown()
        await self.connections.shutdown(1)

    async def ask(self, *pieces):
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await asyncio.wait_for(reader.read(20), 10)
        finally:
            writer.close()


async def test_headers_that_do_not_end_are_cut_off(tmp_path, capsys):
    async with Server(tmp_path, headers_s_max=0.1) as server:
        assert await server.ask(b"POST / HTTP/1.1\r\n") == b""
        assert await server.ask() == b""
        assert (await server.ask(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok"))[
            :12
        ] == b"HTTP/1.1 200"
    assert "headers-late" in capsys.readouterr().err


async def test_a_body_that_does_not_come_is_refused_and_its_memory_given_back(tmp_path):
    async with Server(tmp_path) as server:
        answer = await server.ask(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
        assert answer[:12] == b"HTTP/1.1 400"
        assert server.errors == ["body-timeout"]
        assert server.memory.used_bytes == 0


async def test_only_so_many_connections_are_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 2)
    async with Server(tmp_path) as server:
        held = [await asyncio.open_unix_connection(server.path) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert await server.ask() == b""
        for _, writer in held:
            writer.close()
    assert "too many" in capsys.readouterr().err


@pytest.mark.parametrize(("uid", "may"), [(0, True), (4711, True), (4712, False), (None, False)])
def test_only_the_own_user_and_root_may_connect(monkeypatch, uid, may):
    monkeypatch.setattr(connection, "peer_uid", lambda peer: uid)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert connection.may_connect(None) is may


def test_the_kernel_tells_who_is_at_the_other_end():
    import os

    one, two = socket.socketpair()
    with one, two:
        assert connection.peer_uid(one) == os.geteuid()
    assert connection.peer_uid(one) is None
