"""Mixed precision, with early checks that the device supports it."""

from typing import Optional

from mmengine.config import Config
from mmengine.device import get_device

from ..configs import type_name
from ..errors import UserError

_FP16, _BF16 = "AmpOptimWrapper", "Bf16OptimWrapper"


def set_amp(cfg: Config, dtype: Optional[str]) -> None:
    """Set the optimizer wrapper for mixed precision, keeping its other settings.

    Args:
        cfg: The config.
        dtype: `float16`, with loss scaling; `bfloat16`, which has the range of float32 and
            needs no loss scaling; `auto` for float16 on a GPU and bfloat16 on the CPU; None to
            keep the config's setting.

    Raises:
        UserError: float16 is requested on the CPU, or the config has another optimizer wrapper.
    """
    wrapper = cfg.get("optim_wrapper")
    if not wrapper:
        if dtype is None:
            return
        raise UserError(f"--amp: {cfg.filename} has no optim_wrapper; add one with an optimizer")
    kind = type_name(wrapper) or "OptimWrapper"
    # MMEngine's wrapper supports float16 on all other devices.
    on_cpu = get_device() in ("cpu", "mps")
    if dtype is None and kind == _FP16 and wrapper.get("dtype") == "bfloat16":
        dtype = "bfloat16"
    if dtype is None:
        if kind == _FP16 and on_cpu:
            raise UserError(
                f"{cfg.filename}: optim_wrapper is an {_FP16}, which needs a GPU, but no GPU "
                f"is available; set optim_wrapper.type={_BF16}, or add --amp bfloat16"
            )
        return
    if kind not in ("OptimWrapper", _FP16, _BF16):
        raise UserError(
            f"--amp: the optim_wrapper of {cfg.filename} is a {kind}, which --amp would replace; "
            f"expected OptimWrapper, {_FP16} or {_BF16}"
        )
    if dtype == "auto":
        dtype = "bfloat16" if on_cpu else "float16"
    if dtype == "float16":
        if on_cpu:
            raise UserError(
                "--amp float16: needs a GPU, but no GPU is available; use --amp bfloat16 on the CPU"
            )
        wrapper.update(type=_FP16, dtype=dtype)
        wrapper.setdefault("loss_scale", "dynamic")
    else:
        wrapper.type = _BF16
        for key in ("dtype", "loss_scale", "use_fsdp"):
            wrapper.pop(key, None)
