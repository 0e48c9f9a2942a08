"""Downloads: resumed, checked, refused; archives that try to get out. Against a server of our own on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from spikeloom.data import dataset as data
from spikeloom.data import sets as datasets
from spikeloom.data.download import Resource, Source, download, fetch, unpack
from spikeloom.data.sets import shd
from spikeloom.errors import DataError, OutputError, UsageError
from test_datasets import write_mnist

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several blocks
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Site:
    """What a server offers, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list[int])  # bytes after which the next replies break
    codes: list[int] = field(default_factory=list[int])  # codes of the next replies
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, "str | None"]])
    url: str = ""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

        def _fail(self, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            content = site.files.get(self.path)
            if site.codes or content is None:
                self._fail(site.codes.pop(0) if site.codes else 404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and site.ranges else 0
            if start >= len(content) and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if wanted and site.ranges else 200)
            if wanted and site.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + site.cut_after.pop(0)] if site.cut_after else content[start:])

    return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent where the client hangs up."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    offered = Site({"/file.bin": CONTENT})
    server = _Server(("127.0.0.1", 0), _handler(offered))
    offered.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield offered
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_comes_whole_and_is_not_fetched_twice(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    target = tmp_path / "new" / "file.bin"
    for _ in range(2):
        assert fetch(f"{site.url}/file.bin", target, md5=MD5.upper(), size=len(CONTENT), progress=lambda *a: seen.append(a)) == target
    assert target.read_bytes() == CONTENT and len(site.asked) == 1
    assert seen[-1] == ("file.bin", len(CONTENT), len(CONTENT)) and len(seen) >= 5
    assert [p.name for p in target.parent.iterdir()] == ["file.bin"]


def test_a_cut_connection_is_resumed_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.cut_after = [2_000_000, 1_500_000]
    fetch(f"{site.url}/file.bin", tmp_path / "f", sha256=hashlib.sha256(CONTENT).hexdigest(), wait=0.01)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert [r for _, r in site.asked] == [None, "bytes=2000000-", "bytes=3500000-"]


def test_what_came_is_kept_for_another_day(site: Site, tmp_path: Path) -> None:
    site.cut_after = [1_000_000]
    with pytest.raises(DataError, match="ended after 1000000 of 5120000"):
        fetch(f"{site.url}/file.bin", tmp_path / "f", md5=MD5, retries=0)
    assert not (tmp_path / "f").exists()
    fetch(f"{site.url}/file.bin", tmp_path / "f", md5=MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT and site.asked[1][1] == "bytes=1000000-"


def test_a_server_without_ranges_begins_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    (tmp_path / "f.part").write_bytes(b"old")
    fetch(f"{site.url}/file.bin", tmp_path / "f", md5=MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"x" * 1000, b"y" * 6_000_000, CONTENT])
def test_a_part_of_another_file_is_fetched_anew_and_a_whole_one_taken(site: Site, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "f.part").write_bytes(left)
    fetch(f"{site.url}/file.bin", tmp_path / "f", md5=MD5, wait=0.01)
    assert (tmp_path / "f").read_bytes() == CONTENT and not (tmp_path / "f.part").exists()


def test_another_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"its md5 is {MD5}, not {'0' * 32}"):
        fetch(f"{site.url}/file.bin", tmp_path / "f", md5="0" * 32)
    assert not list(tmp_path.iterdir()) and len(site.asked) == 1


def test_another_size_is_refused_before_it_comes(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5120000 bytes; at most 100 are expected"):
        fetch(f"{site.url}/file.bin", tmp_path / "f", size=100)
    assert not (tmp_path / "f").exists()


def test_no_such_file_is_asked_for_once_and_names_the_way_out(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(f"{site.url}/none.bin", tmp_path / "deep" / "none.bin")
    for part in ("none.bin", f"{site.url}/none.bin", "404", str(tmp_path / "deep")):
        assert part in str(caught.value)
    assert len(site.asked) == 1


def test_a_busy_server_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.codes = [503, 500]
    fetch(f"{site.url}/file.bin", tmp_path / "f", md5=MD5, wait=0.01)
    assert len(site.asked) == 3


def test_no_network_names_file_address_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
    with pytest.raises(DataError, match="no connection") as caught:
        fetch(url, tmp_path / "file.bin", retries=1, wait=0.01)
    for part in ("file.bin", url, str(tmp_path)):
        assert part in str(caught.value)


def test_only_the_web_is_fetched_from(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    with pytest.raises(DataError, match="not an http or https"):
        fetch(secret.as_uri(), tmp_path / "f")


def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="taken"):
        fetch(f"{site.url}/file.bin", tmp_path / "taken" / "f")
    assert not site.asked


def _tar(path: Path, *members: tuple[str, bytes | str]) -> Path:
    """Write a .tar.gz: bytes are a file, text is where a link points."""
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                packed.addfile(entry)
            else:
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content))
    return path


def _zip(path: Path, *members: tuple[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if isinstance(content, str):
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            packed.writestr(entry, content)
    return path


Pack = Callable[..., Path]
PACKS = [pytest.param(_tar, id="tar"), pytest.param(_zip, id="zip")]


@pytest.mark.parametrize("pack", PACKS)
def test_unpacking_makes_what_is_wanted(pack: Pack, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a", ("set/one.bin", b"1"), ("set/sub/two.bin", b"22"), ("__MACOSX/junk", b"j"))
    assert unpack(archive, "set") == tmp_path / "set"
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == {"a", "set/one.bin", "set/sub/two.bin"}
    with pytest.raises(OutputError, match="already exists"):
        unpack(archive, "set")


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/evil-of-spikeloom", "set\\..\\evil", "C:/evil", "set/link"])
def test_paths_that_lead_out_are_refused(pack: Pack, tmp_path: Path, name: str) -> None:
    content = "../../evil" if name == "set/link" else b"x"
    folder = tmp_path / "inner"
    folder.mkdir()
    archive = pack(folder / "a", ("set/good", b"1"), (name, content))
    with pytest.raises(DataError, match="nothing was unpacked"):
        unpack(archive, "set")
    assert [p.name for p in tmp_path.rglob("*")] == ["inner", "a"] and not Path("/evil-of-spikeloom").exists()


def test_a_device_and_a_hard_link_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "a", "w") as packed:
            entry = tarfile.TarInfo("set/odd")
            entry.type, entry.linkname = kind, "/etc/passwd"
            packed.addfile(entry)
        with pytest.raises(DataError, match="a link or a device"):
            unpack(tmp_path / "a", "set")


@pytest.mark.parametrize("pack", PACKS)
def test_a_bomb_is_stopped(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 1000000 bytes"):
        unpack(pack(tmp_path / "a", ("set/zeros", bytes(2_000_000))), "set", limit=1_000_000)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("pack", PACKS)
def test_damaged_archives_leave_nothing(pack: Pack, tmp_path: Path) -> None:
    whole = pack(tmp_path / "a", ("set/one.bin", os.urandom(50_000))).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"nothing of the kind" * 100):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            unpack(tmp_path / "a", "set")
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with pytest.raises(DataError, match="does not contain other"):
        unpack(pack(tmp_path / "a", ("set/one.bin", b"1")), "other")


def test_a_data_set_is_fetched_only_when_asked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.data.sets import mnist

    official = write_mnist(tmp_path / "server")
    site.files = {f"/{p.name}": p.read_bytes() for p in official.iterdir()}
    resources = tuple(
        Resource((f"{site.url}/gone/{p.name}", f"{site.url}/{p.name}"), f"MNIST/raw/{p.name}", hashlib.md5(p.read_bytes()).hexdigest())
        for p in sorted(official.iterdir())
    )
    monkeypatch.setattr(mnist, "SOURCE", Source("http://page", resources))
    folder = tmp_path / "data"
    with pytest.raises(DataError, match="--download"):
        data.load_dataset("mnist", folder)
    assert not site.asked
    assert len(data.load_dataset("mnist", folder, download=True).train) == 12
    count = len(site.asked)
    assert count == 8  # the first address of each has no such file, its mirror has
    data.load_dataset("mnist", folder, download=True)
    assert len(site.asked) == count


def test_a_packed_file_is_unpacked_and_its_archive_removed(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _zip(tmp_path / "s.zip", ("shd_train.h5", b"not yet HDF5")).read_bytes()
    site.files = {"/s.zip": archive}
    resource = Resource((f"{site.url}/s.zip",), "SHD/shd_train.h5.zip", hashlib.md5(archive).hexdigest(), holds="shd_train.h5")
    monkeypatch.setattr(shd, "SOURCE", Source("http://page", (resource,)))
    for _ in range(2):
        download("shd", tmp_path / "data")
    assert [p.name for p in (tmp_path / "data" / "SHD").iterdir()] == ["shd_train.h5"] and len(site.asked) == 1


def test_sets_without_files_or_addresses_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no files"):
        download("digits", tmp_path)
    for name in ("imagenet", "dvs128-gesture"):
        with pytest.raises(DataError, match=r"by hand from https://.*docs/data\.md"):
            download(name, tmp_path)
    with pytest.raises(UsageError, match="mnist"):
        download("mnits", tmp_path)


def test_published_resources_are_well_formed() -> None:
    modules = [__import__(f"{datasets.__name__}.{n.replace('-', '_')}", fromlist=["x"]) for n in data.names()]
    resources = [r for m in modules for r in getattr(m, "SOURCE", SimpleNamespace(resources=())).resources]
    assert len(resources) == 24 and len({r.path for r in resources}) == 24
    for resource in resources:
        assert len(resource.md5) == 32 and int(resource.md5, 16) >= 0 and all(u.startswith("http") for u in resource.urls)
        assert not Path(resource.path).is_absolute() and ".." not in Path(resource.path).parts
