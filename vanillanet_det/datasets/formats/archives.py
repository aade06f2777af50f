"""Extracts archives of datasets next to them, without trusting what they contain."""

import bz2
import contextlib
import errno
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

from ...errors import UserError
from .files import FileTree, is_hidden

_TARS = {
    (".tar",): open,
    (".tar.gz", ".tgz"): gzip.open,
    (".tar.bz2", ".tbz2"): bz2.open,
    (".tar.xz", ".txz"): lzma.open,
}
_ENDINGS = (".zip", *(ending for endings in _TARS for ending in endings))
_MOST_FILES = 2_000_000
_MOST_TIMES = 200  # how much larger than the archive its files may be; annotations reach 50
_ALWAYS_ALLOWED = 1 << 30  # bytes
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_FILE_BLOCK = 4096  # bytes; files take up whole blocks
_USABLE = 0.98  # of the free space; folders and the file system need some
_BLOCK = 1 << 20  # bytes
_UTF8 = 0x800  # flag of a file in a zip archive
_LONGEST_READ = 1 << 26  # bytes; tarfile reads the names of files at once
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, struct.error, NotImplementedError, ValueError, RuntimeError),
)


class _Member(NamedTuple):
    name: str
    size: int  # as declared
    is_file: bool
    is_folder: bool
    is_encrypted: bool
    open: Callable[[], BinaryIO]


def is_archive(path: Path) -> bool:
    """Return whether a file has the extension of an archive that can be extracted."""
    return path.name.lower().endswith(_ENDINGS)


def extract(path: Path) -> tuple[Path, str]:
    """Extract a zip or tar archive into a folder next to it, unless this was done before.

    The folder's name contains a number that depends on the size and the modification time of the
    archive, so another archive of the same name has another folder. The files are written to a
    temporary folder, which is renamed once it is complete. Hidden files are left out.

    Returns:
        The folder, and a remark that names it.

    Raises:
        UserError: The archive is damaged or encrypted; contains links, devices, or paths outside
            the folder; is suspiciously large when extracted; or there is no space for its files.
    """
    path = Path(os.path.abspath(path))
    folder = _folder_of(path)
    if folder.is_dir():
        return folder, f"{path.name} has been extracted before; {folder} is used."
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", dir=folder.parent))
        written = temporary / "written"
        written.mkdir()
        count = _extract(path, written)
        try:
            os.rename(written, folder)
        except OSError:
            if not folder.is_dir():  # else another process has extracted the archive meanwhile
                raise
    except OSError as error:
        remedy = "move the archive to a folder with enough space that you can write to, or "
        raise UserError(
            f"{path}: can't be extracted into {folder} ({error.strerror or error}); "
            f"{remedy if error.errno in _NO_SPACE else ''}extract it yourself, and pass the folder"
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder, f"{path.name} was extracted into {folder} ({count:,} files)."


def inner_folder(tree: FileTree) -> Optional[FileTree]:
    """Return the only folder that contains all files; None if there are several or files."""
    tops = {file.partition("/")[0] for file in tree.files}
    is_single = len(tops) == 1 and all("/" in file for file in tree.files)
    return FileTree(tree.root / tops.pop()) if is_single else None


def _folder_of(path: Path) -> Path:
    try:
        state = path.stat()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror or error})") from error
    version = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:8]
    ending = next(ending for ending in _ENDINGS if path.name.lower().endswith(ending))
    return path.with_name(f"{path.name[: -len(ending)]}-extracted-{version}")


def _extract(path: Path, folder: Path) -> int:
    """Extract an archive into an empty folder, and return the number of files."""
    read = _read_zip if path.name.lower().endswith(".zip") else _read_tar
    free = shutil.disk_usage(folder).free
    limit = max(_MOST_TIMES * path.stat().st_size, _ALWAYS_ALLOWED)
    try:
        # All names and sizes are checked before the first file is written.
        count = total = needed = 0
        for member in read(path):
            count, total = count + 1, total + member.size
            _check(path, member)
            if count > _MOST_FILES or total > limit:
                raise UserError(
                    f"{path}: contains more than {_MOST_FILES:,} files, or would be more than "
                    f"{_MOST_TIMES} times as large when extracted; extract it yourself if you "
                    "trust it, and pass the folder"
                )
            if not _is_left_out(member):
                needed += max(1, -(-member.size // _FILE_BLOCK)) * _FILE_BLOCK
            if needed > _USABLE * free:
                reason = (
                    f"its files need nearly all of the {free / 1e9:.1f} GB that are free, or more"
                )
                raise OSError(errno.ENOSPC, reason)
        targets: set[Path] = set()
        for member in read(path):
            if member.is_file and not _is_left_out(member):
                target = folder.joinpath(*_parts(member.name))
                if target in targets:
                    raise UserError(f"{path}: contains {member.name} twice; create it again")
                targets.add(target)
                _write(member, target)
        return len(targets)
    except (*_BROKEN, OSError) as error:
        # gzip and bz2 report damaged data as an OSError without a number.
        if isinstance(error, UserError) or getattr(error, "errno", None):
            raise
        reason = str(error) or type(error).__name__
        raise UserError(
            f"{path}: can't be extracted ({reason}); if it is complete, extract it yourself and "
            "pass the folder"
        ) from error


def _check(path: Path, member: _Member) -> None:
    remedy = "extract it yourself if you trust it, and pass the folder"
    if member.is_encrypted:
        raise UserError(f"{path}: is encrypted; extract it yourself, and pass the folder")
    parts = _parts(member.name)
    is_drive = parts and re.match("[A-Za-z]:", parts[0])
    if member.name.startswith(("/", "\\")) or is_drive or ".." in parts:
        raise UserError(f"{path}: {member.name} is outside the archive's folder; {remedy}")
    if not (member.is_file or member.is_folder or _is_left_out(member)):
        raise UserError(f"{path}: {member.name} is a link or a device, not a file; {remedy}")


def _is_left_out(member: _Member) -> bool:
    return any(map(is_hidden, _parts(member.name)))


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _write(member: _Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with member.open() as source, open(target, "xb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > member.size:
                break
            file.write(block)
    if size != member.size:
        raise ValueError(f"{member.name} isn't {member.size:,} bytes long, as the archive declares")


def _read_zip(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_folder = info.filename.endswith(("/", "\\"))
            yield _Member(
                name=_zip_name(info),
                size=info.file_size,
                is_file=not is_folder and kind in (0, stat.S_IFREG),
                is_folder=is_folder and kind in (0, stat.S_IFDIR),
                is_encrypted=bool(info.flag_bits & 1),
                open=lambda info=info: archive.open(info),
            )


def _zip_name(info: zipfile.ZipInfo) -> str:
    if not info.flag_bits & _UTF8:  # which Macs don't set; Python takes the name for DOS's cp437
        with contextlib.suppress(UnicodeError):
            return info.filename.encode("cp437").decode("utf-8")
    return info.filename


class _ShortReads:
    """A file that tarfile can't be tricked into reading into memory as a whole."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def read(self, size: int) -> bytes:
        """Read bytes."""
        if size > _LONGEST_READ:
            raise ValueError("the name of a file is too long")
        return self._read(size)


def _read_tar(path: Path) -> Iterator[_Member]:
    opened = next(way for endings, way in _TARS.items() if path.name.lower().endswith(endings))
    with opened(path, "rb") as file, tarfile.open(fileobj=_ShortReads(file), mode="r:") as archive:
        for info in archive:
            yield _Member(
                name=info.name,
                size=info.size,
                is_file=info.isreg(),
                is_folder=info.isdir(),
                is_encrypted=False,
                open=lambda info=info: archive.extractfile(info),
            )
        # Without the block of zeros at the end, tarfile stops as if the archive were complete.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise ValueError("it ends too early")
