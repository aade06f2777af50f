"""Splits off validation images if a dataset has none."""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from .raw_dataset import is_learned


def split(
    content: Mapping[str, Any], root: Path, share: float = 0.2, seed: int = 0
) -> tuple[dict, dict]:
    """Split COCO content into training and validation.

    The split is deterministic and stratified by class, starting with the rarest class. Images with
    identical bytes stay in the same split. If possible, a class that occurs in at least two
    different images is in both splits.

    Args:
        content: `images`, `annotations` and `categories`, whose ids are kept.
        root: Folder that `file_name`s are relative to.
        share: Share of the images to use for validation, between 0 and 1.
        seed: Random seed.

    Returns:
        The training content and the validation content. In each of them, `info["split"]` records
        how the split was made.

    Raises:
        UserError: Fewer than two different images have objects, or an image can't be read.
    """
    if not 0 < share < 1:
        raise UserError(f"split: share is {share}, expected a number between 0 and 1, such as 0.2")
    groups = _equal_images(content["images"], root)
    classes = _classes_of(content["annotations"], groups)
    annotated = len([group for group in classes if group])
    if annotated < 2:
        raise UserError(
            f"{root}: splitting off validation images requires at least two different images with "
            f"objects, but there are {annotated}; annotate more, or add validation images"
        )
    in_val = _chosen(classes, share, random.Random(seed))  # noqa: S311, not for security
    val_ids = {image_id for group, ids in enumerate(groups) if in_val[group] for image_id in ids}
    written = dict(seed=seed, share=share, images=len(content["images"]), in_val=len(val_ids))
    return (
        _part(content, lambda image_id: image_id not in val_ids, dict(written, part="train")),
        _part(content, lambda image_id: image_id in val_ids, dict(written, part="val")),
    )


def _equal_images(images: list[dict], root: Path) -> list[list]:
    """Group the ids of images whose files have the same bytes."""
    by_size = defaultdict(list)
    for image in sorted(images, key=lambda image: image["file_name"]):
        path = root / image["file_name"]
        try:
            by_size[path.stat().st_size].append((image["id"], path))
        except OSError as error:
            raise _unreadable(path, error) from error
    groups = defaultdict(list)
    for size, found in by_size.items():
        for image_id, path in found:
            # Reading a whole large dataset takes minutes, but few files have the same size.
            content = _digest(path) if len(found) > 1 else b""
            groups[size, content].append(image_id)
    return list(groups.values())


def _digest(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: can't be read ({error.strerror or error}); add the image or remove it from the "
        "annotations"
    )


def _classes_of(annotations: list[dict], groups: list[list]) -> list[set]:
    """Return the categories of the objects that are learned in each group of images."""
    group_of = {image_id: group for group, ids in enumerate(groups) for image_id in ids}
    classes: list[set] = [set() for _ in groups]
    for annotation in annotations:
        if is_learned(annotation):
            classes[group_of[annotation["image_id"]]].add(annotation["category_id"])
    return classes


def _chosen(classes: list[set], share: float, source: random.Random) -> list[bool]:
    """Choose the groups to use for validation."""
    sizes = Counter(label for labels in classes for label in labels)

    def rarity(label: Any) -> tuple[int, str]:
        return sizes[label], str(label)

    strata = defaultdict(list)
    for group in source.sample(range(len(classes)), len(classes)):
        strata[min(classes[group], key=rarity, default=None)].append(group)
    in_val = [False] * len(classes)
    owed = 0.0  # images that rounding has kept out of validation so far
    for label in sorted(strata, key=rarity):
        members = strata[label]
        owed += share * len(members)
        # The only image of a class is used for training.
        most = len(members) - (label is not None)
        least = int(label is not None and len(members) > 1)
        taken = min(max(round(owed), least), most)
        owed -= taken
        for group in members[:taken]:
            in_val[group] = True
    _rebalance(classes, in_val, sorted(sizes, key=rarity))
    if not any(labels and chosen for labels, chosen in zip(classes, in_val)):
        annotated = [group for group, labels in enumerate(classes) if labels]
        in_val[source.choice(annotated)] = True
    return in_val


def _rebalance(classes: list[set], in_val: list[bool], labels: list) -> None:
    """Extend classes to both splits, unless this would remove another class from a split."""
    sides = {label: [0, 0] for label in labels}
    for group, own in enumerate(classes):
        for label in own:
            sides[label][in_val[group]] += 1
    for label in labels:
        if sum(sides[label]) < 2 or all(sides[label]):
            continue
        members = [group for group, own in enumerate(classes) if label in own]
        for group in sorted(members, key=lambda group: len(classes[group])):
            across = [other for other in range(len(classes)) if in_val[other] != in_val[group]]
            partners = [[other] for other in across if classes[other] & classes[group]]
            if any(_move([group, *other], classes, in_val, sides) for other in ([], *partners)):
                break


def _move(
    groups: list[int], classes: list[set], in_val: list[bool], sides: dict[Any, list[int]]
) -> bool:
    """Move groups to the other split, unless this would remove a class from either split."""
    after = {label: list(sides[label]) for group in groups for label in classes[group]}
    for group in groups:
        for label in classes[group]:
            after[label][in_val[group]] -= 1
            after[label][not in_val[group]] += 1
    if any(all(sides[label]) and not all(counts) for label, counts in after.items()):
        return False
    sides.update(after)
    for group in groups:
        in_val[group] = not in_val[group]
    return True


def _part(content: Mapping[str, Any], belongs: Callable[[Any], bool], written: dict) -> dict:
    return dict(
        info={**content.get("info", {}), "split": written},
        images=[image for image in content["images"] if belongs(image["id"])],
        annotations=[a for a in content["annotations"] if belongs(a["image_id"])],
        categories=content["categories"],
    )
