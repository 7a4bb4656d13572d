"""The transport over a real loopback server."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from staunch.adapters.http import HttpTransport, OfflineTransport, redact
from staunch.adapters.unreachable import Unreachable
from staunch.errors import UndecidedError
from tests.support.httpd import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({"a": b"0123456789"}) as site:
        yield site


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(env={}, first_pause_s=0.001)
    yield transport
    transport.close()


def read(transport: HttpTransport | OfflineTransport, url: str, offset: int = 0) -> bytes | None:
    with transport.open(url, offset=offset) as response:
        return None if response is None else b"".join(response.chunks)


def test_whole_file(site: Site, transport: HttpTransport) -> None:
    with transport.open(f"{site.url}/a") as response:
        assert response is not None
        assert (response.status, response.size, response.offset) == (200, 10, 0)
        assert response.media_type == "application/octet-stream"
        assert b"".join(response.chunks) == b"0123456789"


def test_part(site: Site, transport: HttpTransport) -> None:
    with transport.open(f"{site.url}/a", offset=4) as response:
        assert response is not None
        assert (response.status, response.size, response.offset) == (206, 10, 4)
        assert b"".join(response.chunks) == b"456789"


def test_range_ignored(site: Site, transport: HttpTransport) -> None:
    site.no_ranges = True
    with transport.open(f"{site.url}/a", offset=4) as response:
        assert response is not None
        assert (response.status, response.offset) == (200, 0)


def test_range_behind_the_end_starts_anew(site: Site, transport: HttpTransport) -> None:
    with transport.open(f"{site.url}/a", offset=99) as response:
        assert response is not None
        assert (response.offset, b"".join(response.chunks)) == (0, b"0123456789")


@pytest.mark.parametrize("text", ["bytes 3-9/10", "items 4-9/10", ""])
def test_wrong_part(site: Site, transport: HttpTransport, text: str) -> None:
    site.headers["a"] = {"Content-Range": text}
    site.statuses["a"] = [206]
    with (
        pytest.raises(UndecidedError, match="the server sent"),
        transport.open(f"{site.url}/a", offset=4),
    ):
        pass


@pytest.mark.parametrize("status", [404, 410])
def test_no_such_file(site: Site, transport: HttpTransport, status: int) -> None:
    site.statuses["a"] = [status]
    assert read(transport, f"{site.url}/a") is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(site: Site, transport: HttpTransport, status: int) -> None:
    site.statuses["a"] = [status, status]
    site.headers["a"] = {"Retry-After": "0"}
    assert read(transport, f"{site.url}/a") == b"0123456789"
    assert len(site.log) == 3


def test_retry_after_a_date(site: Site, transport: HttpTransport) -> None:
    site.statuses["a"] = [503]
    site.headers["a"] = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert read(transport, f"{site.url}/a") == b"0123456789"


def test_lasting_trouble(site: Site, transport: HttpTransport) -> None:
    site.statuses["a"] = [503] * 9
    with pytest.raises(UndecidedError, match=r"answered 503 .*\(4 tries\)"):
        read(transport, f"{site.url}/a")
    assert len(site.log) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 418])
def test_refusals_are_not_repeated(site: Site, transport: HttpTransport, status: int) -> None:
    site.statuses["a"] = [status] * 9
    with pytest.raises(UndecidedError, match=f"answered {status}"):
        read(transport, f"{site.url}/a")
    assert len(site.log) == 1


def test_connection_that_breaks(site: Site, transport: HttpTransport) -> None:
    site.drop_at["a"] = 5
    with pytest.raises(UndecidedError, match="the connection broke"):
        read(transport, f"{site.url}/a")


def test_nobody_there(transport: HttpTransport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a?token=secret"
    with pytest.raises(UndecidedError) as caught:
        read(transport, url)
    assert "secret" not in str(caught.value)
    assert "--offline" in caught.value.mend


def test_silence(transport: HttpTransport) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
        with pytest.raises(UndecidedError), transport.open(url, timeout_s=0.05):
            pass


@pytest.mark.parametrize("where", ["trickle", "trickle_headers"])
def test_a_trickle_is_given_up(site: Site, where: str) -> None:
    """Each byte keeps the library's own timeout from passing; the pace is what is judged."""
    getattr(site, where)["a"] = 0.01
    impatient = HttpTransport(env={}, tries=1, first_pause_s=0.001, patience_s=0.2)
    began = time.monotonic()
    with pytest.raises(UndecidedError, match=r"the server is too slow: \d+ bytes in 0 s, wanted"):
        read(impatient, f"{site.url}/a")
    assert time.monotonic() - began < 10
    impatient.close()


def test_our_own_slowness_is_not_the_servers(site: Site) -> None:
    site.files["big"] = bytes(1 << 20)
    impatient = HttpTransport(env={}, tries=1, patience_s=0.2)
    with impatient.open(f"{site.url}/big") as response:
        assert response is not None
        size = 0
        for number, chunk in enumerate(response.chunks):
            size += len(chunk)
            if number == 0:
                time.sleep(0.3)
    assert size == 1 << 20
    impatient.close()


def test_a_host_that_does_not_answer_is_found_out_once() -> None:
    """The second file costs nothing, whoever asks for it; another host is asked all the same."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
    transport = HttpTransport(env={}, first_pause_s=0.001)
    with pytest.raises(UndecidedError, match=r"refused \(3 tries\)"):
        read(transport, f"{dead}/a")
    with pytest.raises(UndecidedError, match=r"did not answer before \(.*refused\)"):
        read(transport, f"{dead}/b")
    with serving({"a": b"1"}) as other:
        other.redirects["away"] = f"{dead}/c"
        assert read(transport, f"{other.url}/a") == b"1"
        with pytest.raises(UndecidedError, match="did not answer before"):
            read(transport, f"{other.url}/away")
        assert read(transport, f"{other.url}/a") == b"1"
    transport.close()


def test_a_host_in_trouble_gets_one_try_until_it_answers(site: Site) -> None:
    transport = HttpTransport(env={}, first_pause_s=0.001)
    site.statuses["a"] = [503] * 5
    for tries in ("4 tries", "1 try"):
        with pytest.raises(UndecidedError, match=rf"answered 503 .*\({tries}\)"):
            read(transport, f"{site.url}/a")
    site.files["b"] = b"2"
    assert read(transport, f"{site.url}/b") == b"2"
    site.statuses["a"] = [503] * 3
    assert read(transport, f"{site.url}/a") == b"0123456789"
    transport.close()


def test_a_host_is_asked_again_after_a_while() -> None:
    hosts = Unreachable(memory_s=0.0)
    hosts.failed("example.org", "refused", silent=True)
    assert hosts.silent("example.org") is None
    hosts = Unreachable(memory_s=60.0)
    hosts.failed("example.org", "refused", silent=True)
    assert hosts.silent("example.org") == "refused"
    hosts.answered("example.org")
    assert hosts.silent("example.org") is None


def test_the_final_address_is_told(site: Site, transport: HttpTransport) -> None:
    site.redirects["simple/x/"] = "/mirror/pages/x/"
    site.files["mirror/pages/x/"] = b"page"
    with transport.open(f"{site.url}/simple/x/") as response:
        assert response is not None
        assert response.url == f"{site.url}/mirror/pages/x/"


def test_redirects(site: Site, transport: HttpTransport) -> None:
    site.redirects.update({"b": "/c", "c": f"{site.url}/a"})
    assert read(transport, f"{site.url}/b") == b"0123456789"
    site.redirects["a"] = "/b"
    with pytest.raises(UndecidedError, match="redirects more than 10 times"):
        read(transport, f"{site.url}/b")
    site.redirects["d"] = "file:///etc/passwd"
    with pytest.raises(UndecidedError, match="it redirects to file:"):
        read(transport, f"{site.url}/d")


def test_user_and_password(site: Site, transport: HttpTransport, tmp_path: Path) -> None:
    read(transport, site.url.replace("://", "://user:pass@") + "/a")
    assert site.log[-1][2] == "Basic dXNlcjpwYXNz"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password pass\n")
    own = HttpTransport(env={"HOME": str(tmp_path)})
    read(own, f"{site.url}/a")
    own.close()
    assert site.log[-1][2] == "Basic dXNlcjpwYXNz"


def test_a_password_in_the_url_counts_more_than_netrc(site: Site, tmp_path: Path) -> None:
    """As for curl and pip; and a netrc file without that host must not lose it either."""
    for machine in ("127.0.0.1", "example.org"):
        (tmp_path / ".netrc").write_text(f"machine {machine} login other password else\n")
        own = HttpTransport(env={"HOME": str(tmp_path)})
        read(own, site.url.replace("://", "://user:pass@") + "/a")
        own.close()
        assert site.log[-1][2] == "Basic dXNlcjpwYXNz"


def test_broken_netrc(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("gibberish\n")
    with pytest.raises(UndecidedError, match="cannot read"):
        read(HttpTransport(env={"NETRC": str(path)}), f"{site.url}/a")


def test_proxy(site: Site, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site.files["http://archive.example/a"] = b"by proxy"
    assert read(transport, "http://archive.example/a") == b"by proxy"


def test_other_schemes(transport: HttpTransport) -> None:
    with pytest.raises(UndecidedError, match="ftp is not spoken here"):
        read(transport, "ftp://example.org/a")
    with pytest.raises(UndecidedError, match="a URL without scheme"):
        read(transport, "example.org/a")


@pytest.mark.parametrize("kind", [HttpTransport, OfflineTransport])
def test_files(tmp_path: Path, kind: type[HttpTransport]) -> None:
    path = tmp_path / "a b"
    path.write_bytes(b"0123456789")
    transport = kind()
    assert read(transport, path.as_uri()) == b"0123456789"
    assert read(transport, path.as_uri(), 4) == b"456789"
    assert read(transport, path.as_uri(), 40) == b"0123456789"
    assert read(transport, (tmp_path / "none").as_uri()) is None
    assert read(transport, (path / "below").as_uri()) is None
    with pytest.raises(UndecidedError, match="not a regular file"):
        read(transport, tmp_path.as_uri())
    with pytest.raises(UndecidedError, match="names no host"):
        read(transport, "file://server/a")


def test_offline() -> None:
    with pytest.raises(UndecidedError) as caught:
        read(OfflineTransport(), "https://user:hunter2@example.org/a?sig=1")
    assert caught.value.what == "cannot fetch https://example.org/a"


def test_missing_ca_file(site: Site, tmp_path: Path) -> None:
    transport = HttpTransport(env={"SSL_CERT_FILE": str(tmp_path / "none.pem")})
    with pytest.raises(UndecidedError, match="cannot load the host's certificates"):
        read(transport, f"{site.url}/a")


def test_tls(tmp_path: Path, transport: HttpTransport) -> None:
    """The host's CA bundle decides, and an https page does not lead to a plain one."""
    pem = _self_signed()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None: ...

        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/down" else 200)
            self.send_header("Location", "http://localhost/plain")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    class Server(HTTPServer):
        def handle_error(self, *args: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"https://localhost:{server.server_address[1]}"
    try:
        trusting = HttpTransport(env={"SSL_CERT_FILE": str(bundle)}, first_pause_s=0.001)
        assert read(trusting, f"{url}/a") == b"ok"
        with pytest.raises(UndecidedError, match="from https to plain http://localhost/plain"):
            read(trusting, f"{url}/down")
        with pytest.raises(UndecidedError, match="certificate"):
            read(transport, f"{url}/a")
        trusting.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _self_signed() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)


@given(st.text(alphabet="abc/@:?#[]0. ", max_size=30))
def test_redact_never_shows_a_password(rest: str) -> None:
    shown = redact(f"https://user:hunter2@example.org/{rest.replace('@', '')}")
    assert "hunter2" not in shown
