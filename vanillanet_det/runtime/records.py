"""Records of finished images, from which a later run resumes."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Optional

from ..errors import UserError
from .outputs import write_bytes, writing
from .packages import load


@dataclass(frozen=True)
class Share:
    """The images that this process handles: every `world_size`-th, starting at index `rank`.

    Attributes:
        rank: Index of this process.
        world_size: Number of processes.
        run_id: Identifier of the processes that were started together; all of them retry the images
            that an earlier run failed to read.
    """

    rank: int = 0
    world_size: int = 1
    run_id: str = ""


class Records:
    """Records of the finished images of one or more runs, one per line of `DIR/parts/RANK.jsonl`.

    Nothing is written before `begin`. An incomplete last line, left by a killed process, is
    ignored.

    Args:
        folder: DIR.
        names: All images.
        settings: Everything that the results depend on.
        share: The images that this process handles.

    Raises:
        UserError: An earlier run with other settings wrote to the folder.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        settings: dict[str, Any],
        share: Share,
    ) -> None:
        self.folder, self.names, self.share = folder, names, share
        self._parts = folder / "parts"
        self._settings = json.loads(json.dumps(settings))
        self._file: Optional[BinaryIO] = None
        self._check_settings()
        finished = {record["file"] for record in self.read() if "error" not in record}
        mine = names[share.rank :: share.world_size]
        self.remaining = [name for name in mine if name not in finished]
        self.num_finished = len(mine) - len(self.remaining)

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()

    def _check_settings(self) -> None:
        try:
            before = json.loads((self._parts / "settings.json").read_bytes())
        except OSError:
            return
        except ValueError:
            before = {}
        other = [key for key, value in self._settings.items() if before.get(key) != value]
        if other:
            differences = ", ".join(
                f"{key} {before.get(key)!r}, now {self._settings[key]!r}" for key in other
            )
            raise UserError(
                f"--out {self.folder}: was started with {differences}; choose another folder, or "
                "remove this one to start over"
            )

    def begin(self) -> None:
        """Create this process's file, or continue it after its last complete line.

        Raises:
            UserError: The folder can't be written.
        """
        if self._file is not None:
            return
        with writing(self.folder):
            self._parts.mkdir(parents=True, exist_ok=True)
            path = self._parts / "settings.json"
            if not path.exists():
                write_bytes(path, json.dumps(self._settings, indent=1).encode())
            self._file = open(self._parts / f"{self.share.rank}.jsonl", "ab+")  # noqa: SIM115
            self._file.seek(0)
            self._file.truncate(self._file.read().rfind(b"\n") + 1)

    def add(self, name: str, **record: Any) -> None:
        """Record that an image is finished, or, with `error`, that it can't be read.

        Raises:
            UserError: The disk is full.
        """
        if "error" in record:
            record["run"] = self.share.run_id
        line = json.dumps({"file": name, **record}) + "\n"
        with writing(self.folder, "free some space, then resume with the same command"):
            self._file.write(line.encode())
            self._file.flush()

    def lock(self) -> AbstractContextManager:
        """Return a lock that all processes share."""
        if self.share.world_size == 1:
            return nullcontext()
        with writing(self.folder):  # a process without images has not made it
            self._parts.mkdir(parents=True, exist_ok=True)
        return load("filelock").FileLock(self._parts / ".lock")

    def read(self) -> list[dict]:
        """Read the records of all processes, in the order of the images.

        Returns:
            At most one record per image. A success takes precedence over an `error`.
        """
        found: dict[str, dict] = {}
        for path in sorted(self._parts.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if "error" in found.get(record["file"], {"error": ""}):
                    found[record["file"]] = record
        return [found[name] for name in self.names if name in found]

    def is_last_rank(self, records: list[dict]) -> bool:
        """Return whether all images are finished and all other processes have already asked.

        Args:
            records: The records from `read`, read while the lock is held. Images that an earlier
                run failed to read aren't finished, since they are retried.
        """
        pending = [r for r in records if "error" in r and r["run"] != self.share.run_id]
        are_complete = len(records) == len(self.names) and not pending
        if self.share.world_size == 1:
            return are_complete
        path = self._parts / ".ranks_done"
        done = {*(path.read_text().split() if path.exists() else ()), str(self.share.rank)}
        if are_complete and len(done) >= self.share.world_size:
            path.unlink(missing_ok=True)
            return True
        write_bytes(path, " ".join(sorted(done)).encode())
        return False


def fingerprint(path: Path) -> str:
    """Return the first 16 digits of a file's SHA-256, which identify its content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
