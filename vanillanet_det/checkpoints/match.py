"""Comparison of the tensors of a checkpoint and a model by name and shape."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UserError

# Tensors that a file may lack: lambda defaults to 1, and the batch count isn't needed.
_OPTIONAL = ("act_lambda", "num_batches_tracked")
LEAST_MATCH = 0.9


@dataclass(frozen=True)
class Match:
    """The names of matching and non-matching tensors of a checkpoint and a model.

    Attributes:
        matched: Tensors in both, with equal shapes.
        missing: Tensors only in the model.
        left_over: Tensors only in the checkpoint.
        misshapen: Tensors in both, with different shapes.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    misshapen: tuple[str, ...]

    @classmethod
    def of(cls, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> "Match":
        """Compare the tensors of a checkpoint with the tensors that a model expects."""
        wanted = [key for key in expected if key in found or not key.endswith(_OPTIONAL)]
        fits = {key: found[key].shape == expected[key].shape for key in wanted if key in found}
        return cls(
            matched=tuple(key for key, fit in fits.items() if fit),
            missing=tuple(key for key in wanted if key not in found),
            left_over=tuple(key for key in found if key not in expected),
            misshapen=tuple(key for key, fit in fits.items() if not fit),
        )

    @classmethod
    def by_loading(cls, model: nn.Module, state: Mapping[str, Tensor]) -> "Match":
        """Load the tensors that fit into a model, and return the match.

        Unlike `of`, this also works for a model that renames tensors while it loads them.

        Raises:
            UserError: The model rejects a tensor.
        """
        expected = model.state_dict()
        misshapen = [k for k in state if k in expected and state[k].shape != expected[k].shape]
        rest = {key: value for key, value in state.items() if key not in misshapen}
        try:
            result = model.load_state_dict(rest, strict=False)
        except RuntimeError as error:
            raise UserError(" ".join(str(error).split())) from error
        absent = set(result.missing_keys)
        missing = [k for k in expected if k in absent and not k.endswith(_OPTIONAL)]
        # Optional tensors are filled in without a report.
        filled = {key for key in expected if key.endswith(_OPTIONAL) and key not in state}
        lacking = absent.union(misshapen, filled)
        return cls(
            matched=tuple(key for key in expected if key not in lacking),
            missing=tuple(key for key in missing if key not in misshapen),
            left_over=tuple(result.unexpected_keys),
            misshapen=tuple(misshapen),
        )

    @property
    def total(self) -> int:
        """Number of tensors that the model expects."""
        return len(self.matched) + len(self.missing) + len(self.misshapen)

    @property
    def is_complete(self) -> bool:
        """Whether every tensor of the model is in the checkpoint."""
        return not self.missing and not self.misshapen

    @property
    def is_enough(self) -> bool:
        """Whether at least 90 % of the model's tensors are in the checkpoint."""
        return len(self.matched) >= LEAST_MATCH * self.total

    def within(self, part: str) -> "Match":
        """Select the tensors of one part, such as `backbone`, at any depth of the model."""
        return Match(
            **{
                key: tuple(name for name in names if part in name.split(".")[:-1])
                for key, names in vars(self).items()
            }
        )

    def __str__(self) -> str:
        """Return the counts, and the first few names that don't match."""
        shapes = (
            f", {len(self.misshapen)} of a different shape{some(self.misshapen)}"
            if self.misshapen
            else ""
        )
        return (
            f"{len(self.matched)} of {self.total} tensors match, "
            f"{len(self.missing)} missing{some(self.missing)}, "
            f"{len(self.left_over)} left over{some(self.left_over)}{shapes}"
        )


def some(names: Iterable[str]) -> str:
    """Return the first few names in brackets."""
    names = list(names)
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
