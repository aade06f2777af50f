"""The weights that fine-tuning starts from: a detector, a backbone, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mmengine.config import ConfigDict
from tabulate import tabulate
from torch import Tensor

from ..analysis.class_rows import ClassRows, match_classes
from ..analysis.meta import build_on_meta
from ..checkpoints import Checkpoint, Match
from ..checkpoints.download import is_url
from ..configs import type_name
from ..errors import UserError, prefix_errors
from ..inference.building import drop_initialization
from ..inference.model_config import check_types, model_config
from ..models.backbones.gresnet_state_dict import GResNetDescription
from ..models.backbones.recognition import NetworkDescription, recognise
from ..models.backbones.state_dict import ARGUMENTS, Description

_HEADS = ("bbox_head.", "rpn_head.", "roi_head.")


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Attributes:
        kind: `detector`, `backbone` (published ImageNet files), or `nothing`: random weights.
        path: The file, absolute, or its URL.
        state: Tensors of the file by name.
        backbone: Description of the VanillaNet or GResNet in the file; None for another backbone.
        arch_name: Name of the arch, if the file contains it.
        model: Config of the model, which detectors of this project contain.
        arguments: Type and arguments of a pretrained backbone, if the file contains them.
        classes: Class names of a detector; () if the file doesn't contain them.
    """

    kind: str
    path: str = ""
    state: dict[str, Tensor] = field(default_factory=dict)
    backbone: Optional[NetworkDescription] = None
    arch_name: str = ""
    model: Optional[ConfigDict] = None
    classes: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> Optional[dict[str, Any]]:
        """Type and arguments of the backbone of the weights; None if they are unknown.

        Raises:
            UserError: Several archs have the same tensors as the weights.
        """
        if self.arguments:
            return self.arguments
        if isinstance(self.backbone, GResNetDescription):
            return self.backbone.arguments
        return None if self.arch is None else dict(type="VanillaNet", arch=self.arch)

    @property
    def arch(self) -> Optional[str]:
        """Name of the published arch of a VanillaNet's weights; None if it is unknown.

        Raises:
            UserError: Several archs have the same tensors as the weights.
        """
        if not isinstance(self.backbone, Description) or not self.backbone.archs:
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
    found = recognise(checkpoint.backbone())
    if found is not None and found.form == "deployed":
        raise UserError(
            f"--weights {path}: is fused, and a fused network can't be trained, because it has no "
            "BatchNorm; pass the original training checkpoint instead"
        )
    is_detector = any(name.startswith(_HEADS) for name in state)
    if not is_detector and found is None:
        raise UserError(
            f"--weights {path}: is neither a detector (no tensor starts with {', '.join(_HEADS)}) "
            "nor a VanillaNet or GResNet; pass published weights or a detector's checkpoint"
        )
    return Start(
        kind="detector" if is_detector else "backbone",
        # An absolute path, so that the run can be resumed from any folder.
        path=path if is_url(path) else str(Path(path).expanduser().resolve()),
        state=state if is_detector else checkpoint.backbone(),
        backbone=found,
        arch_name=checkpoint.arch_name,
        model=_own_model(checkpoint) if is_detector else None,
        classes=checkpoint.classes if is_detector else (),
        arguments={} if is_detector else _own_arguments(checkpoint),
    )


def _own_arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read the arguments of the network from a checkpoint of a pretraining run."""
    cfg = model_config(checkpoint.content) or {}
    backbone = (cfg.get("model") or {}).get("backbone") or {}
    kinds = dict(VanillaNetClassifier=("VanillaNet", ARGUMENTS))
    kinds["GResNetClassifier"] = ("GResNet", ("depth", "width", "in_channels"))
    if type_name(backbone) not in kinds:
        return {}
    kind, names = kinds[type_name(backbone)]
    return ConfigDict(type=kind, **{n: backbone[n] for n in names if n in backbone}).to_dict()


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
        by_class: Tensors of which the file's rows are kept for each class that both have.
        remade: Tensors in the file that are for other classes or have another shape; they start
            from random values.
        missing: Tensors that are not in the file; they start from random values.
        left_over: Tensors in the file that are not in the model.
        rows: The classes; None if they are the same.
    """

    kept: tuple[str, ...]
    by_class: tuple[str, ...]
    remade: tuple[str, ...]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    rows: Optional[ClassRows] = None

    def summary(self) -> str:
        """Return a table of the number of tensors per part of the model."""
        names = ("kept", "by_class", "remade", "missing", "left_over")
        parts = dict.fromkeys(n.partition(".")[0] for name in names for n in getattr(self, name))
        rows = [(part, *(_count(getattr(self, name), part) for name in names)) for part in parts]
        head = ["tensors of", "kept", "by class", "re-made", "missing", "left over"]
        return "\n".join([tabulate(rows, head), *self._about_classes()])

    def listing(self) -> str:
        """Return a list of all tensors, one per line."""
        words = dict(
            kept="kept",
            by_class="by class",
            remade="re-made",
            missing="missing",
            left_over="left over",
        )
        lines = [f"{word:9} {n}" for key, word in words.items() for n in getattr(self, key)]
        return "\n".join([*self._about_classes(), *lines]) + "\n"

    def _about_classes(self) -> list[str]:
        return [] if self.rows is None else [str(self.rows)]


def transfer(start: Start, model_cfg: dict, classes: Sequence[str]) -> Transfer:
    """Compare weights with the model that will be initialised from them.

    Args:
        start: The weights.
        model_cfg: Config of the model, in the network form of the weights.
        classes: Classes of the model.
    """
    expected = build_on_meta(model_cfg).state_dict()
    prefix = "backbone." if start.kind == "backbone" else ""
    found = {f"{prefix}{k}": v for k, v in start.state.items()}
    match = Match.of(found, expected)
    rows = match_classes(model_cfg, start.classes, classes) if start.kind == "detector" else None
    in_both = [*match.matched, *match.misshapen]
    names = [name for name in in_both if rows is not None and name in rows.tensors]
    by_class = [name for name in names if rows.is_found(name, found[name], expected[name])]
    remade = [name for name in in_both if name in names or name in match.misshapen]
    return Transfer(
        kept=tuple(name for name in match.matched if name not in names),
        by_class=tuple(by_class),
        remade=tuple(name for name in remade if name not in by_class),
        missing=match.missing,
        left_over=match.left_over,
        rows=rows,
    )


def _count(names: Sequence[str], part: str) -> int:
    return sum(name.partition(".")[0] == part for name in names)
