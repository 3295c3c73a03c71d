"""Real sockets, and senders that behave badly."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from mmn_edge.errors import SourceError
from mmn_edge.runtime.streams import desk, transports
from mmn_edge.runtime.streams.endpoint import TOKEN, Endpoint
from mmn_edge.runtime.streams.source import StreamSource
from mmn_edge.runtime.streams.wire import MAX_MESSAGE
from mmn_edge.skeleton import layouts

from .conftest import Running, line, values

Listening = Callable[..., Running]


def packed(time: float, **changes: object) -> bytes:
    message: bytes = msgpack.packb(values(time, **changes))  # type: ignore[arg-type]
    return struct.pack(">I", len(message)) + message


def read_to_end(client: socket.socket) -> bytes:
    client.settimeout(5)
    data = b""
    try:
        while chunk := client.recv(65536):
            data += chunk
    except ConnectionError:
        pass
    return data


@pytest.mark.parametrize("encode", [line, packed])
def test_tcp(listening: Listening, encode: Callable[..., bytes]) -> None:
    running = listening()
    with socket.create_connection(running.address) as client:
        data = b"".join(encode(100 + k / 30, sequence=k) for k in range(30))
        for begin in range(0, len(data), 777):  # cut anywhere
            client.sendall(data[begin : begin + 777])
        running.until(lambda: len(running.taken) == 30)
    assert running.times == pytest.approx([100 + k / 30 for k in range(30)])
    first = running.taken[0]
    assert (first.origin, first.sequence, first.frame.layout) == ("sender", 0, "imigue")
    assert all(now.captured is not None and now.captured <= time.monotonic() for now in running.taken)
    assert running.source.note is None


@pytest.mark.parametrize("message", [line(5.0).strip(), msgpack.packb(values(5.0)), packed(5.0)])
def test_udp_and_websocket(listening: Listening, message: bytes) -> None:
    udp, ws = listening("udp://:0"), listening("ws://:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(message, udp.address)
        udp.until(lambda: udp.times == [5.0])
    with connect(f"ws://127.0.0.1:{ws.source.port}") as connection:
        connection.send(message.decode() if message[:1] == b"{" else message)
        ws.until(lambda: ws.times == [5.0])


def test_bad_lines_are_counted_and_survived(listening: Listening) -> None:
    running = listening()
    bad = [
        b"time,layout\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b"x" * (MAX_MESSAGE + 10) + b"\n",
        b'{"time": 1, "layout": "nobody", "persons": []}\n',
        b'{"time": 1e300, "layout": "imigue", "persons": []}\n',
        line(1.0, version=2),
        line(1.0, sequence=-1),
        b"\xff\xfe\n",
    ]
    with socket.create_connection(running.address) as client:
        client.sendall(line(0.0) + b"".join(bad) + b"\n \n" + line(1.0))
        running.until(lambda: running.times == [0.0, 1.0])
    assert running.source.counts.bad == len(bad)
    assert len(running.notes) == 1
    assert "sent what is no frame, and it was left out: the message is not JSON" in running.notes[0]
    assert running.source.note == f"{running.source._endpoint.shown}: 9 messages that are no frames"


def test_only_garbage_ends_the_connection_with_a_reason(listening: Listening) -> None:
    running = listening()
    with socket.create_connection(running.address) as client:
        client.sendall(b"garbage\n" * 300)
        assert b"100 messages in a row are no frames" in read_to_end(client)
    assert running.source.counts.bad == 100


def test_a_browser_cannot_send(listening: Listening) -> None:
    """A page of any site may post to this machine; what it posts is no stream."""
    running, ws = listening(), listening("ws://:0")
    with socket.create_connection(running.address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + line(0.0))
        assert b"no web server" in read_to_end(client)
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{ws.source.port}", origin="https://evil.example"):
        pass
    assert not running.taken
    assert not ws.taken


@pytest.mark.parametrize("head", [b"\x00\x20\x00\x00", b"\x00\xff\xff\xff"])
def test_message_announced_as_too_long_ends_the_connection(listening: Listening, head: bytes) -> None:
    running = listening()
    with socket.create_connection(running.address) as client:
        client.sendall(head + b"x" * 100)
        assert b"at most" in read_to_end(client)
    with socket.create_connection(running.address) as client:
        client.sendall(line(0.0))
        running.until(lambda: running.taken)


def test_websocket_message_that_is_too_long(listening: Listening) -> None:
    running = listening("ws://:0")
    with connect(f"ws://127.0.0.1:{running.source.port}") as connection:
        connection.send(b"x" * (MAX_MESSAGE + 1))
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=5)
    running.until(lambda: running.source.counts.bad == 1)


def test_slow_loris(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that send nothing, or a byte at a time, are ended; a sender comes through meanwhile."""
    monkeypatch.setattr(transports, "FIRST_MESSAGE", 1.0)
    running = listening()
    silent = [socket.create_connection(running.address) for _ in range(20)]
    slow = socket.create_connection(running.address)
    with socket.create_connection(running.address) as client:
        began = time.monotonic()
        k = 0
        while time.monotonic() - began < 1.5:
            client.sendall(line(k / 30))
            with contextlib.suppress(OSError):
                slow.sendall(b"{")
            time.sleep(0.05)
            k += 1
        running.until(lambda: len(running.taken) == k)
        # A sender that was good and stops in the middle of a message.
        client.sendall(b'{"time"')
        assert b"no whole frame came" in read_to_end(client)
    for connection in (*silent, slow):
        read_to_end(connection)  # all are ended
        connection.close()


def test_burst_of_a_thousand(listening: Listening) -> None:
    running = listening()
    with socket.create_connection(running.address) as client:
        client.sendall(b"".join(line(k / 30, sequence=k) for k in range(1000)))
        running.until(lambda: running.source.counts.frames == 1000)
        running.until(lambda: running.times and running.times[-1] == pytest.approx(999 / 30))
    assert len(running.taken) + running.source.dropped == 1000
    assert running.times == sorted(running.times)


def test_more_than_the_rate_is_left_out(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MAX_RATE", 1.0)
    monkeypatch.setattr(desk, "BURST", 50.0)
    running = listening()
    with socket.create_connection(running.address) as client:
        client.sendall(b"".join(line(k / 30) for k in range(200)))
        running.until(lambda: running.source.counts.too_fast + len(running.taken) == 200)
    assert 50 <= len(running.taken) <= 60
    assert running.source.dropped == running.source.counts.too_fast
    assert "sends more than is taken" in running.notes[0]


def test_a_second_sender_is_turned_away_and_follows_when_the_first_is_silent(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "SILENCE", 0.3)
    running = listening()
    with socket.create_connection(running.address) as first:
        first.sendall(line(10.0))
        running.until(lambda: running.taken)
        with socket.create_connection(running.address) as second:
            second.sendall(line(500.0))
            assert b"another sender is sending" in read_to_end(second)
        time.sleep(0.4)
        with socket.create_connection(running.address) as second:
            second.sendall(line(501.0))
            running.until(lambda: len(running.taken) == 2)
            assert read_to_end(first) == b""  # its connection was ended
    assert running.source.counts.refused == 1
    assert running.source.reconnects == 1
    assert 10.0 < running.times[1] < 12.0  # time runs on, whatever the second one's clock says
    assert "a stream has one sender" in running.notes[0]


SENDER = """
import json, socket, sys, time
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
began = time.monotonic()
while True:
    person = {"id": 0, "keypoints": [[1.0, 2.0]] * 22}
    now = time.monotonic() - began
    client.sendall(json.dumps({"time": now, "layout": "imigue", "persons": [person]}).encode() + b"\\n")
    time.sleep(1 / 30)
"""


def test_sender_killed_and_back(listening: Listening) -> None:
    running = listening()
    for round in (1, 2):
        sender = subprocess.Popen([sys.executable, "-c", SENDER, str(running.source.port)])
        try:
            before = len(running.taken)
            running.until(lambda: len(running.taken) > before + 5, 30)  # noqa: B023
            assert running.source.counts.senders == round
        finally:
            sender.kill()
            sender.wait()
        time.sleep(1.1)
    assert running.times == sorted(running.times)
    assert running.source.reconnects == 1
    assert running.source.counts.clock_steps == 0  # its clock began anew, which is no step


def test_token_of_tcp(listening: Listening, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    running = listening(f"tcp://:0,token-file={tmp_path / 'token'}")
    for message in (line(0.0), b'{"token": "wrong"}\n', b'{"token": 3}\n'):
        with socket.create_connection(running.address) as client:
            client.sendall(message)
            assert b"must hold the token" in read_to_end(client)
    assert not running.taken
    with socket.create_connection(running.address) as client:
        client.sendall(b'{"token": "secret"}\n' + line(1.0) + line(2.0))
        running.until(lambda: len(running.taken) == 2)
    with socket.create_connection(running.address) as client:
        client.sendall(struct.pack(">I", 14) + msgpack.packb({"token": "secret"}) + packed(3.0))
        running.until(lambda: len(running.taken) == 3)
    assert running.source.counts.refused == 3
    assert not any("secret" in note for note in running.notes)


def test_token_of_udp_and_websocket(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "secret")
    udp, ws = listening("udp://:0"), listening("ws://:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for message in (line(0.0), line(0.1, token="secret"), line(0.2), line(0.3, token="secret")):
            client.sendto(message, udp.address)
        udp.until(lambda: udp.times == [0.1, 0.3])
    uri = f"ws://127.0.0.1:{ws.source.port}"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
        with pytest.raises(InvalidStatus, match="401"), connect(uri, additional_headers=headers):
            pass
    with connect(uri, additional_headers={"Authorization": "Bearer secret"}) as connection:
        connection.send(line(1.0).decode())
        ws.until(lambda: ws.times == [1.0])


def test_out_of_order_and_twice_over_udp(listening: Listening) -> None:
    running = listening("udp://:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for k in (0, 1, 3, 2, 3, 3, 4, 7):
            client.sendto(line(k / 30, sequence=k), running.address)
            time.sleep(0.002)
        running.until(lambda: len(running.taken) == 5)
    counts = running.source.counts
    assert [observation.sequence for observation in running.taken] == [0, 1, 3, 4, 7]
    assert (counts.late, counts.duplicates, counts.lost) == (1, 2, 3)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_clock_jump(listening: Listening, jump: float) -> None:
    running = listening()
    with socket.create_connection(running.address) as client:
        for k in range(60):
            client.sendall(line(1e9 + k / 30 + (jump if k >= 30 else 0), sequence=k))
            time.sleep(1 / 60)
        running.until(lambda: len(running.taken) == 60)
    steps = [after - before for before, after in zip(running.times, running.times[1:], strict=False)]
    assert running.source.counts.clock_steps == 1
    assert all(0 < step < 1 for step in steps)
    captured = [observation.captured or 0.0 for observation in running.taken]
    assert max(captured) - min(captured) < 10
    assert "1 steps of the sender's clock" in (running.source.note or "")


def test_dialling_and_dialling_again() -> None:
    """The sender listens; it ends its connection, is away for a while, and comes back."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    notes: list[str] = []
    source = StreamSource(Endpoint.parse(f"tcp+connect://127.0.0.1:{port}"), on_note=notes.append, back_off=(0.1, 0.2))
    with source:
        running = Running(source, notes)
        running.thread.start()
        peer, _ = server.accept()
        peer.sendall(line(1.0))
        running.until(lambda: len(running.taken) == 1)
        server.close()
        peer.close()
        running.until(lambda: any("cannot reach" in note for note in notes))
        server = socket.create_server(("127.0.0.1", port))
        peer, _ = server.accept()
        peer.sendall(line(2.0))
        running.until(lambda: len(running.taken) == 2)
        assert source.reconnects == 1
        assert f"tcp+connect://127.0.0.1:{port} is back" in notes
        peer.close()
        server.close()


def test_dialling_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "secret")
    server = socket.create_server(("127.0.0.1", 0))
    with StreamSource(Endpoint.parse(f"tcp+connect://127.0.0.1:{server.getsockname()[1]}")):
        peer, _ = server.accept()
        assert json.loads(peer.recv(1000)) == {"token": "secret"}
        peer.close()
    server.close()

    seen: list[str | None] = []

    def handler(connection: object) -> None:
        seen.append(connection.request.headers.get("Authorization"))  # type: ignore[attr-defined]
        connection.send(line(1.0).decode())  # type: ignore[attr-defined]
        connection.recv()  # type: ignore[attr-defined]

    with serve(handler, "127.0.0.1", 0) as peer_server:
        threading.Thread(target=peer_server.serve_forever, daemon=True).start()
        port = peer_server.socket.getsockname()[1]
        with StreamSource(Endpoint.parse(f"ws+connect://127.0.0.1:{port}")) as source:
            assert next(iter(source)).frame.time == 1.0
        peer_server.shutdown()
    assert seen == ["Bearer secret"]


def test_nobody_there_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceError, match=rf"cannot reach tcp\+connect://127.0.0.1:{port}: Connection refused$"):
        StreamSource(Endpoint.parse(f"tcp+connect://:{port}")).__enter__()


def test_port_in_use_and_address_of_another_machine(listening: Listening) -> None:
    running = listening()
    for text in (f"tcp://:{running.source.port}", f"ws://:{running.source.port}", "udp://192.0.2.1:9000"):
        with pytest.raises(SourceError, match="cannot listen on"):
            StreamSource(Endpoint.parse(text)).__enter__()


def test_open_to_the_network_without_a_token_is_said() -> None:
    notes: list[str] = []
    with StreamSource(Endpoint.parse("tcp://0.0.0.0:0"), on_note=notes.append):
        assert "anybody who reaches tcp://0.0.0.0:0 may send" in notes[0]


def test_stop_ends_the_iteration_from_another_thread() -> None:
    with StreamSource(Endpoint.parse("udp://:0")) as source:
        threading.Timer(0.1, source.stop).start()
        assert list(source) == []
    source.stop()  # once more does no harm


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "server.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_encrypted_both_ways(listening: Listening, certificate: Path) -> None:
    running = listening(f"wss://:0,certificate={certificate}")
    uri = f"wss://127.0.0.1:{running.source.port}"
    with connect(uri, ssl=ssl.create_default_context(cafile=certificate)) as connection:
        connection.send(line(1.0).decode())
        running.until(lambda: running.times == [1.0])

    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    with serve(lambda peer: (peer.send(line(2.0).decode()), peer.recv()), "127.0.0.1", 0, ssl=server_side) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"wss+connect://127.0.0.1:{server.socket.getsockname()[1]}"
        with StreamSource(Endpoint.parse(f"{address},authority={certificate}")) as source:
            assert next(iter(source)).frame.time == 2.0
        with pytest.raises(SourceError, match="cannot reach"):
            StreamSource(Endpoint.parse(address)).__enter__()  # whom the system does not trust
        server.shutdown()


def test_people_on_their_heads_are_said(listening: Listening) -> None:
    """Such as ZED's default axes, which are not those of its samples and of the layout."""
    layout = layouts.get("zed-body18")
    points = [[x, y, 2.0] for x, y in layout.pose]  # y grows downwards, and the layout's upwards
    running = listening()
    with socket.create_connection(running.address) as client:
        for k in range(60):
            frame = {"time": k / 30, "layout": layout.name, "persons": [{"id": 0, "keypoints": points}]}
            client.sendall(json.dumps(frame).encode() + b"\n")
        running.until(lambda: len(running.taken) == 60)
    assert len(running.notes) == 1
    assert "people stand on their heads" in running.notes[0]


def test_messagepack_without_its_package_is_one_sentence(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    running = listening()
    with socket.create_connection(running.address) as client:
        client.sendall(packed(1.0))
        assert b"send JSON" in read_to_end(client)
    assert 'pip install "mmn-edge[stream]"' in running.notes[0]
    with socket.create_connection(running.address) as client:
        client.sendall(line(1.0))
        running.until(lambda: running.taken)
