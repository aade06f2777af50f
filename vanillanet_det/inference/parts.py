"""What is finished of a folder of pictures, kept so that a later run goes on from there."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Optional

from filelock import FileLock

from ..errors import UserError
from ..runtime.outputs import write_bytes


class Parts:
    """Records of finished pictures, `DIR/parts/RANK.jsonl`, by the processes of one or more runs.

    A record is a line, written when the picture is finished. A line that a killed process left
    unfinished doesn't count.

    Args:
        folder: DIR.
        names: All pictures, of which each process takes every `size`-th.
        settings: What decides the results.
        rank: This process.
        size: How many there are.

    Raises:
        UserError: The folder was begun with other settings, or can't be written.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        settings: dict[str, Any],
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.folder, self.names, self.rank = folder, names, rank
        self._parts = folder / "parts"
        # Of one start of torchrun, all of whose processes try again what failed before.
        self._run = os.environ.get("TORCHELASTIC_RUN_ID", "")
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            with self.lock():
                self._check_settings(settings)
        except OSError as error:
            raise UserError(
                f"--out {folder}: can't be written ({error.strerror or error}); choose another"
            ) from error
        finished = self.read()
        share = names[rank::size]
        self.remaining = [name for name in share if "error" in finished.get(name, {"error": ""})]
        self.num_finished = len(share) - len(self.remaining)
        self._file: Optional[BinaryIO] = None

    def lock(self) -> FileLock:
        """Lock that the processes share."""
        return FileLock(self._parts / ".lock")

    def _check_settings(self, settings: dict[str, Any]) -> None:
        path = self._parts / "settings.json"
        settings = json.loads(json.dumps(settings))
        if not path.exists():
            write_bytes(path, json.dumps(settings, indent=1).encode())
            return
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = {}
        other = [key for key in settings if before.get(key) != settings[key]]
        if other:
            differences = ", ".join(f"{k} {before.get(k)!r}, now {settings[k]!r}" for k in other)
            raise UserError(
                f"--out {self.folder}: was begun with {differences}; choose another folder, or "
                "remove this one to start anew"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Open this process's file; what is left of an unfinished line in it is cut off."""
        path = self._parts / f"{self.rank}.jsonl"
        with open(path, "ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            self._file = file
            yield

    def add(self, name: str, **record: Any) -> None:
        """Write down that a picture is finished, or with `error` that it can't be read.

        Raises:
            UserError: There is no room.
        """
        if "error" in record:
            record["run"] = self._run
        line = json.dumps({"file": name, **record}) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"--out {self.folder}: can't be written ({error.strerror or error}); make room and "
                "run the same command again, which goes on"
            ) from error

    def read(self) -> dict[str, dict]:
        """Read what all processes have written.

        Returns:
            Records by picture; one that could be read once is finished.
        """
        found: dict[str, dict] = {}
        for path in sorted(self._parts.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if "error" not in found.get(record["file"], {"error": ""}):
                    continue
                found[record["file"]] = record
        return found

    def read_all(self) -> Optional[list[dict]]:
        """Read the records of all pictures, in their order.

        Returns:
            The records, some of them with an `error`; None while another process is at work.
        """
        found = self.read()
        for name in self.names:
            record = found.get(name)
            if record is None or ("error" in record and record["run"] != self._run):
                return None
        return [found[name] for name in self.names]


def fingerprint(path: Path) -> str:
    """Tell a file by its content: the start of its SHA-256."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
