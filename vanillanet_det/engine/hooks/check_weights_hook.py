"""Weights that don't fit are refused before anything is done with them."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from ...checkpoints import Match, model_state_dict
from ...checkpoints.matching import refuse_little
from ...errors import UserError
from ...models.layers.act_lambda import OUTLOOK, HasLambda
from .deep_training_hook import DeepTrainingHook


@HOOKS.register_module()
class CheckWeightsHook(Hook):
    """Say what of a loaded checkpoint fits the model, and refuse what doesn't.

    MMEngine loads what matches and leaves the rest random. With this hook evaluation and
    resuming need every tensor, a training that starts from a checkpoint (`load_from`) at least
    90 % of the backbone's, and a deployed network is not trained: it has no BatchNorm, and what
    is fused can't be unfused. One whose lambda is below 1 is trained with a DeepTrainingHook only.
    """

    # Before EMAHook (NORMAL, 50), which would load into its averaged copy what this refuses.
    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint before MMEngine loads it.

        Raises:
            UserError: It doesn't fit.
        """
        path = runner._load_from or "checkpoint"
        if not isinstance(checkpoint, dict):
            raise UserError(
                f"{path}: holds a {type(checkpoint).__name__}, but expected a checkpoint: a dict "
                "of tensors, or one with state_dict"
            )
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        state = model_state_dict(checkpoint)
        _check_parts(path, model, state)
        if runner._resume:
            _check_resumable(path, checkpoint)
        try:
            match = Match.by_loading(model, state)  # MMEngine loads the same again
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        parts = dict.fromkeys(name.partition(".")[0] for name in model.state_dict())
        shares = [match.within(part) for part in parts]
        counts = [f"{part} {len(m.matched)} of {m.total}" for part, m in zip(parts, shares)]
        report = f"{path}: {match}: {', '.join(counts)}"
        training = isinstance(runner._train_loop, BaseLoop)
        if not match.is_complete and (runner._resume or not training):
            raise UserError(
                f"{report}; {'resuming' if runner._resume else 'evaluation'} needs every tensor "
                "of the model, and would go on with random ones. Is the checkpoint of this config?"
            )
        refuse_little(report, match)
        runner.logger.info(report)
        meta = checkpoint.get("meta")
        for module in model.modules():
            if isinstance(module, HasLambda) and isinstance(meta, dict):
                module.lambda_outlook = meta.get(OUTLOOK, "")

    def before_train(self, runner: Runner) -> None:
        """Refuse to train a deployed network, and one that would never be fused.

        Raises:
            UserError: There is one in the model.
        """
        is_deep = any(isinstance(hook, DeepTrainingHook) for hook in runner.hooks)
        for name, module in runner.model.named_modules():
            if isinstance(module, HasLambda) and module.read_lambda() < 1 and not is_deep:
                raise UserError(
                    f"{name}: lambda is {module.read_lambda():g}, but nothing would take it to 1, "
                    "and the network fuses only there; resume (--resume) with the "
                    "DeepTrainingHook that the weights were trained with in custom_hooks"
                )
            if hasattr(module, "switch_to_deploy") and getattr(module, "deploy", False):
                raise UserError(
                    f"{name}: deploy=True, but a deployed network has no BatchNorm left and "
                    "trains badly; train with deploy=False, from a training checkpoint. "
                    "Evaluation fuses by itself"
                )


def _check_resumable(path: str, checkpoint: dict) -> None:
    missing = [key for key in ("optimizer", "meta") if not isinstance(checkpoint.get(key), dict)]
    if missing:
        raise UserError(
            f"{path}: can't be resumed from, since it holds weights and no training state "
            f"({' and '.join(missing)} missing); start a training from it with "
            f"--cfg-options load_from={path}"
        )


def _check_parts(path: str, model: nn.Module, state: dict) -> None:
    """Let parts that know their published names refuse, which say best what is wrong."""
    for name, module in model.named_modules():
        if hasattr(module, "check_state_dict"):
            start = f"{name}." if name else ""
            own = {k[len(start) :]: v for k, v in state.items() if k.startswith(start)}
            if own:
                try:
                    module.check_state_dict(own)
                except UserError as error:
                    raise UserError(f"{path}: {error}") from error
