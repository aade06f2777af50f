"""The weights that fine-tuning starts from: a detector, a backbone, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mmengine.config import ConfigDict
from tabulate import tabulate
from torch import Tensor

from ..analysis.meta import build_on_meta
from ..checkpoints import Checkpoint, Match
from ..checkpoints.download import is_url
from ..errors import UserError, prefix_errors
from ..inference.building import drop_initialization
from ..inference.model_config import check_types, model_config
from ..models.backbones.state_dict import Description, describe

_HEADS = ("bbox_head.", "rpn_head.", "roi_head.")


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Attributes:
        kind: `detector`, `backbone` (published ImageNet files), or `nothing`: random weights.
        path: The file, absolute, or its URL.
        state: Tensors of the file by name.
        backbone: Description of the VanillaNet in the file; None for another backbone.
        arch_name: Name of the arch, if the file contains it.
        model: Config of the model, which detectors of this project contain.
    """

    kind: str
    path: str = ""
    state: dict[str, Tensor] = field(default_factory=dict)
    backbone: Optional[Description] = None
    arch_name: str = ""
    model: Optional[ConfigDict] = None

    @property
    def arch(self) -> Optional[str]:
        """Name of the published arch of the weights; None if there is none or it is unknown.

        Raises:
            UserError: Several archs have the same tensors as the weights.
        """
        if self.backbone is None or not self.backbone.archs:
            return None
        if self.arch_name in self.backbone.archs:
            return self.arch_name
        if len(self.backbone.archs) > 1:
            names = " or ".join(self.backbone.archs)
            raise UserError(
                f"--weights {self.path}: may be arch {names}, which have the same tensors; "
                "specify the arch with --backbone vanillanetARCH"
            )
        return self.backbone.archs[0]


def read_start(path: Optional[str]) -> Start:
    """Read the weights to start from.

    Args:
        path: Path or URL of a checkpoint of a detector or of a backbone; None for random weights.

    Raises:
        UserError: The file can't be read, contains no weights, or can't be fine-tuned.
    """
    if path is None:
        return Start("nothing")
    checkpoint = Checkpoint.read(path)
    state = checkpoint.state
    if not state:
        raise UserError(f"--weights {path}: contains no tensors; expected a checkpoint of a model")
    found = describe(checkpoint.backbone())
    if found is not None and found.form == "deployed":
        raise UserError(
            f"--weights {path}: is fused, and a fused network can't be trained, because it has no "
            "BatchNorm; pass the original training checkpoint instead"
        )
    is_detector = any(name.startswith(_HEADS) for name in state)
    if not is_detector and found is None:
        raise UserError(
            f"--weights {path}: is neither a detector (no tensor starts with {', '.join(_HEADS)}) "
            "nor a VanillaNet; pass the published weights or a detector's checkpoint"
        )
    return Start(
        kind="detector" if is_detector else "backbone",
        # An absolute path, so that the run can be resumed from any folder.
        path=path if is_url(path) else str(Path(path).expanduser().resolve()),
        state=state,
        backbone=found,
        arch_name=checkpoint.arch_name,
        model=_own_model(checkpoint) if is_detector else None,
    )


def _own_model(checkpoint: Checkpoint) -> Optional[ConfigDict]:
    """Read the model's config from a checkpoint without running code from it."""
    with prefix_errors(f"--weights {checkpoint.path}"):
        cfg = model_config(checkpoint.content)
        if cfg is None or not isinstance(cfg.get("model"), dict):
            return None
        drop_initialization(cfg.model)
        check_types(cfg.model)
    return cfg.model


@dataclass(frozen=True)
class Transfer:
    """The tensors of a model, grouped by whether they come from a file.

    Attributes:
        kept: Tensors in the file, with the same shape.
        remade: Tensors of a different shape in the file, such as a head for other classes; they
            start from random values.
        missing: Tensors that are not in the file; they start from random values.
        left_over: Tensors in the file that are not in the model.
    """

    kept: tuple[str, ...]
    remade: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]

    def summary(self) -> str:
        """Return a table of the number of tensors per part of the model."""
        names = ("kept", "remade", "missing", "left_over")
        parts = dict.fromkeys(n.partition(".")[0] for name in names for n in getattr(self, name))
        rows = [(part, *(_count(getattr(self, name), part) for name in names)) for part in parts]
        head = ["tensors of", "kept", "re-made", "missing", "left over"]
        return tabulate(rows, head)

    def listing(self) -> str:
        """Return a list of all tensors, one per line."""
        words = dict(kept="kept", remade="re-made", missing="missing", left_over="left over")
        lines = [f"{word:9} {n}" for key, word in words.items() for n in getattr(self, key)]
        return "\n".join(lines) + "\n"


def transfer(start: Start, model_cfg: dict) -> Transfer:
    """Compare weights with the model that will be initialised from them.

    Args:
        start: The weights.
        model_cfg: Config of the model, in the network form of the weights.
    """
    model = build_on_meta(model_cfg)
    prefix = "backbone." if start.kind == "backbone" else ""
    match = Match.of({f"{prefix}{k}": v for k, v in start.state.items()}, model.state_dict())
    return Transfer(match.matched, match.misshapen, match.missing, match.left_over)


def _count(names: Sequence[str], part: str) -> int:
    return sum(name.partition(".")[0] == part for name in names)
