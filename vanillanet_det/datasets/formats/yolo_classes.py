"""YOLO format: reads the class names from `data.yaml` or from lists such as `classes.txt`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ...errors import UserError, some
from .files import read_text

# Written by labelImg, Darknet, makesense.ai and X-AnyLabeling.
_LISTS = ("classes.txt", "obj.names", "classes.names", "_darknet.labels", "labels.txt")


def read_yaml_text(path: Path) -> dict[str, Any]:
    """Read a YAML file whose values are names, which are kept as text.

    Other loaders read the names `no`, `010` and `1e3` as False, 8 and 1000.0.

    Raises:
        UserError: The file can't be read or isn't valid YAML.
    """
    try:
        # This loader creates nothing but text, lists and dictionaries.
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(
            f"{path}{line}: is not valid YAML ({problem}); expected entries such as "
            "names: [cat, dog]"
        ) from error
    return content if isinstance(content, dict) else {}


def yaml_class_names(content: Mapping[str, Any], path: Path) -> list[str]:
    """Return the class names of a `data.yaml`, in the order of their indices.

    Raises:
        UserError: The names aren't a list, or don't match their indices or `nc`.
    """
    names = content.get("names")
    if isinstance(names, dict):
        by_number = {str(key): name for key, name in names.items()}
        numbers = [str(index) for index in range(len(names))]
        if set(by_number) != set(numbers):
            raise UserError(
                f"{path}: names has the indices {some(list(names))}, expected 0 to "
                f"{len(names) - 1} without gaps; renumber the classes here and in the labels"
            )
        names = [by_number[index] for index in numbers]
    if not isinstance(names, list) or not names:
        raise UserError(
            f"{path}: names is {names!r}, expected a list of classes: names: [cat, dog]"
        )
    wrong = [index for index, name in enumerate(names) if not isinstance(name, str)]
    if wrong:
        raise UserError(
            f"{path}: class {wrong[0]} in names is a {type(names[wrong[0]]).__name__}, expected a "
            "name; put it in quotes"
        )
    names = _checked(names, path)
    if str(content.get("nc", len(names))) != str(len(names)):
        raise UserError(
            f"{path}: nc is {content['nc']} but names has {len(names)} classes; correct or "
            "remove nc"
        )
    return names


def _checked(names: Sequence[str], path: Path) -> list[str]:
    names = [name.strip() for name in names]
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if twice:
        raise UserError(
            f"{path}: the class {twice[0]!r} is listed twice; give each class its own name"
        )
    if not any(names):
        raise UserError(f"{path}: lists no classes; write their names in the order of the indices")
    return names


class ClassLists:
    """The lists of classes in a dataset's folders, such as `classes.txt`.

    Labelling tools write one into each folder, in the order in which the classes were first used
    there, so an index can mean different classes in different folders.

    Args:
        files: The lists.

    Attributes:
        names: Class names by list; `""` for an empty line, which has an index, too.

    Raises:
        UserError: A list can't be read, is empty, or contains a class twice.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        # Not splitlines, which also splits at characters that names may contain.
        self.names = {
            file: _checked(read_text(file).rstrip().split("\n"), file) for file in sorted(files)
        }

    @property
    def all_names(self) -> list[str]:
        """The classes of all lists, in the order of their first occurrence."""
        return list(dict.fromkeys(name for names in self.names.values() for name in names if name))

    @property
    def differ(self) -> bool:
        """Whether not all lists are equal."""
        return len(set(map(tuple, self.names.values()))) > 1

    def names_for(self, folder: Path) -> list[str]:
        """Return the classes of the label files in a folder.

        They are in the list in this folder, or in the nearest folder above it, else anywhere.

        Raises:
            UserError: Several lists could be meant, which differ.
        """
        for place in (folder, *folder.parents):
            nearest = [file for file in self.names if file.parent == place]
            if nearest:
                break
        first, *others = nearest or self.names
        for other in others:
            if self.names[other] != self.names[first]:
                raise UserError(
                    f"{folder}: its classes could be those of {first} or of {other}, which differ; "
                    "put the right list into this folder and remove the wrong one"
                )
        return self.names[first]

    def check(self, names: Sequence[str], path: Path) -> None:
        """Check that no list has the classes of a `data.yaml` in another order.

        Raises:
            UserError: A list has.
        """
        for file, listed in self.names.items():
            if listed != list(names) and sorted(listed) == sorted(names):
                raise UserError(
                    f"{path}: names has the classes of {file} in another order, so the "
                    "labels could mean either; remove that list, or correct the order"
                )


def is_class_list(name: str) -> bool:
    """Return whether a file's name is that of a list of classes."""
    return name.lower() in _LISTS
