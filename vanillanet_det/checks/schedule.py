"""The learning rate against the size of the batches."""

from mmengine.config import Config

from .finding import WARNING, Finding

_MOST_RATIO = 2.0


def check_learning_rate(cfg: Config, ranks: int) -> list[Finding]:
    """Compare the batches with those that the learning rate is for.

    Args:
        cfg: The config.
        ranks: Number of processes that train, each with batches of its own.
    """
    scaling, wrapper = cfg.get("auto_scale_lr") or {}, cfg.get("optim_wrapper") or {}
    base, lr = scaling.get("base_batch_size"), (wrapper.get("optimizer") or {}).get("lr")
    batch = (cfg.get("train_dataloader") or {}).get("batch_size")
    if not (base and lr and batch) or scaling.get("enable"):
        return []
    steps = wrapper.get("accumulative_counts") or 1
    total = batch * ranks * steps
    if 1 / _MOST_RATIO <= total / base <= _MOST_RATIO:
        return []
    parts = [f"{batch} images", f"{ranks} processes"] + [f"{steps} steps"] * (steps > 1)
    message = (
        f"optim_wrapper.optimizer.lr: {lr:g} is for batches of {base} images "
        f"(auto_scale_lr.base_batch_size), and these are of {total} ({' x '.join(parts)}); scale "
        f"it to {lr * total / base:.3g}, or give --auto-scale-lr"
    )
    return [Finding(WARNING, "lr-batch", message)]
