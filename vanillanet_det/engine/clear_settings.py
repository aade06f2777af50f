"""Settings whose meaning is clear, but which MMEngine or PyTorch reject with a traceback."""

from typing import Any, Optional

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from ..checks import DATALOADERS, pipeline_steps, size_key
from ..configs import type_name

# DataLoader rejects these without workers, and they have no meaning there.
_NEED_WORKERS = ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context")
# Runner has these by default, and removes those that are None.
_OF_RUNNER = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")


def accept_clear_settings(cfg: Config) -> None:
    """Change the settings of a config that MMEngine or PyTorch reject, in place.

    Args:
        cfg: The config.
    """
    _drop_worker_options(cfg)
    _count_shared_parameters_once(cfg.get("optim_wrapper"))
    hooks = cfg.get("default_hooks") or {}
    cfg.default_hooks = ConfigDict(
        {key: hook for key, hook in hooks.items() if hook is not None or key in _OF_RUNNER}
    )


def _drop_worker_options(cfg: Config) -> None:
    """Drop options of worker processes from dataloaders without any."""
    dropped: dict[str, list[str]] = {}
    for key in DATALOADERS:
        loader = cfg.get(key)
        if isinstance(loader, dict) and not loader.get("num_workers"):
            for name in _NEED_WORKERS:
                if loader.pop(name, None):
                    dropped.setdefault(name, []).append(key)
    for name, keys in dropped.items():
        print_log(f"{', '.join(keys)}: num_workers is 0, so {name} is ignored", "current")


def make_sizes_tuples(cfg: Config) -> None:
    """Convert sizes such as [1333, 800], in place.

    MMDetection expects tuples, which JSON doesn't have.

    Args:
        cfg: The config.
    """
    for step in pipeline_steps({key: cfg.get(key) for key in DATALOADERS}):
        key = size_key(step)
        if isinstance(step.get(key), list):
            step[key] = _sizes(step[key])


def _sizes(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    is_size = [type(side) for side in value] == [int, int]
    return tuple(value) if is_size else [_sizes(each) for each in value]


def _count_shared_parameters_once(wrapper: Optional[Any]) -> None:
    """Let MMEngine's constructor add a parameter that several modules share only once."""
    if not isinstance(wrapper, dict) or not wrapper.get("paramwise_cfg"):
        return
    default = "DefaultOptimWrapperConstructor"
    if type_name(dict(type=wrapper.get("constructor") or default)) == default:
        wrapper["paramwise_cfg"].setdefault("bypass_duplicate", True)
