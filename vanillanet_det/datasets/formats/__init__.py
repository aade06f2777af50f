"""Data sets in the forms users have them, read as COCO content."""

import os
from pathlib import Path
from typing import Union

from ...errors import UserError
from . import coco, labelme, voc, yolo
from .files import Tree, some
from .source import Source
from .split import split

__all__ = ["Source", "read_source", "split"]

_FORMS = (yolo, coco, voc, labelme)  # the surest sign first


def read_source(data: Union[str, Path]) -> Source:
    """Read a data set of whatever form; the form is found by looking.

    Args:
        data: A folder, a COCO annotation file, or a `data.yaml` of YOLO.

    Raises:
        UserError: It is of no form, or something in it is wrong; one sentence that names the file
            and the line or the id, what was expected and what to do.
    """
    data = Path(os.path.expanduser(data))
    if data.is_file():
        return _read_file(data)
    if not data.is_dir():
        raise UserError(f"{data}: neither a file nor a folder; give the folder of a data set")
    tree = Tree(data)
    found = [form for form in _FORMS if form.find(tree)]
    if not found:
        raise UserError(_of_no_form(tree))
    source = found[0].read(tree)
    if len(found) == 1:
        return source
    others = some([form.FORM for form in found[1:]])
    remark = f"The folder looks like {others}, too; it is read as {source.form}."
    return Source(**{**vars(source), "remarks": (*source.remarks, remark)})


def _read_file(path: Path) -> Source:
    if path.suffix.lower() in (".yaml", ".yml"):
        return yolo.read_yaml(path)
    if path.suffix.lower() == ".json" and coco.is_coco(path):
        return coco.read_file(path)
    raise UserError(
        f"{path}: neither a COCO annotation file (.json with images, annotations and categories) "
        "nor YOLO's data.yaml; give one of them, or the folder of the data set"
    )


def _of_no_form(tree: Tree) -> str:
    forms = "; ".join(form.LOOKS_LIKE for form in _FORMS)
    below = [
        folder
        for folder in sorted({file.split("/")[0] for file in tree.files if "/" in file})
        if any(form.find(Tree(tree.root / folder)) for form in _FORMS)
    ]
    hint = f". There is a data set in {some(below, 3)}: give that folder" if below else ""
    return f"{tree.root}: no data set of a known form: {forms}. Found {_found(tree)}{hint}"


def _found(tree: Tree) -> str:
    if not tree.files:
        return "no file"
    kinds = sorted({Path(file).suffix.lower() or Path(file).name for file in tree.files})
    return f"{len(tree.files):,} files ({some(kinds, 5)}), such as {some(tree.files, 3)}"
