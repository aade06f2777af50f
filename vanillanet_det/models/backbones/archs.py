"""The published and custom VanillaNet architectures, as plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

from ...errors import UserError

AdaPool = Union[bool, tuple[int, ...]]


@dataclass(frozen=True)
class Arch:
    """Numbers that define a VanillaNet.

    Attributes:
        name: Name of the arch in errors.
        dims: Channels of the stem and of each stage.
        strides: Stride of each stage, one entry less than `dims`.
        ada_pool: False for max pooling; True for adaptive max pooling to
            `ceil(input / stride)`; or one fixed output size per stage, 0 for max pooling.
        stem_stride: Stride of the stem's 4x4 convolution.
        stem_padding: Zero padding of this convolution.
    """

    name: str
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    ada_pool: AdaPool = False
    stem_stride: int = 4
    stem_padding: int = 0

    def __post_init__(self) -> None:
        """Raise an error if a number is invalid."""
        for key in ("dims", "strides"):
            self._expect(
                len(getattr(self, key)) > 0 and all(whole_number(v, 1) for v in getattr(self, key)),
                key,
                "a sequence of positive integers",
            )
        self._expect(
            len(self.dims) == len(self.strides) + 1,
            "dims",
            f"{len(self.strides) + 1} entries: one for the stem and one for each of the "
            f"{len(self.strides)} strides",
        )
        self._expect(whole_number(self.stem_stride, 1), "stem_stride", "a positive integer")
        self._expect(whole_number(self.stem_padding, 0), "stem_padding", "a non-negative integer")
        if not isinstance(self.ada_pool, bool):
            self._expect(
                len(self.ada_pool) == len(self.strides)
                and all(whole_number(size, 0) for size in self.ada_pool),
                "ada_pool",
                f"True, False or {len(self.strides)} output sizes, one for each stage "
                "(0 for max pooling)",
            )

    def _expect(self, holds: bool, key: str, expected: str) -> None:
        if not holds:
            raise UserError(
                f"VanillaNet: {key} {getattr(self, key)!r} of arch {self.name!r}: "
                f"expected {expected}"
            )

    @property
    def feature_strides(self) -> tuple[int, ...]:
        """Stride of every feature relative to the image, for the stem and each stage."""
        strides = [self.stem_stride]
        for stride in self.strides:
            strides.append(strides[-1] * stride)
        return tuple(strides)

    @property
    def last_of_each_stride(self) -> tuple[int, ...]:
        """Index of the last feature of each stride."""
        return tuple(
            index
            for index, stride in enumerate(self.feature_strides)
            if stride not in self.feature_strides[index + 1 :]
        )

    def check_out_indices(self, out_indices: Optional[Sequence[int]]) -> tuple[int, ...]:
        """Check the indices of the features to return; None means `last_of_each_stride`.

        Raises:
            UserError: There is no such feature, or the indices are not in ascending order.
        """
        if out_indices is None:
            return self.last_of_each_stride
        last = len(self.strides)
        is_sequence = isinstance(out_indices, (list, tuple)) and len(out_indices) > 0
        if (
            not is_sequence
            or not all(whole_number(i, 0) and i <= last for i in out_indices)
            or list(out_indices) != sorted(set(out_indices))
        ):
            shown = tuple(out_indices) if isinstance(out_indices, list) else out_indices
            raise UserError(
                f"VanillaNet: out_indices {shown} but arch {self.name!r} has features 0..{last} "
                f"(stem and {last} stages); list each at most once, in ascending order"
            )
        return tuple(out_indices)


def whole_number(value: object, least: int) -> bool:
    """Return whether a value is an int of at least `least`, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _published(name: str, width: int, dims: str, strides: str, **stem: object) -> Arch:
    return Arch(
        name,
        tuple(width * int(factor) for factor in dims.split()),
        tuple(int(stride) for stride in strides.split()),
        **stem,
    )


def _published_archs() -> dict:
    """Build the table of the architectures in https://arxiv.org/abs/2305.12972."""
    archs = [
        _published("5", 512, "1 2 4 8", "2 2 2"),
        _published("6", 512, "1 2 4 8 8", "2 2 2 1"),
        _published("7", 512, "1 1 2 4 8 8", "1 2 2 2 1"),
    ]
    # From 8 to 13 each arch has one more layer of 4 * width at stride 16.
    for depth in range(8, 14):
        deep = depth - 7
        dims, strides = f"1 1 2 4{' 4' * deep} 8 8", f"1 2 2{' 1' * deep} 2 1"
        archs.append(_published(str(depth), 512, dims, strides))
    archs.append(_published("13_x1_5", 768, dims, strides))
    archs.append(
        _published(
            "13_x1_5_ada_pool", 768, dims, strides, ada_pool=True, stem_stride=3, stem_padding=1
        )
    )
    return {arch.name: arch for arch in archs}


ARCHS = _published_archs()


def resolve_arch(
    arch: Union[str, dict],
    ada_pool: Union[bool, tuple[int, ...], None] = None,
    stem_stride: Optional[int] = None,
    stem_padding: Optional[int] = None,
) -> Arch:
    """Look up or check an architecture, with optional overrides.

    Args:
        arch: A name in `ARCHS`, or a dict with `dims`, `strides` and, optionally, `ada_pool`,
            `stem_stride` and `stem_padding`.
        ada_pool: Overrides `ada_pool` of the arch, unless None.
        stem_stride: Overrides the stride of the stem, unless None.
        stem_padding: Overrides the zero padding of the stem, unless None.

    Returns:
        The checked architecture.

    Raises:
        UserError: The name is unknown, a key is unknown or missing, or a number is invalid.
    """
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise UserError(
                f"VanillaNet: arch {arch!r}; expected one of {', '.join(ARCHS)}, "
                "or a dict with dims and strides"
            )
        numbers = dict(vars(ARCHS[arch]))
    elif isinstance(arch, dict):
        numbers = {"name": "dict", **arch}
        optional = {"name", "ada_pool", "stem_stride", "stem_padding"}
        if not {"dims", "strides"} <= set(numbers) <= {"dims", "strides"} | optional:
            raise UserError(
                f"VanillaNet: arch with the keys {', '.join(map(str, arch))}; expected dims "
                "and strides and, optionally, ada_pool, stem_stride, stem_padding"
            )
    else:
        raise UserError(
            f"VanillaNet: arch {arch!r}; expected a name such as '11' (in quotes), "
            "or a dict with dims and strides"
        )
    given = {"ada_pool": ada_pool, "stem_stride": stem_stride, "stem_padding": stem_padding}
    numbers.update({key: value for key, value in given.items() if value is not None})
    numbers["ada_pool"] = numbers.get("ada_pool") or False
    for key in ("dims", "strides", "ada_pool"):
        value = numbers[key]
        if isinstance(value, bool) and key == "ada_pool":
            continue
        if not isinstance(value, (list, tuple)):
            raise UserError(f"VanillaNet: {key} {value!r}; expected a list of integers")
        numbers[key] = tuple(value)
    return Arch(**numbers)
