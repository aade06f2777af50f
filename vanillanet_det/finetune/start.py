"""What a fine-tuning starts from: a detector, a backbone, or nothing."""

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
        state: Its tensors by name.
        backbone: What VanillaNet is in it; None for another backbone.
        arch_name: Name of its arch, where the file tells.
        model: The model's config, which this project's detectors bring along.
    """

    kind: str
    path: str = ""
    state: dict[str, Tensor] = field(default_factory=dict)
    backbone: Optional[Description] = None
    arch_name: str = ""
    model: Optional[ConfigDict] = None

    @property
    def arch(self) -> Optional[str]:
        """Name of the published arch of the weights; None if there is none, or nobody knows.

        Raises:
            UserError: It may be one of several, which have the same tensors.
        """
        if self.backbone is None or not self.backbone.archs:
            return None
        if self.arch_name in self.backbone.archs:
            return self.arch_name
        if len(self.backbone.archs) > 1:
            names = " or ".join(self.backbone.archs)
            raise UserError(
                f"--weights {self.path}: has the tensors of {names} and doesn't tell which it "
                "is; name it with --backbone vanillanetARCH"
            )
        return self.backbone.archs[0]


def read_start(path: Optional[str]) -> Start:
    """Read the weights to start from.

    Args:
        path: A checkpoint of a detector or of a backbone, a file or a URL; None for none.

    Raises:
        UserError: It can't be read, holds no weights, or can't be trained on.
    """
    if path is None:
        return Start("nothing")
    checkpoint = Checkpoint.read(path)
    state = checkpoint.state
    if not state:
        raise UserError(f"--weights {path}: holds no tensors; expected a checkpoint of a model")
    found = describe(checkpoint.backbone())
    if found is not None and found.form == "deployed":
        raise UserError(
            f"--weights {path}: is fused, and what is fused can't be trained: it has no BatchNorm "
            "left; give the training checkpoint that it was made of"
        )
    is_detector = any(name.startswith(_HEADS) for name in state)
    if not is_detector and found is None:
        raise UserError(
            f"--weights {path}: is neither a detector (nothing in it is named {', '.join(_HEADS)}) "
            "nor a VanillaNet; give the published weights or a detector's checkpoint"
        )
    return Start(
        kind="detector" if is_detector else "backbone",
        # What is trained with it goes on in any folder.
        path=path if is_url(path) else str(Path(path).expanduser().resolve()),
        state=state,
        backbone=found,
        arch_name=checkpoint.arch_name,
        model=_own_model(checkpoint) if is_detector else None,
    )


def _own_model(checkpoint: Checkpoint) -> Optional[ConfigDict]:
    """Read the model's config in a file; nothing of it is run."""
    with prefix_errors(f"--weights {checkpoint.path}"):
        cfg = model_config(checkpoint.content)
        if cfg is None or not isinstance(cfg.get("model"), dict):
            return None
        drop_initialization(cfg.model)
        check_types(cfg.model)
    return cfg.model


@dataclass(frozen=True)
class Transfer:
    """Which tensors of a model come from a file.

    Attributes:
        kept: In the file, with the same shape.
        remade: In the file, but of another shape, such as the head of other classes: random.
        missing: Not in the file: random.
        left_over: In the file, and not in the model.
    """

    kept: tuple[str, ...]
    remade: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]

    def summary(self) -> str:
        """Count the tensors by part of the model."""
        names = ("kept", "remade", "missing", "left_over")
        parts = dict.fromkeys(n.partition(".")[0] for name in names for n in getattr(self, name))
        rows = [(part, *(_count(getattr(self, name), part) for name in names)) for part in parts]
        head = ["tensors of", "kept", "re-made", "missing", "left over"]
        return tabulate(rows, head)

    def listing(self) -> str:
        """List every tensor, a line each."""
        words = dict(kept="kept", remade="re-made", missing="missing", left_over="left over")
        lines = [f"{word:9} {n}" for key, word in words.items() for n in getattr(self, key)]
        return "\n".join(lines) + "\n"


def transfer(start: Start, model_cfg: dict) -> Transfer:
    """Compare weights with the model that starts from them.

    Args:
        start: The weights.
        model_cfg: Config of the model, in the form of the weights.
    """
    model = build_on_meta(model_cfg)
    prefix = "backbone." if start.kind == "backbone" else ""
    match = Match.of({f"{prefix}{k}": v for k, v in start.state.items()}, model.state_dict())
    return Transfer(match.matched, match.misshapen, match.missing, match.left_over)


def _count(names: Sequence[str], part: str) -> int:
    return sum(name.partition(".")[0] == part for name in names)
