"""Schedules and optimizer settings of resumed runs.

MMEngine resumes with the settings in the checkpoint, whatever the config says.
"""

import warnings
from collections.abc import Iterator
from typing import Any, Optional

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..configs import type_name
from ..errors import UserError
from ..inference.model_config import model_config

_PROGRESS = (
    *("last_step", "_global_step", "_last_value", "base_values", "verbose"),
    *("best", "num_bad_epochs", "cooldown_counter", "rule_worse"),  # of ReduceOnPlateau
)
_ONE = ""  # name of the only optimizer
_START_ANEW = "or train from its weights instead of resuming (load_from=FILE resume=False)"


def follow_config(runner: Runner, checkpoint: dict) -> list[str]:
    """Replace a checkpoint's schedule and optimizer settings, in place, where the config differs.

    The learning rate and everything else that is scheduled become what they would be if training
    had followed the config from its start. If nothing differs, nothing is changed.

    Args:
        runner: The runner, before it resumes; its schedulers are as at the start of training.
        checkpoint: Content of the checkpoint to resume.

    Returns:
        The differences, each with the old and the new value.

    Raises:
        UserError: The config can't continue this checkpoint.
    """
    _check_length(runner, checkpoint["meta"])
    _check_optimizer(runner.cfg, checkpoint)
    are_several = isinstance(runner.optim_wrapper, OptimWrapperDict)
    wrappers = _by_name(runner.optim_wrapper, are_several)
    states = _by_name(checkpoint.get("optimizer"), are_several)
    ours, theirs = (
        _by_name(schedulers, isinstance(schedulers, dict))
        for schedulers in (runner.param_schedulers, checkpoint.get("param_schedulers"))
    )
    differences = list(_schedule_differences(ours, theirs))
    for name, state in states.items():
        _check_parameters(wrappers[name], state)
        differences += _setting_differences(wrappers[name], state)
    if not differences and states:
        return []
    schedulers = [scheduler for each in ours.values() for scheduler in each]
    if any(isinstance(scheduler, ReduceOnPlateauParamScheduler) for scheduler in schedulers):
        raise UserError(
            f"resume: the schedule differs from the checkpoint's ({'; '.join(differences)}), and "
            "ReduceOnPlateau depends on all metrics so far, so the learning rate can't be computed "
            f"again; keep the schedule, {_START_ANEW}"
        )
    runner.message_hub.update_info("max_iters", runner.max_iters)  # for WarmUpFlatCosineLR
    _advance(runner, checkpoint["meta"], schedulers)
    for name, state in states.items():
        rates = [_groups(each)[-1].get("lr") for each in (state, wrappers[name])]
        for new, old in zip(_groups(wrappers[name]), _groups(state)):
            for key in [key for key in old if key.startswith("initial_")]:
                del old[key]
            old.update({key: value for key, value in new.items() if key != "params"})
        differences.append(f"learning rate from here on: {rates[0]:.3g} -> {rates[1]:.3g}")
    if schedulers:
        new = {name: [scheduler.state_dict() for scheduler in each] for name, each in ours.items()}
        checkpoint["param_schedulers"] = new.get(_ONE, new)
    return differences


def _by_name(found: Any, is_by_name: bool) -> dict[str, Any]:
    """Return what belongs to each optimizer, by its name if there are several."""
    return {} if found is None else dict(found.items()) if is_by_name else {_ONE: found}


def _check_length(runner: Runner, meta: dict) -> None:
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    unit, key = ("epoch", "max_epochs") if by_epoch else ("iteration", "max_iters")
    done, length = meta["epoch" if by_epoch else "iter"], getattr(loop, key)
    if done > length:
        raise UserError(
            f"resume: the checkpoint is from after {unit} {done}, but train_cfg.{key} is {length}; "
            f"set it to {done} or more, {_START_ANEW}"
        )


def _check_optimizer(cfg: Any, checkpoint: dict) -> None:
    """Raise an error if the config's optimizer isn't the one that the checkpoint's config names."""
    try:
        before = model_config(checkpoint) or {}
    except UserError:  # it isn't plain values; PyTorch compares the states
        return
    ours, theirs = _optimizer_type(cfg), _optimizer_type(before)
    if None not in (ours, theirs) and ours != theirs:
        raise UserError(
            f"resume: the optimizer is {ours}, but the checkpoint was trained with {theirs}; set "
            f"optim_wrapper.optimizer.type={theirs}, {_START_ANEW}"
        )


def _optimizer_type(cfg: Any) -> Optional[str]:
    name = type_name((cfg.get("optim_wrapper") or {}).get("optimizer") or {})
    return name.removeprefix("Fused") or None  # another kernel, but the same state


def _check_parameters(wrapper: OptimWrapper, state: dict) -> None:
    """Raise an error if the state is of other parameters."""
    sizes = [
        [len(group["params"]) for group in groups]
        for groups in (wrapper.optimizer.param_groups, state["param_groups"])
    ]
    if sizes[0] != sizes[1]:
        found, expected = (f"{len(each)} groups of {sum(each)} parameters" for each in sizes)
        raise UserError(
            f"resume: the optimizer has {found}, but the checkpoint {expected}; keep paramwise_cfg "
            f"and frozen_stages as they were, {_START_ANEW}"
        )


def _groups(wrapper: Any) -> list[dict]:
    """Return the parameter groups of a wrapper or of its state, the base settings last."""
    if isinstance(wrapper, dict):
        base = wrapper.get("base_param_settings")
        return [*wrapper["param_groups"], *([] if base is None else [base])]
    return list(wrapper.param_groups)


def _setting_differences(wrapper: OptimWrapper, state: dict) -> list[str]:
    """List the settings that differ, such as the initial learning rate or weight decay."""
    found = {}
    for ours, theirs in zip(_groups(wrapper), _groups(state)):
        for key in sorted(ours.keys() & theirs.keys() - {"params", "fused"}):
            # A scheduled value has its initial value beside it.
            old, new = (group.get(f"initial_{key}", group[key]) for group in (theirs, ours))
            if not key.startswith("initial_") and old != new:
                found[key] = f"{key} {old} -> {new}"
    return list(found.values())


def _schedule_differences(ours: dict[str, list], theirs: dict[str, list]) -> Iterator[str]:
    for name in ours.keys() | theirs.keys():
        schedulers, states = ours.get(name, []), theirs.get(name, [])
        if len(schedulers) != len(states):
            yield f"number of schedulers {len(states)} -> {len(schedulers)}"
            continue
        for scheduler, old in zip(schedulers, states):
            kind, new = type(scheduler).__name__, scheduler.state_dict()
            unit = "epochs" if scheduler.by_epoch else "iterations"
            if new.keys() != old.keys():
                yield f"another kind of scheduler -> {kind}"
                continue
            changed = [key for key in new if key not in _PROGRESS and old[key] != new[key]]
            if changed:
                values = ", ".join(f"{key} {old[key]} -> {new[key]}" for key in changed)
                yield f"{kind} (counts {unit}): {values}"


def _advance(runner: Runner, meta: dict, schedulers: list) -> None:
    """Step the schedulers as ParamSchedulerHook does, up to the checkpoint's position."""
    by_iteration = [scheduler for scheduler in schedulers if not scheduler.by_epoch]
    by_epoch = [scheduler for scheduler in schedulers if scheduler.by_epoch]
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        # The number of iterations in an epoch may have changed, too.
        length, epochs = len(runner.train_loop.dataloader), meta["epoch"]
        left = meta.get("unfinished_epoch") or {}
        rest = left["batches"] if left.get("length") == length else 0  # else, it starts again
    else:
        length, epochs, rest = 0, 0, meta["iter"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer step comes before these
        for _ in range(epochs):
            _step(by_iteration, length)
            _step(by_epoch, 1)
        _step(by_iteration, rest)


def _step(schedulers: list, times: int) -> None:
    for _ in range(times):
        for scheduler in schedulers:
            scheduler.step()
