"""Atomic writes for MMEngine's files."""

from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from ..errors import UserError
from ..fileio import atomic_write


@register_backend("atomic")
class AtomicBackend(LocalBackend):
    """Storage backend for local files that are written completely or not at all.

    To use it in MMEngine's CheckpointHook, set `backend_args=dict(backend='atomic')`.
    """

    def put(self, obj: Union[bytes, memoryview], filepath: Union[str, Path]) -> None:
        """Write bytes to a file, creating its folder if needed.

        Raises:
            UserError: The file can't be written; an older file is left unchanged.
        """
        try:
            Path(filepath).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(filepath) as file:
                file.write(obj)
        except OSError as error:
            raise UserError(
                f"{filepath}: {len(obj):,} bytes can't be written ({error.strerror or error}); no "
                "partial file was kept, and no older file was changed. Free up space, or use "
                "another folder with --work-dir FOLDER"
            ) from error

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = "utf-8") -> None:
        """Write text to a file, creating its folder if needed."""
        self.put(obj.encode(encoding), filepath)
