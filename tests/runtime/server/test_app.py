from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping

import pytest

from mmn_edge.errors import UsageError
from mmn_edge.runtime.server.app import Server, Servers, is_loopback, split_address


def get(server: Server, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    host, port = server.address
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_health_is_that_of_all_parts() -> None:
    server = Server(port=0)
    parts = {"run": True, "broker": True}
    for name in parts:
        server.add_health(name, lambda name=name: {"ok": parts[name], "frames": 7})  # type: ignore[misc]
    with server:
        status, text = get(server, "/health")
        assert status == 200
        assert json.loads(text) == {
            "status": "ok",
            "run": {"ok": True, "frames": 7},
            "broker": {"ok": True, "frames": 7},
        }
        parts["broker"] = False
        assert get(server, "/health")[0] == 503
        assert get(server, "/metrics") == (404, "no metrics are kept in this run\n")
        assert get(server, "/etc/passwd")[0] == 404


def test_a_token_is_asked_for() -> None:
    with Server(port=0, token="right") as server:
        assert get(server, "/health")[0] == 401
        assert get(server, "/health", {"Authorization": "Bearer wrong"})[0] == 401
        assert get(server, "/health", {"Authorization": "Bearer right"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # whose name leads to 127.0.0.1
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    with Server(port=0) as server:
        assert get(server, "/health", headers)[0] == 403
        host, port = server.address
        assert get(server, "/health", {"Origin": f"http://{host}:{port}"})[0] == 200


def test_an_address_that_is_taken_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot serve at 127.0.0.1:{port}"), Server(port=port):
            pass


def test_the_port_is_free_again_afterwards() -> None:
    with Server(port=0) as server:
        port = server.address[1]
        get(server, "/health")
    with Server(port=port) as server:
        assert get(server, "/health")[0] == 200


def test_who_names_the_same_address_shares_the_server() -> None:
    servers = Servers()
    assert servers.at("127.0.0.1", 1) is servers.at("127.0.0.1", 1)
    assert servers.at("127.0.0.1", 1) is not servers.at("127.0.0.1", 2)
    with pytest.raises(UsageError, match="two tokens"):
        servers.at("127.0.0.1", 1, "token")


def test_addresses() -> None:
    assert split_address("127.0.0.1:9000", port=1) == ("127.0.0.1", 9000)
    assert split_address("[::1]:9000", port=1) == ("::1", 9000)
    assert split_address("localhost", port=1) == ("localhost", 1)
    for text in ("", ":1", "host:port", "host:1/path", "user@host"):
        with pytest.raises(UsageError, match="is no address"):
            split_address(text, port=1)
    assert is_loopback("127.0.0.5")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("example.org")
