"""Reads XML files of annotations."""

from pathlib import Path
from xml.etree import ElementTree

from ...errors import UserError
from .files import read_bytes


def read_xml(path: Path) -> ElementTree.Element:
    """Read an XML file.

    Raises:
        UserError: The file can't be read, isn't valid XML, or has a DOCTYPE.
    """
    content = read_bytes(path)
    # A DOCTYPE can declare entities, with which a small file expands to gigabytes.
    if b"<!DOCTYPE" in content.replace(b"\0", b""):
        raise UserError(f"{path}: has a DOCTYPE, which annotations don't need; remove it")
    try:
        return ElementTree.fromstring(content)  # noqa: S314, no entities
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        line = getattr(error, "position", (1,))[0]
        raise UserError(f"{path}:{line}: is not valid XML ({error}); export it again") from error
