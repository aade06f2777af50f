"""Archives of a small dataset, and of what else a test puts into them."""

import io
import tarfile
import zipfile

LINE = "0 0.5 0.5 0.5 0.5\n"
SAFE = {"data.yaml": "train: images\nnames: [cat]\n", "labels/a.txt": LINE}


def make_zip(path, members, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(prefix + name, content)
    return path


def make_tar(path, members, mode="w:gz", change=lambda info: None):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            archive.addfile(info, io.BytesIO(content))
    return path


def folders(root):
    """Give the folders next to an archive, among them forgotten temporary ones."""
    return sorted(path.name for path in root.iterdir() if path.is_dir() and path.name != "source")
