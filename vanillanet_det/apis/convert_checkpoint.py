"""Conversion of checkpoints, used by `vanillanet-det convert-checkpoint`."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from tabulate import tabulate
from torch import Tensor

from ..checkpoints import Checkpoint, Match, model_state_dict
from ..checkpoints.reading import load_safely
from ..errors import UserError, prefix_errors
from ..fileio import atomic_write, without_folders
from ..inference.model_config import config_text, model_config
from ..models.backbones import ARCHS
from ..models.backbones.base import Backbone
from ..models.backbones.recognition import NetworkDescription, build_network, recognise
from ..models.deploy import layer_errors, random_image
from ..models.layers.act_lambda import SCHEDULE_KEY
from ..models.protocols import HasLambda

_BACKBONE = "backbone."
# The last two are texts of MMDetection 2 about the machine.
_DROPPED = ("epoch", "iter", "config", "env_info")


def convert_checkpoint(
    source: str,
    target: str,
    deploy: bool = False,
    merge: bool = False,
    layout: str = "mmengine",
    force: bool = False,
    verbose: bool = False,
    meta: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Convert the checkpoint of a VanillaNet or GResNet: backbone, classifier or detector.

    Before the written file replaces the target, it is read back and compared with the source on
    a random image. Training state, such as the optimizer's, is dropped.

    Args:
        source: A file or URL, in any layout that `model_state_dict` reads.
        target: The file to write.
        deploy: Fuse the network.
        merge: Convert a VanillaNet to the merged form, for fine-tuning.
        layout: `mmengine` is the layout of this project, with the tensors under `state_dict` and
            with lambda. `published` is the layout of the published files, without lambda: a
            backbone or classifier is under `model`, a detector is as in MMDetection 2.x.
        force: Overwrite an existing target.
        verbose: Report the error of each layer.
        meta: Entries of the target's meta that replace or extend the source's.

    Returns:
        A report of what was read and written, and of the difference between source and target.

    Raises:
        UserError: The source is of neither network, is incomplete or expects raw pixels;
            the target exists or can't be written; or the network can't be fused.
    """
    if merge and deploy:
        raise UserError("--merge --deploy: expected only one; merging is for fine-tuning")
    path = _check_target(source, target, force)
    checkpoint = Checkpoint.read(source)
    state = checkpoint.state
    prefix = _BACKBONE if any(key.startswith(_BACKBONE) for key in state) else ""
    own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    found = _recognise(source, own)
    for option, unknown in (("--merge", merge), ("--layout published", layout == "published")):
        if unknown and found.kind != "VanillaNet":
            raise UserError(f"{source}: {option}: {found.kind} has no such form; omit it")
    network, report = _network_of(source, found, own, checkpoint.arch_name)
    if isinstance(network, HasLambda):
        network.lambda_schedule = checkpoint.meta.get(SCHEDULE_KEY, "")
    converted = copy.deepcopy(network)
    if deploy:
        converted.switch_to_deploy()
    if merge:
        converted.switch_to_merged()
    if layout == "published" and converted.form == "merged":
        raise UserError(
            f"{source}: --layout published doesn't support the merged form; "
            "omit --layout, or fuse the network with --deploy"
        )

    tensors = {f"{prefix}{key}": value for key, value in converted.state_dict().items()}
    tensors.update((key, value) for key, value in state.items() if not key.startswith(prefix))
    if layout == "published":
        _drop_lambda(source, tensors, network)
    kept = _meta_of(checkpoint.meta, converted, checkpoint.arch_name, is_detector=bool(prefix))
    as_model = layout == "published" and not prefix
    wrapped = {"meta": {**kept, **meta}, "model" if as_model else "state_dict": tensors}
    try:
        with atomic_write(path) as file:
            torch.save(wrapped, file)
            rows = _compare(network, _read_again(file, converted, prefix), path)
    except OSError as error:
        raise UserError(f"{target}: can't be written ({error.strerror or error})") from error
    kind = "backbone" if found.num_classes is None else "classifier"
    lines = [
        f"{source}: {kind}, {network.form} form of {found}; {report}",
        f"{target}: {kind}, {converted.form} form, {len(tensors)} tensors, "
        f"{path.stat().st_size / 1e6:.1f} MB",
        "Difference between them on a random image: at most "
        f"{max(row[2] for row in rows):.1e} of a feature's largest value",
    ]
    if verbose:
        headers = ("layer", "error of the layer", "error up to the layer")
        lines.append(tabulate(rows, headers, floatfmt=".1e"))
    return "\n".join(lines)


def _meta_of(meta: dict, converted: Backbone, arch_name: str, is_detector: bool) -> dict:
    """Keep the entries that describe the weights, and drop those of the training state."""
    kept = {key: value for key, value in meta.items() if key not in _DROPPED}
    kept = without_folders(kept)
    kept.update(_config_of(kept))
    # Two archs have identical tensors, so a file without an arch name would fit either.
    arch = getattr(converted, "arch", None)
    if arch_name in ARCHS and arch is not None and arch_name == arch.name:
        kept["arch"] = arch_name
    if is_detector and converted.form != "training" and isinstance(kept.get("cfg"), str):
        # MMDetection's inferencer builds a model from this text, which is Python code.
        for key, value in converted.form_arguments(converted.state_dict()).items():
            kept["cfg"] += f"\nmodel['backbone']['{key}'] = True\n" if value else ""
    return kept


def _config_of(meta: dict) -> dict[str, str]:
    """Return the config without the folders of this machine, if it has any."""
    try:
        cfg = model_config({"meta": meta})
        before = {} if cfg is None else cfg.to_dict()
        after = without_folders(before)
        return {} if after == before else {"cfg": config_text(Config(after))}
    except UserError as error:  # contains code, which only MMDetection's inferencer runs
        print_log(
            f"The config in the file is kept as it is, with any folders in it ({error})",
            "current",
            level=30,
        )
        return {}


def _check_target(source: str, target: str, force: bool) -> Path:
    path, read = Path(target).expanduser(), Path(source).expanduser()
    if os.path.isdir(path) or not os.path.isdir(path.parent):
        raise UserError(f"{target}: expected a file path in an existing folder")
    if os.path.exists(path) and os.path.exists(read) and path.samefile(read):
        raise UserError(f"{target}: is the source itself; pass another target file")
    if os.path.exists(path) and not force:
        raise UserError(f"{target}: already exists; use --force to overwrite it")
    return path


def _recognise(source: str, state: dict[str, Tensor]) -> NetworkDescription:
    if "raw_pixels" in state:
        raise UserError(
            f"{source}: its first convolution takes raw pixels (raw_pixels), with the "
            "normalisation folded in; expected weights for normalised images; convert the "
            "original training checkpoint instead"
        )
    found = recognise(state)
    if found is None:
        raise UserError(
            f"{source}: contains no VanillaNet: expected stem1.0.weight (training form), "
            "stem.0.0.weight (merged form) or stem.0.weight (deployed form), with or without the "
            "prefix backbone.; and no GResNet: expected stem.0.conv.weight"
        )
    kinds = {value.dtype for value in state.values() if value.ndim}
    if not all(kind.is_floating_point for kind in kinds):
        raise UserError(f"{source}: contains {', '.join(map(str, kinds))}; expected floating point")
    return found


def _network_of(
    source: str, found: NetworkDescription, state: dict[str, Tensor], arch_name: str
) -> tuple[Backbone, Match]:
    """Build the network of a state dict; it shares the tensors of the state dict."""
    with prefix_errors(source):
        network = build_network(found, arch_name)
    match = Match.of(state, network.state_dict())
    if not match.is_complete:
        raise UserError(f"{source}: {match}; conversion needs every tensor of {found}")
    # Assigned instead of copied, so that each tensor keeps its precision in the file.
    network.load_state_dict({key: state[key] for key in match.matched}, strict=False, assign=True)
    return network.eval(), match


def _drop_lambda(source: str, tensors: dict[str, Tensor], network: HasLambda) -> None:
    act_lambda = network.read_lambda()
    if act_lambda != 1:
        raise UserError(
            f"{source}: lambda is {act_lambda:g}, but the published layout implies lambda 1; "
            "convert the checkpoint after deep training has ended"
        )
    for key in [key for key in tensors if key.endswith("act_lambda")]:
        del tensors[key]


def _read_again(file: BinaryIO, like: Backbone, prefix: str) -> Backbone:
    """Build a network from the written file."""
    file.seek(0)
    state = model_state_dict(load_safely(file))
    network = copy.deepcopy(like)
    names = [key for key in like.state_dict() if f"{prefix}{key}" in state]
    network.load_state_dict({key: state[f"{prefix}{key}"] for key in names}, assign=True)
    return network


def _compare(network: Backbone, written: Backbone, path: Path) -> list[tuple[str, float, float]]:
    """Compare two networks layer by layer."""
    dtype = next(network.parameters()).dtype
    # Networks stored in float64 are compared in float32, too.
    eps = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    tolerance = min(1e3 * eps, 0.1)
    if any(parameter.dtype != torch.float32 for parameter in network.parameters()):
        # Compare in float32: this tests the stored weights, not the 16-bit arithmetic.
        network, written = (copy.deepcopy(form).float() for form in (network, written))
    image = random_image(network, network.in_channels)
    rows = list(layer_errors(network, written, image))
    worst = max(rows, key=lambda row: row[2])
    if not all(row[2] <= tolerance for row in rows):
        raise UserError(
            f"{path}: not written, because it differs from its source by {worst[2]:.1e} of "
            f"the largest value of {worst[0]}, more than {tolerance:.1e}; if the source is in 16 "
            "bits, convert a float32 checkpoint instead"
        )
    return rows
