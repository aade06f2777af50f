"""MMEngine's files, written whole or not at all."""

from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from ..errors import UserError
from ..fileio import atomic_write


@register_backend("atomic")
class AtomicBackend(LocalBackend):
    """Local files, written whole or not at all.

    For mmengine's CheckpointHook: `backend_args=dict(backend='atomic')`.
    """

    def put(self, obj: Union[bytes, memoryview], filepath: Union[str, Path]) -> None:
        """Write bytes to a file, and make its folder if there is none.

        Raises:
            UserError: It can't be written; what stood there before stands there still.
        """
        try:
            Path(filepath).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(filepath) as file:
                file.write(obj)
        except OSError as error:
            raise UserError(
                f"{filepath}: {len(obj):,} bytes can't be written ({error.strerror or error}); "
                "nothing of it was kept and no older file is changed. Make room, or choose "
                "another folder with --work-dir FOLDER"
            ) from error

    def put_text(self, obj: str, filepath: Union[str, Path], encoding: str = "utf-8") -> None:
        """Write text to a file, and make its folder if there is none."""
        self.put(obj.encode(encoding), filepath)
