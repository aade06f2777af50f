"""Downloads of checkpoints, cached so that each is fetched once."""

import hashlib
import re
import urllib.error
from pathlib import Path
from typing import Optional

import torch
from filelock import FileLock

from ..errors import UserError


def is_url(path: object) -> bool:
    """Return whether a path is an http or https URL."""
    return str(path).startswith(("http://", "https://"))


def fetch(url: str) -> Path:
    """Download a file unless it is in the cache, and return its path.

    A name such as `retinanet-5c106cde.pth` contains the first digits of the file's SHA-256, as in
    PyTorch and MMDetection; this hash is verified.

    Args:
        url: An http or https URL.

    Returns:
        The file, in PyTorch's download folder (`$TORCH_HOME/hub/checkpoints`). Unlike in PyTorch's
        own cache, files with the same name from different URLs are kept apart.

    Raises:
        UserError: The file can't be downloaded, or its hash differs.
    """
    address = hashlib.sha256(url.encode()).hexdigest()[:12]
    name = re.sub(r"[?#].*", "", url).rstrip("/").rpartition("/")[2]
    folder = Path(torch.hub.get_dir()) / "checkpoints" / address
    file = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One of several ranks downloads while the others wait.
        with FileLock(folder / ".lock"):
            if not file.is_file():
                torch.hub.download_url_to_file(url, str(file), _hash_in(name))
    except (urllib.error.URLError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"checkpoint {url}: can't be downloaded ({error}); check the URL, or download the "
            "file by other means and pass its path"
        ) from error
    return file


def _hash_in(name: str) -> Optional[str]:
    match = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    # Digits without letters are more likely a date.
    return match.group(1) if match and not match.group(1).isdigit() else None
