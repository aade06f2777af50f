"""Checks the learning rate against the total batch size."""

from mmengine.config import Config

from .finding import WARNING, Finding

_MAX_RATIO = 2.0


def check_learning_rate(cfg: Config, world_size: int) -> list[Finding]:
    """Compare the total batch size with the batch size that the learning rate is meant for.

    Args:
        cfg: The config.
        world_size: Number of training processes, each with its own batches.
    """
    scaling, wrapper = cfg.get("auto_scale_lr") or {}, cfg.get("optim_wrapper") or {}
    base, lr = scaling.get("base_batch_size"), (wrapper.get("optimizer") or {}).get("lr")
    batch = (cfg.get("train_dataloader") or {}).get("batch_size")
    if not (base and lr and batch) or scaling.get("enable"):
        return []
    steps = wrapper.get("accumulative_counts") or 1
    total = batch * world_size * steps
    if 1 / _MAX_RATIO <= total / base <= _MAX_RATIO:
        return []
    factors = [f"{batch} images", f"{world_size} processes"] + [f"{steps} steps"] * (steps > 1)
    message = (
        f"optim_wrapper.optimizer.lr: {lr:g} is meant for a batch size of {base} "
        f"(auto_scale_lr.base_batch_size), but the total batch size is {total} "
        f"({' x '.join(factors)}); set it to {lr * total / base:.3g}, or use --auto-scale-lr"
    )
    return [Finding(WARNING, "lr-batch", message)]
