"""Rows of weights by class: a head for one list of classes becomes a head for another.

Heads number classes. A head that is loaded for the same number of classes in another order fits,
but each class gets the weights of another one.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from ..errors import some
from .meta import build_on_meta

_KEYS = ("num_classes", "num_things_classes")
_BY_CLASS = re.compile(r"mask|reg\.\w+$")
_BOX_AND_OBJECTNESS = 5  # which come before the classes in YOLOv3's predictions


@dataclass(frozen=True)
class Axis:
    """A dimension of a tensor whose length depends on the number of classes.

    Its length is `blocks * (classes + others)`. Each block, such as that of an anchor, has an entry
    for each class; box regression and masks have all entries of a class together instead.

    Attributes:
        dim: The dimension.
        blocks: Number of entries of a class.
        others: Number of other entries in a block, such as one for the background.
        first: Whether the other entries come first.
        by_class: Whether a class's entries are next to each other.
    """

    dim: int
    blocks: int
    others: int
    first: bool
    by_class: bool

    def length(self, count: int) -> int:
        """Return the length of the dimension for a number of classes."""
        return self.blocks * (count + self.others)

    def entries(self, indices: Sequence[int], count: int) -> np.ndarray:
        """Return the entries of the classes with these indices, and all entries of no class."""
        if self.by_class:
            return (np.array(indices, int)[:, None] * self.blocks + np.arange(self.blocks)).ravel()
        offset = self.others * self.first
        rest = np.arange(self.others) + (0 if self.first else count)
        block = np.concatenate([np.array(indices, int) + offset, rest])
        return (np.arange(self.blocks)[:, None] * (count + self.others) + block).ravel()


@dataclass(frozen=True)
class ClassRows:
    """Which weights of a file belong to which class of a model.

    Attributes:
        old: Classes of the file.
        new: Classes of the model.
        tensors: The tensors that depend on the classes: the dimensions that do.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    tensors: Mapping[str, Sequence[Axis]]

    @property
    def shared(self) -> list[str]:
        """Classes of both, in the order of the model."""
        return [name for name in self.new if name in self.old]

    @property
    def fresh(self) -> list[str]:
        """Classes that the file lacks, and that start from random weights."""
        return [name for name in self.new if name not in self.old]

    def is_found(self, name: str, found: Tensor, expected: Tensor) -> bool:
        """Return whether the file's tensor has the layout of the model's tensor."""
        shapes = [list(found.shape), list(expected.shape)]
        for axis in self.tensors[name] if self.shared and found.ndim == expected.ndim else ():
            for shape, classes in zip(shapes, (self.old, self.new)):
                shape[axis.dim] -= axis.length(len(classes))
        return bool(self.shared) and shapes[0] == shapes[1]

    def fill(self, name: str, found: Tensor, initial: Tensor) -> Tensor:
        """Copy the rows of the shared classes, and what belongs to no class, into a tensor.

        Args:
            name: Name of the tensor.
            found: The file's tensor.
            initial: The model's tensor before weights are loaded, which has the new classes' rows.

        Returns:
            A tensor of the model's shape on the file's device.
        """
        result = initial.detach().to(found).clone()
        places = [[np.arange(side) for side in found.shape] for _ in range(2)]
        for axis in self.tensors[name]:
            for place, classes in zip(places, (self.old, self.new)):
                indices = [classes.index(shared) for shared in self.shared]
                place[axis.dim] = axis.entries(indices, len(classes))
        source, target = ([torch.from_numpy(side) for side in np.ix_(*p)] for p in places)
        result[tuple(target)] = found[tuple(source)]
        return result

    def convert(self, state: dict[str, Tensor], initial: Mapping[str, Tensor]) -> None:
        """Convert a file's weights to the model's classes, in place.

        Tensors whose rows can't be taken are removed if they would be loaded for other classes.

        Args:
            state: The file's tensors by name.
            initial: The model's tensors before weights are loaded.
        """
        for name in self.tensors:
            if name not in state:
                continue
            if self.is_found(name, state[name], initial[name]):
                state[name] = self.fill(name, state[name], initial[name])
            elif state[name].shape == initial[name].shape:
                del state[name]

    def __str__(self) -> str:
        """Say which classes are taken from the file."""
        parts = []
        if self.shared:
            parts.append(f"taken by name for {some(self.shared, 20)}")
        if self.fresh:
            parts.append(f"random for {some(self.fresh, 20)}")
        if not self.old:
            parts = ["random, since the file doesn't name its classes"]
        return f"Weights of the classes: {'; '.join(parts)}"


def match_classes(
    model: Optional[dict], old: Sequence[str], new: Sequence[str]
) -> Optional[ClassRows]:
    """Compare the classes of a file with those of a model that is initialised from it.

    Args:
        model: Config of the model, for the new classes; None if the model has none.
        old: Classes of the file, in order; empty if unknown.
        new: Classes of the model, in order.

    Returns:
        None if they are the same, or if the model doesn't depend on the number of classes.
    """
    if tuple(old) == tuple(new) or not isinstance(model, dict):
        return None
    tensors = _class_tensors(model, len(new))
    return ClassRows(tuple(old), tuple(new), tensors) if tensors else None


def _class_tensors(model: dict, count: int) -> dict[str, list[Axis]]:
    """Find the tensors whose shapes depend on the number of classes: build it for one more."""
    more = copy.deepcopy(model)
    if not _add_class(more, count):
        return {}
    try:
        before, after = (build_on_meta(each).state_dict() for each in (model, more))
    except Exception as error:  # constructors raise almost any exception
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        print_log(
            f"The layers that depend on the classes can't be found ({reason}), so the weights of "
            "classes are loaded by position instead of by name",
            "current",
            level=30,
        )
        return {}
    found = {name: list(_axes(name, before[name], after[name], count)) for name in before}
    return {name: axes for name, axes in found.items() if axes}


def _add_class(node: Any, count: int) -> bool:
    """Raise the number of classes in each part of a model's config; return whether there is any."""
    keys = [key for key in _KEYS if node.get(key) == count] if isinstance(node, dict) else []
    for key in keys:
        node[key] += 1
    children = node.values() if isinstance(node, dict) else node
    nested = [child for child in children if isinstance(child, (dict, list, tuple))]
    return sum([_add_class(child, count) for child in nested]) + len(keys) > 0


def _axes(name: str, before: Tensor, after: Tensor, count: int) -> Iterator[Axis]:
    for dim, (one, other) in enumerate(zip(before.shape, after.shape)):
        blocks = other - one
        if blocks:
            others = one // blocks - count
            # Classes that are an input follow other inputs, as in PointRend.
            first = dim > 0 or others == _BOX_AND_OBJECTNESS
            by_class = others == 0 and bool(_BY_CLASS.search(name))
            yield Axis(dim, blocks, others, first, by_class)
