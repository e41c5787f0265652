"""Files of the web: what is downloaded is what is read, and whatever a server sends ends in one line."""

import gzip
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import cast

import fsspec
import pytest

from dataset_builders.build import build, current
from dataset_builders.read import web
from dataset_builders.read.inputs import find_input
from dataset_builders.read.location import Location
from dataset_builders.recipe import load_config
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from tests.dataset_builders.files import OFF, file_contents, write_config
from tests.hostile_server import ANSWERS, HostileServer, Send, begun, body, certificate, with_tls
from tests.loopback import LoopbackHandler, running

pytestmark = pytest.mark.hostile

ROWS = b"".join(b'{"instruction": "question %d", "output": "answer %d"}\n' % (at, at) for at in range(9))
SAID = {
    "short": "the download broke off: peer closed connection without sending complete message body",
    "endless": "it sends more than 1 MiB; if it is meant to be so large, download the file by hand",
    "announced": "it sends 5 GiB, and at most 1 MiB is taken; if it is meant to be so large, download",
    "dripping": "no answer in time, or one that comes byte by byte; try again later",
    "dripping headers": "no answer in time, or one that comes byte by byte; try again later",
    "silent": "no answer in time, or one that comes byte by byte; try again later",
    "gzip bomb": "it sends more than 1 MiB; if it is meant to be so large",
    "broken gzip": "its gzip is broken",
    "cut gzip": "its gzip is cut off",
    "unknown encoding": "it is compressed in a way that was not asked for: x",
    "to no port": "it is redirected to no server",
    "to a file": "Request URL has an unsupported protocol",
    "only a beginning": "its gzip is cut off",
    "a circle": "it redirects in a circle, or too often; check the URL",
    "an hour": "the server answers 429, it is asked too often and asks to wait 3,600 s; try again later",
    "401": "the server answers 401, it wants a login; check the URL",
    "403": "the server answers 403, it may not be read; check the URL",
    "404": "the server answers 404, there is no such file; check the URL",
    "500": "the server answers 500, it fails; try again later",
    "503": "the server answers 503, it fails; try again later",
}


def slowly(handler: LoopbackHandler) -> None:
    """Send in more time than a silent server gets."""
    write = begun(handler)
    for _ in range(12):
        write(ROWS[:50])
        time.sleep(0.1)


def once_more(handler: LoopbackHandler) -> None:
    """Send rows to the second who asks."""
    seen = cast("HostileServer", handler.server).seen
    (body(ROWS) if len(seen) == 2 else ANSWERS["503"])(handler)


RIGHT: dict[str, Send] = {
    "with its length": lambda handler: handler.send(200, ROWS, {}),
    "without": body(ROWS),
    "after a 503": once_more,
    "compressed on the way": body(gzip.compress(ROWS[:99]) + gzip.compress(ROWS[99:]), Content_Encoding="gzip"),
    "slowly, but not too slowly": slowly,
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait little between attempts, and take little."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("rabbit_ko.web.SLOWEST_BYTES_PER_SECOND", 50)
    monkeypatch.setattr(web, "FILE_BYTES", 1 << 20)
    monkeypatch.setattr(web, "WAITS", (0.01, 0.01))
    monkeypatch.setitem(ANSWERS, "announced", body(ROWS, Content_Length=str(5 << 30)))


@pytest.mark.parametrize(("answer", "said"), SAID.items(), ids=list(SAID))
def test_whatever_a_server_sends_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    if answer in ("dripping", "dripping headers", "silent"):
        monkeypatch.setattr("rabbit_ko.web.START_SECONDS", 1.0)
    with running(HostileServer()) as server:
        url = f"{server.url}/{answer}.jsonl"
        with pytest.raises(UserError) as raised:
            find_input(Location(path=url), str(tmp_path))
        line = str(raised.value)
        assert line.startswith(f"{url}: {said}")
        assert line.endswith("download the file by hand and give its path")
        assert len(server.seen) == {"500": 3, "503": 3, "a circle": 11}.get(answer, 1)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("sent", RIGHT)
def test_a_file_that_is_right_is_read_however_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setitem(ANSWERS, "rows", RIGHT[sent])
    monkeypatch.setattr("rabbit_ko.web.START_SECONDS", 1.0 if sent.startswith("slowly") else 60.0)
    with running(HostileServer()) as server:
        found = find_input(Location(path=f"{server.url}/rows.jsonl?key=1"), str(tmp_path))
    assert found.bytes == (600 if sent.startswith("slowly") else len(ROWS))


def nowhere(*_: object, **__: object) -> None:
    """Know no host."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/a.jsonl", "nobody answers there, the connection is refused; check the URL"),
        ("http://no-such-host.invalid/a.jsonl", "there is no such host; check the URL"),
        ("http:///a.jsonl", "no URL: it has no host, or none that can be"),
        ("http://127.0.0.1:99999/a.jsonl", "no URL: it has no host, or none that can be"),
        ("http://xn--/a.jsonl", "no URL: it has no host, or none that can be"),
        ("http://a..b/a.jsonl", "there is no such host; check the URL"),
        ("http://127.0.0.1:1/folder/", "of a web server one file is read, not a folder, and its name must end in"),
        ("http://127.0.0.1:1/page", "of a web server one file is read, not a folder, and its name must end in"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    # The name servers of some networks know every host.
    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    with pytest.raises(UserError, match=said):
        find_input(Location(path=url), str(tmp_path))


@pytest.mark.parametrize(("days", "said"), [(9, "self-signed certificate"), (-1, "certificate has expired")])
def test_a_certificate_that_is_not_trusted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, said: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    file = certificate(tmp_path, days)
    if days < 0:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server, line = with_tls(HostileServer(), file), f"its certificate is not trusted: {said}; SSL_CERT_FILE names"
    with running(server), pytest.raises(UserError, match=line):
        find_input(Location(path=f"{server.url}/a.jsonl"), str(tmp_path / "inputs"))


def test_a_build_from_the_web_has_the_bytes_of_one_from_the_file_and_is_current_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(ROWS)
    monkeypatch.setitem(ANSWERS, "rows", body(ROWS))
    with running(HostileServer()) as server:
        made = {}
        for name, path in (("file", str(tmp_path / "rows.jsonl")), ("web", f"{server.url}/rows.jsonl")):
            config = load_config(
                write_config(
                    tmp_path / "data.yaml", {"source": "alpaca", "path": path, "language": "en"}, quality=OFF
                )
            )
            build(config, tmp_path / name)
            made[name] = file_contents(tmp_path / name)
            made[name].pop("manifest.json")
        assert made["web"] == made["file"]
        assert current(config, tmp_path / "web")
        monkeypatch.setitem(ANSWERS, "rows", body(ROWS + ROWS))
        assert current(config, tmp_path / "web") is None


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_ctrl_c_and_sigterm_are_heard_while_a_server_says_nothing(
    tmp_path: Path, number: int, raised: type[BaseException]
) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(HostileServer()) as server:

        def send() -> None:
            while not server.seen:
                time.sleep(0.01)
            os.kill(os.getpid(), number)

        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(raised):
            find_input(Location(path=f"{server.url}/silent.jsonl"), str(tmp_path))
    signal.signal(signal.SIGTERM, before)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("403", "Forbidden"),
        ("no length", "cannot be read: "),
        ("no bucket", "no such file or folder, or no such bucket"),
        ("no credentials", "Unable to locate credentials"),
    ],
)
def test_object_storage_that_gives_nothing_is_one_line_that_names_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
        if answer == "no credentials":
            monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setitem(ANSWERS, "no bucket", ANSWERS["404"])
    s3 = fsspec.get_filesystem_class("s3")
    with running(HostileServer(answer if answer in ANSWERS else "404")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        s3.clear_instance_cache()
        with pytest.raises(UserError) as raised:
            find_input(Location(path="s3://bucket/a.jsonl"), str(tmp_path))
        s3.clear_instance_cache()
    line = str(raised.value)
    assert line.startswith("s3://bucket/a.jsonl: ")
    assert said in line
    assert "\n" not in line


def test_a_login_in_a_url_is_in_no_file_and_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    password, token = "hunter2-of-the-user", "query-that-nobody-may-read"
    monkeypatch.setitem(ANSWERS, "rows", body(ROWS))
    with running(HostileServer()) as server:
        for name in ("rows", "404"):
            place = server.url.replace("://", f"://me:{password}@")
            path = f"{place}/{name}.jsonl?token={token}"
            file = write_config(
                tmp_path / "data.yaml", {"source": "alpaca", "path": path, "language": "en"}, quality=OFF
            )
            for _ in range(2):
                with pytest.raises(SystemExit):
                    main(["data", "--config", str(file), "--out", str(tmp_path / "out")])
            file.unlink()
    said = "".join(capfd.readouterr())
    assert f"{tmp_path}/out: up to date" in said
    assert "://***@127.0.0.1" in said
    written = [
        said,
        *(content.read_bytes().decode("latin-1") for content in tmp_path.rglob("*") if content.is_file()),
    ]
    assert not [text for text in written if password in text or token in text]
