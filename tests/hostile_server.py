"""What servers that mean harm, or are broken, send to any request; see `ANSWERS`."""

import datetime
import gzip
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.loopback import LoopbackHandler, LoopbackServer

Send = Callable[[LoopbackHandler], object]
BLOCK = b" " * (64 << 10)
BOMB = gzip.compress(BLOCK * 64)
# Seconds between two bytes.
DRIP = 0.05


def begun(handler: LoopbackHandler, headers: dict[str, str] | None = None) -> Callable[[bytes], object]:
    """Begin an answer that ends with its connection, and return what sends more of it."""
    handler.close_connection = True
    handler.send_response(200)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    return handler.wfile.write


def body(content: bytes, **headers: str) -> Send:
    """Send a body without its length, with headers such as `Content_Encoding`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: begun(handler, named)(content)


def refusal(status: int, **headers: str) -> Send:
    """Send a status without a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(status, b"", named)


def endless(handler: LoopbackHandler) -> None:
    """Send a body that has no end."""
    write = begun(handler)
    while True:
        write(BLOCK)


def drip(handler: LoopbackHandler) -> None:
    """Send a body that has no end, byte by byte."""
    write = begun(handler)
    while True:
        write(b" ")
        time.sleep(DRIP)


def drip_headers(handler: LoopbackHandler) -> None:
    """Send a header that has no end, byte by byte."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X")
        time.sleep(DRIP)


def hang(handler: LoopbackHandler) -> None:
    """Send nothing."""
    time.sleep(5.0)
    handler.drop()


def circle(handler: LoopbackHandler) -> None:
    """Redirect to the same place."""
    handler.send(307, b"", {"Location": handler.path})


ANSWERS: dict[str, Send] = {
    "no length": body(b"<html>"),
    "short": body(b"{", Content_Length="900"),
    "endless": endless,
    "dripping": drip,
    "dripping headers": drip_headers,
    "silent": hang,
    "gzip bomb": body(BOMB, Content_Encoding="gzip"),
    "broken gzip": body(b"\x1f\x8bno", Content_Encoding="gzip"),
    "cut gzip": body(BOMB[:99], Content_Encoding="gzip"),
    "unknown encoding": body(b"{", Content_Encoding="x"),
    "deep JSON": body(b"[" * 100_000),
    "deep closed JSON": body(b'{"choices":' + b"[" * 9_000 + b"]" * 9_000 + b"}"),
    "only a beginning": body(b"\x1f", Content_Encoding="gzip"),
    "a circle": circle,
    "to no port": refusal(307, Location="http://127.0.0.1:99999/"),
    "to a file": refusal(307, Location="file:///etc/passwd"),
    "an hour": refusal(429, Retry_After="3600", RateLimit='"api";r=0;t=3600'),
    **{str(status): refusal(status) for status in (401, 403, 404, 500, 503)},
}


class HostileServer(LoopbackServer):
    """A server that does to any request what the last part of its path, before a dot, or else `answer` names."""

    def __init__(self, answer: str = "") -> None:
        super().__init__(_Handler)
        self.answer = answer
        self.seen: list[str] = []


class _Handler(LoopbackHandler):
    server: HostileServer

    def handle_request(self) -> Any:
        """Read a request, and answer it."""
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.seen.append(self.path)
        name = self.path.rpartition("/")[2].partition(".")[0].replace("%20", " ")
        return ANSWERS[self.server.answer or name](self)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815


def certificate(folder: Path, days: int) -> Path:
    """Write a certificate that signs itself, which ends in so many days, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - datetime.timedelta(days=9))
    made = made.not_valid_after(now + datetime.timedelta(days=days))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / f"{days}.pem"
    file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem) + secret)
    return file


def with_tls(server: HostileServer, file: Path) -> HostileServer:
    """Let a server that does not run yet speak TLS with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"https://localhost:{server.server_address[1]}"
    return server
