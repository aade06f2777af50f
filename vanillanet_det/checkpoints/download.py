"""Downloads of checkpoints, each of which is fetched once."""

import hashlib
import re
import urllib.error
from pathlib import Path
from typing import Optional

import torch
from filelock import FileLock

from ..errors import UserError


def is_url(path: object) -> bool:
    """Tell whether a path is an http or https URL."""
    return str(path).startswith(("http://", "https://"))


def fetch(url: str) -> Path:
    """Download a file, unless it is in the cache.

    A name such as `retinanet-5c106cde.pth` holds the start of the file's SHA-256, as names of
    PyTorch and MMDetection do; it is verified.

    Args:
        url: An http or https URL.

    Returns:
        The file, in PyTorch's folder for downloads (`$TORCH_HOME/hub/checkpoints`). Equal names
        from different addresses stay apart, unlike in PyTorch's own cache.

    Raises:
        UserError: It can't be downloaded, or its hash differs.
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
            f"checkpoint {url}: can't be downloaded ({error}); check the address, or download it "
            "by other means and name the file"
        ) from error
    return file


def _hash_in(name: str) -> Optional[str]:
    match = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    # Eight digits are more likely a date.
    return match.group(1) if match and not match.group(1).isdigit() else None
