"""The page's server: slow, hostile and vanished clients take nothing from others; every answer keeps its headers."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from kerasfer.server import HostCheck, Limits, make_server, page, trusted_hosts  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
POLICY = "default-src 'none'; connect-src 'self'"
NUMBERS = b"".join(number.to_bytes(2, "big") for number in range(5120))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A page with a policy, a network's file, a large one, and a secret beside it."""
    folder = tmp_path_factory.mktemp("served") / "site"
    (folder / "networks").mkdir(parents=True)
    (folder / "index.html").write_text(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">hello')
    (folder / "networks" / "model.tflite").write_bytes(NUMBERS)
    (folder / "large.wasm").write_bytes(bytes(8_000_000))
    with (folder / "huge.wasm").open("wb") as file:
        file.truncate(100_000_000)
    (folder / "code.js").write_text("1")
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "out").symlink_to(folder.parent / "secret.txt")
    return folder


@contextlib.contextmanager
def running(site, host="127.0.0.1", limits=None, allow=()):
    app, headers = page(site, trusted_hosts(host, allow))
    with make_server(app, host, 0, limits, headers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def address(site):
    with running(site) as address:
        yield address


def ask(address, path="/", method="GET", **headers):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection(*address[:2], timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def connect(address):
    return socket.create_connection(address[:2], timeout=60)


def talk(address, content):
    """All that the server answers to bytes until it closes."""
    with connect(address) as client:
        client.sendall(content)
        return read_all(client)


def read_all(client):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_page_is_served_with_its_headers(address):
    status, headers, body = ask(address)
    assert status == 200 and body.endswith(b"hello")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for path, kind in (
        ("/code.js", "text/javascript; charset=utf-8"),
        ("/networks/model.tflite", "application/octet-stream"),
        ("/large.wasm", "application/wasm"),
    ):
        assert ask(address, path, "HEAD")[1]["Content-Type"] == kind


@pytest.mark.parametrize(
    "path, method, sent, status",
    [
        ("/", "GET", {}, 200),
        ("/", "HEAD", {}, 200),
        ("/", "POST", {}, 405),
        ("/nothing", "GET", {}, 404),
        ("/networks", "GET", {}, 404),
        ("/networks/", "GET", {}, 404),
        ("/%00", "GET", {}, 404),
        ("/a%00b.js", "GET", {}, 404),
        ("/" + "a" * 3000, "GET", {}, 404),
        ("/%ff%fe", "GET", {}, 404),
        ("/../secret.txt", "GET", {}, 404),
        ("/%2e%2e/secret.txt", "GET", {}, 404),
        ("/..%2fsecret.txt", "GET", {}, 404),
        ("/%252e%252e%252fsecret.txt", "GET", {}, 404),
        ("/..%5csecret.txt", "GET", {}, 404),
        ("//etc/passwd", "GET", {}, 404),
        ("/%2fetc%2fpasswd", "GET", {}, 404),
        ("/out", "GET", {}, 404),
        ("/code.js/more", "GET", {}, 404),
        ("/code.js", "GET", {"Range": "bytes=9-"}, 416),
        ("/", "GET", {"Host": "evil.example"}, 400),
    ],
)
def test_every_answer_keeps_the_headers(address, path, method, sent, status):
    got, headers, body = ask(address, path, method, **sent)
    assert got == status and b"secret" not in body and b"root:" not in body
    assert headers["Content-Security-Policy"] == f"{POLICY}; frame-ancestors 'none'"
    assert headers["Permissions-Policy"] == "camera=(self), microphone=(), geolocation=()"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "sent, status, body",
    [
        ({"Range": "bytes=0-9"}, 206, NUMBERS[:10]),
        ({"Range": "bytes=250-"}, 206, NUMBERS[250:]),
        ({"Range": "bytes=-7"}, 206, NUMBERS[-7:]),
        ({"Range": "bytes=10000-99999"}, 206, NUMBERS[10000:]),
        ({"Range": "bytes=99999-"}, 416, b""),
        ({"Range": "items=0-9"}, 200, NUMBERS),
        ({"Range": "bytes=0-9", "If-Range": '"other"'}, 200, NUMBERS),
    ],
)
def test_ranges(address, sent, status, body):
    got, headers, content = ask(address, "/networks/model.tflite", **sent)
    assert got == status
    if status == 206:
        start = NUMBERS.index(body)
        assert headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(NUMBERS)}"
    if status == 416:
        assert headers["Content-Range"] == f"bytes */{len(NUMBERS)}"
    else:
        assert content == body


def test_ranges_of_a_file_that_has_not_changed(address):
    _, headers, body = ask(address, "/networks/model.tflite", "HEAD", Range="bytes=0-9")
    assert headers["Content-Length"] == str(len(NUMBERS)) and body == b"", "ranges are for GET"
    assert headers["Accept-Ranges"] == "bytes"
    for seal in (headers["ETag"], headers["Last-Modified"]):
        status, _, body = ask(address, "/networks/model.tflite", Range="bytes=3-4", If_Range=seal)
        assert (status, body) == (206, NUMBERS[3:5])
    status, again, body = ask(address, "/networks/model.tflite", If_None_Match=headers["ETag"])
    assert status == 304 and body == b"" and again["X-Content-Type-Options"] == "nosniff"


def test_several_ranges(address):
    status, headers, body = ask(address, "/networks/model.tflite", Range="bytes=0-1,100-103")
    assert status == 206 and headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    parts = [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in body.split(b"--" + boundary)[1:-1]]
    assert parts == [NUMBERS[:2], NUMBERS[100:104]]
    status, headers, body = ask(address, "/networks/model.tflite", Range="bytes=99999-,3-5, 20000-20001")
    assert (status, body) == (206, NUMBERS[3:6]), "those beyond the end are left out"
    assert headers["Content-Range"] == f"bytes 3-5/{len(NUMBERS)}"
    assert ask(address, "/networks/model.tflite", Range="bytes=99999-,88888-")[0] == 416
    many = ",".join(f"{start}-{start}" for start in range(0, 5000, 2))
    assert len(ask(address, "/networks/model.tflite", Range=f"bytes={many}")[2]) <= len(NUMBERS)


@pytest.mark.parametrize(
    "host, allowed",
    [
        ("localhost", True),
        ("LocalHost:8000", True),
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("[::1]", True),
        ("[::1]:8000", True),
        ("[0:0:0:0:0:0:0:1]:80", True),
        ("friend.example:8443", True),
        ("friend.example.", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("192.168.1.7", False),
        ("[fe80::1]:8000", False),
        ("::1", False),
        ("[localhost]", False),
        ("localhost:port", False),
        ("", False),
    ],
)
def test_whom_it_answers_to(site, host, allowed):
    check = HostCheck(None, *trusted_hosts("127.0.0.1", ["Friend.Example"]))
    assert check._is_ours({"http_version": "1.1", "headers": [(b"host", host.encode())]}) == allowed


def test_where_all_addresses_are_listened_at_any_number_will_do():
    check = HostCheck(None, *trusted_hosts("0.0.0.0"))
    for host, allowed in (("192.168.1.7:8000", True), ("[fe80::1]", True), ("evil.example", False)):
        assert check._is_ours({"http_version": "1.1", "headers": [(b"host", host.encode())]}) == allowed
    open_to_all = HostCheck(None, *trusted_hosts("127.0.0.1", ["*"]))
    assert open_to_all._is_ours({"http_version": "1.1", "headers": [(b"host", b"evil.example")]})


def test_http_1_0_and_requests_in_a_row(address):
    assert talk(address, b"GET /code.js HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n1")
    assert b" 400 " in talk(address, b"GET /code.js HTTP/1.0\r\nHost: evil.example\r\n\r\n").splitlines()[0]
    request = b"GET /code.js HTTP/1.1\r\nHost: localhost\r\n"
    row = talk(address, (request + b"\r\n") * 5 + request + b"Connection: close\r\n\r\n")
    assert row.count(b"HTTP/1.1 200 OK") == 6
    mixed = talk(address, request + b"\r\n" + b"GET /no HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert mixed.index(b"200 OK") < mixed.index(b"404 Not Found")


@pytest.mark.parametrize(
    "line, status",
    [
        (b"GET http://localhost/code.js HTTP/1.1\r\nHost: localhost", b"200"),
        (b"GET HTTP://127.0.0.1:1234/code.js HTTP/1.1\r\nHost: other.example", b"200"),
        (b"GET http://localhost HTTP/1.1\r\nHost: localhost", b"200"),
        (b"GET http://evil.example/code.js HTTP/1.1\r\nHost: localhost", b"400"),
        (b"GET http://localhost/../secret.txt HTTP/1.1\r\nHost: localhost", b"404"),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost", b"404"),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost", b"404"),
        (b"GET /code.js HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade", b"200"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5", b"405"),
    ],
)
def test_requests_in_odd_forms(address, line, status):
    with connect(address) as client:
        client.sendall(line + b"\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 " + status)


def test_requests_sent_all_at_once_are_answered_in_order(address):
    request = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    names = [b"code.js" if number % 3 else b"none" for number in range(300)]
    content = b"".join(request % (name, b"") for name in names[:-1]) + request % (names[-1], b"Connection: close\r\n")
    with connect(address) as client:
        sender = threading.Thread(target=client.sendall, args=(content,))
        sender.start()
        answers = read_all(client).split(b"HTTP/1.1 ")[1:]
        sender.join()
    assert [answer[:3] for answer in answers] == [b"200" if name == b"code.js" else b"404" for name in names]


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 20_000 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    ],
)
def test_what_is_no_request_gets_one_answer(address, content):
    with connect(address) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(content)
        answer = read_all(client)
    # A client that still sends when the server closes may lose the answer, as TCP has it.
    assert answer.startswith(b"HTTP/1.1 400 Bad Request") or (not answer and len(content) > 50_000)
    if answer:
        assert b"x-content-type-options: nosniff" in answer.lower() and answer.count(b"HTTP/1.1") == 1
    assert ask(address)[0] == 200


def test_requests_that_trickle_are_given_up(site):
    with running(site, limits=Limits(header_seconds=0.3)) as address, contextlib.ExitStack() as stack:
        silent, begun, second, unread = (stack.enter_context(connect(address)) for _ in range(4))
        begun.sendall(b"GET / HTTP/1.1\r\nHost: local")
        second.sendall(b"GET /code.js HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT")
        unread.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        assert read_all(silent) == b""
        assert read_all(begun).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert [part[:3] for part in read_all(second).split(b"HTTP/1.1 ")[1:]] == [b"200", b"408"]
        assert read_all(unread).startswith(b"HTTP/1.1 405")
        # One byte at a time keeps nothing open either.
        with connect(address) as client, pytest.raises(ConnectionError):
            for byte in b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 100_000:
                client.sendall(bytes([byte]))
                threading.Event().wait(0.02)


def test_stalled_clients_hold_neither_threads_nor_others(site):
    """More of them than connections are allowed; each is about to ask, or has asked and takes no answer."""
    with running(site, limits=Limits(connections=40)) as address, contextlib.ExitStack() as stack:
        ask(address, "/code.js")
        threads = threading.active_count()
        for number in range(300):
            client = stack.enter_context(connect(address))
            with contextlib.suppress(ConnectionError):
                client.sendall((b"", b"GET / HTTP/1.1\r\nHost: local", b"G")[number % 3])
        for _ in range(5):
            assert ask(address)[0] == 200
        assert threading.active_count() <= threads + 1
        assert len(ask(address, "/large.wasm")[2]) == 8_000_000


def test_a_new_client_is_preferred_to_those_that_take_no_answer(site, monkeypatch):
    """Where all connections are being answered, it is turned away as long as any client may yet go on."""
    with running(site, limits=Limits(connections=4)) as address, contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(connect(address))
            client.sendall(b"GET /huge.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        status, headers, _ = ask(address)
        assert status == 503 and headers["X-Content-Type-Options"] == "nosniff"
        monkeypatch.setattr("kerasfer.server._PATIENCE", 0)
        # It takes a moment until what lies between the server and the others is full.
        assert any(ask(address)[0] == 200 or threading.Event().wait(0.05) for _ in range(200))


def test_downloads_beside_each_other(site):
    with running(site, limits=Limits(connections=40)) as address:
        sizes = []

        def fetch():
            sizes.append(len(ask(address, "/large.wasm")[2]))

        workers = [threading.Thread(target=fetch) for _ in range(30)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sizes == [8_000_000] * 30


def test_who_takes_no_answer_is_dropped(site):
    with running(site, limits=Limits(write_seconds=0.3)) as address, connect(address) as client:
        client.sendall(b"GET /huge.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(100)
        threading.Event().wait(1)
        assert len(read_all(client)) < 100_000_000
        assert ask(address)[0] == 200


def test_clients_that_go_leave_no_traceback(address, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        for cut in (1, 20, 60):
            for _ in range(5):
                client = connect(address)
                client.sendall(b"GET /huge.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n"[:cut])
                if cut == 60:
                    client.recv(1000)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
        assert ask(address)[0] == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "Traceback" not in capfd.readouterr().err


def test_its_end_cuts_off_answers_without_a_traceback(site, caplog):
    app, headers = page(site, trusted_hosts("127.0.0.1"))
    with make_server(app, "127.0.0.1", 0, headers=headers) as server:
        server._server.config.timeout_graceful_shutdown = 0.1
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with connect(server.server_address) as client:
            client.sendall(b"GET /huge.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100)
            server.shutdown()
            thread.join()
    assert [record.levelname for record in caplog.records if record.exc_info] == []
    assert "Cancel 1 running task" in caplog.text


def test_ipv6(site):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with running(site, host="::1") as address:
        assert ask(address)[0] == 200
        assert ask(address, Host=f"[::1]:{address[1]}")[0] == 200
        assert ask(address, Host="[::2]")[0] == 400


def test_an_address_in_use(site, address):
    app, headers = page(site, trusted_hosts("127.0.0.1"))
    with pytest.raises(ValueError, match=rf"127.0.0.1:{address[1]}: cannot be listened at .*take another --port"):
        make_server(app, "127.0.0.1", address[1], headers=headers)


def test_without_its_packages_the_app_says_what_to_install(site):
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv[0] = 'serve.py'; import serve; serve.run_app(serve.main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--folder", str(site)],
        cwd=ROOT / "apps",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: uvicorn is missing, which serving needs; pip install 'kerasfer[serve]'\n"
