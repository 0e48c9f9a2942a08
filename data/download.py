"""Downloads of data files, only on request: resumed, verified, unpacked safely, and renamed to their final name once complete."""

from __future__ import annotations

import hashlib
import http.client
import lzma
import re
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .. import __version__, registry
from ..errors import DataError, OutputError, UsageError
from ..files import make_folder

__all__ = ["Progress", "Resource", "Source", "download", "fetch", "unpack"]

Progress = Callable[[str, int, int | None], None]  # a file's name, bytes so far, total bytes if known

BLOCK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
RETRIES = 4
MAX_DOWNLOAD = 64 << 30
MAX_UNPACKED = 128 << 30
MAX_MEMBERS = 2_000_000
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Resource:
    """A file to download.

    Args:
        urls: its addresses, mirrors after the first.
        path: its place, relative to the data folder.
        md5: its checksum, as published.
        size: bytes, if known.
        holds: for an archive (.zip, .tar.gz): the file or folder to extract beside it; the archive is then removed.
    """

    urls: tuple[str, ...]
    path: str
    md5: str
    size: int | None = None
    holds: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a data set comes from: its page, and the files that can be downloaded directly."""

    page: str
    resources: tuple[Resource, ...] = ()

    def way_out(self) -> str:
        """Say how to get the files."""
        if not self.resources:
            return f"They have no direct address; get them by hand from {self.page}."
        first, *others = self.resources
        more = f" and {len(others)} more like it" if others else ""
        return f"Or let spikeloom train --download get them from {first.urls[0]}{more} (see {self.page})."


def download(name: str, folder: Path, progress: Progress | None = None) -> None:
    """Download and unpack the missing files of a data set.

    Args:
        name: the data set.
        folder: the data folder.
        progress: called with a file's name, bytes so far, total bytes (None: unknown).

    Raises:
        UsageError: there is no such data set.
        DataError: it has no address, there is no network, or the file differs from the published one.
        OutputError: the folder is full or read-only.
    """
    from . import sets as datasets

    module = registry.load(datasets, "data set", name)
    source: Source | None = getattr(module, "SOURCE", None)
    if source is None:
        raise UsageError(f"The data set {name} has no files; there is nothing to download.")
    if not source.resources:
        raise DataError(f"The data set {name} cannot be downloaded. {source.way_out()} See docs/data.md for the folders.")
    for resource in source.resources:
        _fetch_resource(resource, folder, progress)


def _fetch_resource(resource: Resource, folder: Path, progress: Progress | None) -> None:
    target = folder / resource.path
    if resource.holds is not None and (target.parent / resource.holds).exists():
        return
    for number, url in enumerate(resource.urls, start=1):
        try:
            fetch(url, target, md5=resource.md5, size=resource.size, progress=progress)
            break
        except DataError:
            if number == len(resource.urls):
                raise
    if resource.holds is not None:
        unpack(target, resource.holds)
        target.unlink()


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    retries: int = RETRIES,
    wait: float = 1.0,
) -> Path:
    """Download a file: stream it to `target`.part, resume a partial download, verify it, rename it.

    Args:
        url: http or https.
        target: destination; if it exists with the right checksum, nothing is downloaded.
        sha256, md5: checksums, hexadecimal; those given are checked.
        size: bytes, if known.
        progress: see `download`.
        retries: how often a broken connection is retried.
        wait: seconds before the first retry, doubled each time.

    Returns:
        `target`.

    Raises:
        DataError: no network, no such file, or a wrong checksum or size; the message names file, address and folder.
        OutputError: the folder is full or read-only.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url} is not an http or https address. Put {target.name} into {target.parent} by hand.")
    sums = {kind: value.lower() for kind, value in (("sha256", sha256), ("md5", md5)) if value is not None}
    if sums and target.is_file() and _wrong_sum(target, sums) is None:
        return target
    make_folder(target.parent)
    part = target.with_name(target.name + ".part")
    job = _Job(url, target, part, size, progress)
    for attempt in range(retries + 1):
        resumed = part.exists()
        try:
            job.stream()
        except _BrokenError as error:
            if error.final or attempt == retries:
                raise job.failed(error.reason) from error
            time.sleep(wait * 2**attempt)
            continue
        wrong = _wrong_sum(part, sums)
        if wrong is None:
            return _renamed(part, target)
        part.unlink()
        if not resumed or attempt == retries:
            raise DataError(f"{url} is not the file that was published: {wrong}. Try again later, or put {target} there by hand.")
    raise job.failed("it kept changing while it was fetched")


def _wrong_sum(path: Path, sums: dict[str, str]) -> str | None:
    """Compare checksums; return what is wrong, or None."""
    for kind, expected in sums.items():
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, kind).hexdigest()
        if found != expected:
            return f"its {kind} is {found}, not {expected}"
    return None


class _BrokenError(Exception):
    """A connection that failed; `final` if another try would not help."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.final = reason, final


@dataclass(frozen=True)
class _Job:
    url: str
    target: Path
    part: Path
    size: int | None
    progress: Progress | None

    def failed(self, reason: str) -> DataError:
        return DataError(
            f"Cannot download {self.target.name} from {self.url}: {reason}. "
            f"Without a network, get it elsewhere and put it into {self.target.parent}; what was downloaded so far is kept and resumed."
        )

    def stream(self) -> None:
        """Download the rest of `part`.

        Raises:
            _BrokenError: the connection failed; `part` keeps what was received.
        """
        have = self.part.stat().st_size if self.part.exists() else 0
        if have and have == self.size:
            return
        headers = {"User-Agent": f"spikeloom/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with closing(urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)) as reply:
                self._receive(reply, have if _continues(reply, have) else 0)
        except urllib.error.HTTPError as error:
            self._refused(error, have)
        except urllib.error.URLError as error:
            raise _BrokenError(f"no connection ({error.reason})") from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise _BrokenError(f"the connection broke ({error or type(error).__name__})") from error

    def _refused(self, error: urllib.error.HTTPError, have: int) -> None:
        error.close()
        if error.code == 416 and have:  # no bytes follow: it is complete, or not the same file
            if error.headers.get("Content-Range") != f"bytes */{have}":
                self.part.unlink()
                raise _BrokenError("the file there is shorter than what was already downloaded; started again") from error
            return
        raise _BrokenError(f"the server says {error.code} {error.reason}", error.code not in TRANSIENT) from error

    def _receive(self, reply: Any, have: int) -> None:
        length = reply.headers.get("Content-Length")
        total = have + int(length) if length is not None else self.size
        limit = MAX_DOWNLOAD if self.size is None else self.size
        if total is not None and total > limit:
            raise _BrokenError(f"it has {total} bytes; at most {limit} are expected", final=True)
        with _opened(self.part, "ab" if have else "wb") as out:
            while block := reply.read(BLOCK):
                have += len(block)
                if have > limit:
                    raise _BrokenError(f"it has more than the {limit} bytes expected", final=True)
                _write(out, block, self.part)
                if self.progress is not None:
                    self.progress(self.target.name, have, total)
        if total is not None and have < total:
            raise _BrokenError(f"the connection ended after {have} of {total} bytes")


def _continues(reply: Any, have: int) -> bool:
    """Whether the reply continues after `have` bytes, rather than starting over."""
    if reply.status != 206:
        return False
    stated = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
    if stated is None or int(stated[1]) != have:
        raise _BrokenError("the server sent a different part from the one requested")
    return True


def _opened(path: Path, mode: str) -> IO[bytes]:
    try:
        return path.open(mode)
    except OSError as error:
        raise _unwritable(path, error) from error


def _renamed(path: Path, target: Path) -> Path:
    try:
        return path.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _write(out: IO[bytes], block: bytes, path: Path) -> None:
    try:
        out.write(block)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"Cannot write {path}: {error.strerror or error}. Free some space, or name another folder with --data-dir.")


def unpack(archive: Path, holds: str, limit: int = MAX_UNPACKED) -> Path:
    """Unpack a .zip or .tar.* into a temporary folder beside it, then rename the wanted file or folder.

    Only regular files and folders below the archive's own folder are created: no links, devices, absolute paths or `..`.

    Args:
        archive: the file.
        holds: the top-level file or folder to extract; everything else is skipped.
        limit: maximum unpacked size in bytes.

    Returns:
        The path of `holds`, beside the archive.

    Raises:
        DataError: damaged, larger than the limit, with such a member, or without `holds`.
        OutputError: the folder is full or read-only, or `holds` already exists.
    """
    final = archive.parent / holds
    make_folder(archive.parent)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpacking-") as name:
        fresh = Path(name)
        try:
            _unpack_into(archive, fresh, holds, limit)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{archive} is truncated or damaged: {error}. Remove it and get it again.") from error
        if not (fresh / holds).exists():
            raise DataError(f"{archive} does not contain {holds}. Get it again.")
        if final.exists():
            raise OutputError(f"{final} already exists. Move it away, then unpack {archive.name} again.")
        return _renamed(fresh / holds, final)


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str  # "file", "folder", or the type that we refuse
    open: Callable[[], IO[bytes] | None]


def _unpack_into(archive: Path, folder: Path, holds: str, limit: int) -> None:
    left = limit
    for number, member in enumerate(_members(archive)):
        path = _safe(archive, member)
        if number >= MAX_MEMBERS:
            raise DataError(f"{archive} has more than {MAX_MEMBERS} members. Get it again.")
        if path.parts[:1] != (holds,):
            continue
        target = folder.joinpath(*path.parts)
        if member.kind == "folder":
            _make(target)
            continue
        _make(target.parent)
        stream = member.open()
        if stream is None:
            raise DataError(f"{archive} contains {member.name!r} without content. Get it again.")
        with stream, _opened(target, "wb") as out:
            while block := stream.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise DataError(f"{archive} unpacks to more than {limit} bytes, far more than it should. Get it again.")
                _write(out, block, target)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _safe(archive: Path, member: _Member) -> PurePosixPath:
    """Return a member's path, refusing those that could touch anything outside the folder."""
    path = PurePosixPath(member.name)
    if member.kind not in ("file", "folder"):
        raise DataError(f"{archive} contains {member.name!r}, which is {member.kind}; nothing was unpacked. Get it from its official page.")
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name or "\0" in member.name:
        raise DataError(
            f"{archive} contains {member.name!r}, a path that leads out of its folder; nothing was unpacked. Get it from its official page."
        )
    return path


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                yield _Member(entry.filename, _zip_kind(entry), lambda e=entry: packed.open(e))
        return
    with tarfile.open(archive, "r:*") as packed:
        for entry in packed:
            kind = "file" if entry.isreg() else "folder" if entry.isdir() else "a link or a device"
            yield _Member(entry.name, kind, lambda e=entry: packed.extractfile(e))


def _zip_kind(entry: zipfile.ZipInfo) -> str:
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    return "folder" if entry.is_dir() else "file"
