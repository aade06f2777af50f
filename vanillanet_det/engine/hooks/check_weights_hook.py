"""Refuses weights that don't fit, before anything is done with them."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from ...checkpoints import Checkpoint, fit_model
from ...checkpoints.fit import report_parts
from ...errors import UserError, prefix_errors
from ...models.layers.act_lambda import SCHEDULE_KEY, set_lambda_schedule
from ...models.protocols import Deployable, HasLambda
from .deep_training_hook import DeepTrainingHook


@HOOKS.register_module()
class CheckWeightsHook(Hook):
    """Log how a loaded checkpoint fits the model, and refuse one that doesn't.

    MMEngine loads what matches and leaves the rest random. With this hook evaluation and
    resuming need every tensor, and a training that starts from a checkpoint (`load_from`) needs
    at least 90 % of the backbone's; `checkpoints.fit` judges. A deployed network is not trained:
    it has no BatchNorm, and fusion can't be undone. A network whose lambda is below 1 is trained
    only with a DeepTrainingHook.
    """

    # Before EMAHook (NORMAL, 50), which would load into its averaged copy what this refuses.
    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint before MMEngine loads it.

        Raises:
            UserError: It doesn't fit.
        """
        source = Checkpoint(str(runner._load_from or "checkpoint"), checkpoint)
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        training = isinstance(runner._train_loop, BaseLoop)
        purpose = "resume" if runner._resume else "train" if training else "evaluate"
        with prefix_errors(source.path):
            match = fit_model(model, source, purpose)  # MMEngine loads the same again
        runner.logger.info(f"{source.path}: {report_parts(model, match)}")
        set_lambda_schedule(model, source.meta.get(SCHEDULE_KEY, ""))

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
            if isinstance(module, Deployable) and getattr(module, "deploy", False):
                raise UserError(
                    f"{name}: deploy=True, but a deployed network has no BatchNorm left and "
                    "trains badly; train with deploy=False, from a training checkpoint. "
                    "Evaluation fuses by itself"
                )
