"""Conversion of checkpoints, as `tools/convert_checkpoint.py` runs it."""

import copy
from pathlib import Path
from typing import Any, BinaryIO

import torch
from tabulate import tabulate
from torch import Tensor

from ..backbones import VanillaNet, VanillaNetClassifier
from ..backbones.published import Description, describe
from ..checkpoints import Match, model_state_dict, read_checkpoint
from ..checkpoints.reading import load_safely
from ..comparison import layer_errors, random_image, relative_error
from ..errors import UserError
from ..fileio import atomic_write

_BACKBONE = "backbone."


def convert_checkpoint(
    source: str,
    target: str,
    deploy: bool = False,
    layout: str = "mmengine",
    force: bool = False,
    verbose: bool = False,
) -> str:
    """Convert a checkpoint of a VanillaNet, a classifier or a detector with one.

    What was written is read again and compared with the source on a random image before it
    takes its name. Training state, such as the optimizer's, is left out.

    Args:
        source: A file or URL, in any layout that `model_state_dict` knows.
        target: The file to write.
        deploy: Fuse the network.
        layout: `mmengine` for this project's own: tensors below `state_dict`, lambda among
            them. `published` for that of the published files: a backbone or classifier below
            `model`, a detector as MMDetection 2.x has it, and no lambda.
        force: Replace the target if it exists.
        verbose: Report the error of each layer.

    Returns:
        A report of what was read and written, and of how far both are apart.

    Raises:
        UserError: The source isn't of a VanillaNet or incomplete, the target exists or can't
            be written, or the network can't be fused.
    """
    path = _check_target(source, target, force)
    checkpoint = read_checkpoint(source)
    state = model_state_dict(checkpoint)
    prefix = _BACKBONE if any(key.startswith(_BACKBONE) for key in state) else ""
    own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    network, report = _network_of(source, own, checkpoint)
    converted = copy.deepcopy(network)
    if deploy:
        converted.switch_to_deploy()

    tensors = {f"{prefix}{key}": value for key, value in converted.state_dict().items()}
    tensors.update((key, value) for key, value in state.items() if not key.startswith(prefix))
    if layout == "published":
        _drop_lambda(source, tensors, network)
    meta = checkpoint.get("meta") if isinstance(checkpoint.get("meta"), dict) else {}
    meta = {key: value for key, value in meta.items() if key not in ("epoch", "iter")}
    as_model = layout == "published" and not prefix
    wrapped = {"model": tensors} if as_model else {"meta": meta, "state_dict": tensors}
    try:
        with atomic_write(path) as file:
            torch.save(wrapped, file)
            rows = _compare(network, _read_again(file, converted, prefix), path)
    except OSError as error:
        raise UserError(f"{target}: can't be written ({error.strerror or error})") from error
    lines = [
        f"{source}: {_form(network)} of {describe(own)}; {report}",
        f"{target}: {_form(converted)}, {len(tensors)} tensors, {path.stat().st_size / 1e6:.1f} MB",
        f"Both on one random image: equal to {max(row[2] for row in rows):.1e} of a feature's "
        "largest value",
    ]
    if verbose:
        headers = ("layer", "error of the layer", "error up to it")
        lines.append(tabulate(rows, headers, floatfmt=".1e"))
    return "\n".join(lines)


def _check_target(source: str, target: str, force: bool) -> Path:
    path = Path(target).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"{target}: expected the name of a file, in a folder that exists")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise UserError(f"{target}: is the source itself; name another file to write")
    if path.exists() and not force:
        raise UserError(f"{target}: exists already; --force replaces it")
    return path


def _network_of(
    source: str, state: dict[str, Tensor], checkpoint: dict
) -> tuple[VanillaNet, Match]:
    """Build the network that a state dict is of, around its very tensors."""
    found = describe(state)
    if found is None:
        raise UserError(
            f"{source}: holds no VanillaNet: there is neither stem1.0.weight, of the training "
            "form, nor stem.0.weight, of the deployed one, alone or below backbone."
        )
    said = str(getattr(checkpoint.get("args"), "model", "")).replace("vanillanet_", "", 1)
    kwargs: dict[str, Any] = dict(
        arch=_arch_of(found, said),
        in_channels=found.in_channels,
        act_num=found.act_num,
        deploy=found.deploy,
    )
    network: VanillaNet
    if found.num_classes is None:
        network = VanillaNet(**kwargs, out_indices=(len(found.dims) - 1,))
    else:
        network = VanillaNetClassifier(**kwargs, num_classes=found.num_classes)
    match = Match.of(state, network.state_dict())
    if not match.is_complete:
        raise UserError(f"{source}: {match}; conversion needs every tensor of {found}")
    # Assigned, so that each keeps the precision it has in the file.
    network.load_state_dict({key: state[key] for key in match.matched}, strict=False, assign=True)
    return network.eval(), match


def _arch_of(found: Description, said: str) -> Any:
    if found.archs:
        return said if said in found.archs else found.archs[0]
    # Strides leave no trace in a file, and none in what is made of it.
    strides = [2 if wider else 1 for wider in map(int.__lt__, found.dims, found.dims[1:])]
    return dict(dims=found.dims, strides=strides)


def _drop_lambda(source: str, tensors: dict[str, Tensor], network: VanillaNet) -> None:
    act_lambda = network.read_lambda()
    if act_lambda != 1:
        raise UserError(
            f"{source}: lambda is {act_lambda:g}, which the published layout can't hold: it means "
            "lambda 1; convert it after the deep training has ended"
        )
    for key in [key for key in tensors if key.endswith("act_lambda")]:
        del tensors[key]


def _read_again(file: BinaryIO, like: VanillaNet, prefix: str) -> VanillaNet:
    """Build a network of what was written."""
    file.seek(0)
    state = model_state_dict(load_safely(file))
    network = copy.deepcopy(like)
    names = [key for key in like.state_dict() if f"{prefix}{key}" in state]
    network.load_state_dict({key: state[f"{prefix}{key}"] for key in names})
    return network


def _compare(
    network: VanillaNet, written: VanillaNet, path: Path
) -> list[tuple[str, float, float]]:
    """Compare layer by layer, and the logits of a classifier."""
    stem = next(network.parameters())
    tolerance = min(1e3 * torch.finfo(stem.dtype).eps, 0.1)
    if any(parameter.dtype != torch.float32 for parameter in network.parameters()):
        # In float32 only what the files hold is compared, and not the arithmetic of 16 bits.
        network, written = (copy.deepcopy(form).float() for form in (network, written))
    image = random_image(network, stem.shape[1])
    rows = list(layer_errors(network, written, image))
    if isinstance(network, VanillaNetClassifier):
        with torch.no_grad():
            logits, found = (form(image) for form in (network, written))
        error = relative_error([found], [logits])
        rows.append(("logits", error, error))
    worst = max(rows, key=lambda row: row[2])
    if not all(row[2] <= tolerance for row in rows):
        raise UserError(
            f"{path}: not written, since it differs from its source by {worst[2]:.1e} of the "
            f"largest value of {worst[0]}, more than {tolerance:.1e}; in 16 bits convert a "
            "float32 checkpoint instead"
        )
    return rows


def _form(network: VanillaNet) -> str:
    kind = "classifier" if isinstance(network, VanillaNetClassifier) else "backbone"
    return f"{kind}, {'deployed' if network.deploy else 'training'} form"
