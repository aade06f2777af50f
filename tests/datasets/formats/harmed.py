"""Harms the annotation files of generated datasets."""

import json
import re
from typing import Any, NamedTuple, Optional

from generated import Scene, Write, written
from hypothesis import assume
from hypothesis import strategies as st

from vanillanet_det import UserError
from vanillanet_det.datasets.formats import RawDataset, read_dataset


class Harm(NamedTuple):
    """A change to one of a dataset's annotation files; `where` is 0 at its start."""

    kind: str
    file: float
    where: float
    value: Any


_BYTES = ("truncate", "empty", "byte", "crlf", "bom", "latin-1", "utf-16", "nul")
_JSON = ("delete", "retype")
_NUMBERS = ("nan", "inf", "1e400", "-1", "1" * 400, "99999999999", "1,5", "½", "", "0", "1e-320")
_VALUES = (None, True, -1, 0, 1e308, 1 << 70, "nan", "", "x", [], [[]], {}, [None], {"a": 1})


def harms(kinds: tuple = (*_BYTES, *_JSON, "number")):
    """Strategy for changes to an annotation file; those of JSON entries need a JSON file."""
    place = st.floats(0, 1)
    return st.builds(Harm, st.sampled_from(kinds), place, place, st.integers(0, 255))


def check_harmed(
    scene: Scene, write: Write, harm: Harm, suffixes=(".json", ".xml", ".txt", ".yaml", ".csv")
) -> Optional[RawDataset]:
    """Harm an annotation file and assert that nothing is lost in silence.

    The dataset is refused in a sentence without a line break, or it is read and whatever is gone
    was counted. Only a text file without brackets, such as YOLO's labels, can be cut off unnoticed.

    Returns:
        The dataset; None if it was refused.
    """
    with written(scene, write) as root:
        files = sorted(file for file in root.rglob("*") if file.suffix in suffixes)
        file = files[min(int(harm.file * len(files)), len(files) - 1)]
        before = file.read_bytes()
        after = _harmed(before, harm, file.suffix == ".json")
        assume(after is not None and after != before)
        file.write_bytes(after)
        try:
            source = read_dataset(root)
        except UserError as error:
            message = str(error)
            assert message
            assert "\n" not in message
            assert not re.search(r"Traceback|object at 0x|Error\(", message), message
            return None
    assert _is_sound(source)
    is_structured = file.suffix in (".json", ".xml")
    if is_structured or harm.kind not in ("truncate", "empty", "byte", "nul"):
        expected = sum(len(picture.things) for picture in scene.pictures)
        kept = len(source.train["annotations"])
        kept += len(source.val["annotations"]) if source.val else 0
        is_counted = kept + source.skipped.objects >= expected
        # The objects of a file that can't be recognized are unknown, but the file is named.
        is_named = any(file.name in text for text in source.remarks)
        assert is_counted or is_named, source.remarks
    return source


def _is_sound(source: RawDataset) -> bool:
    """Assert what training relies on: finite boxes, and ids that exist."""
    for content in filter(None, (source.train, source.val)):
        text = json.dumps(content)
        assert not re.search(r"\b(NaN|Infinity)\b", re.sub(r'"(\\.|[^"\\])*"', "", text))
        images = {image["id"] for image in content["images"]}
        categories = {category["id"] for category in content["categories"]}
        for annotation in content["annotations"]:
            assert annotation["image_id"] in images
            assert annotation["category_id"] in categories
            assert len(annotation["bbox"]) == 4
    return True


def _harmed(content: bytes, harm: Harm, is_json: bool) -> Optional[bytes]:
    at = min(int(harm.where * len(content)), max(len(content) - 1, 0))
    if harm.kind in _JSON:
        return _harmed_json(content, harm) if is_json else None
    if harm.kind == "number":
        found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
        if not found:
            return None
        match = found[min(int(harm.where * len(found)), len(found) - 1)]
        new = _NUMBERS[harm.value % len(_NUMBERS)].encode()
        return content[: match.start()] + new + content[match.end() :]
    if harm.kind in ("latin-1", "utf-16"):
        try:
            return content.decode().encode(harm.kind)
        except UnicodeEncodeError:  # Latin-1 lacks the letter
            return None
    return {
        "truncate": content[:at],
        "empty": b"",
        "byte": content[:at] + bytes([harm.value]) + content[at + 1 :],
        "nul": content[:at] + b"\0" + content[at:],
        "crlf": content.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + content,
    }[harm.kind]


def _harmed_json(content: bytes, harm: Harm) -> Optional[bytes]:
    whole = json.loads(content)
    places = list(_places(whole))
    if not places:
        return None
    parent, key = places[min(int(harm.where * len(places)), len(places) - 1)]
    if harm.kind == "retype":
        parent[key] = _VALUES[harm.value % len(_VALUES)]
    elif isinstance(parent, dict):
        del parent[key]
    else:  # without an entry of a list, the file is another sound one
        return None
    return json.dumps(whole).encode()


def _places(node):
    """Yield all places in a JSON value, as a parent and a key."""
    for key, child in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(child, (dict, list)):
            yield from _places(child)
