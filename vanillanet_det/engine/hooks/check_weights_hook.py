"""Checks of the weights before they are used."""

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
    """Log how well a loaded checkpoint fits the model, and reject checkpoints that don't fit.

    MMEngine loads the tensors that match and leaves the others random. With this hook, evaluation
    and resuming require every tensor, and training from a checkpoint (`load_from`) requires at
    least 90 % of the backbone's tensors; `checkpoints.fit` contains the checks. The hook also
    rejects training of a deployed network, which has no BatchNorm and can't be unfused, and
    training of a network with lambda below 1 without a DeepTrainingHook.
    """

    # Before EMAHook (NORMAL, 50), which would load rejected weights into its averaged copy.
    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint before MMEngine loads it.

        Raises:
            UserError: The checkpoint doesn't fit the model.
        """
        source = Checkpoint(str(runner._load_from or "checkpoint"), checkpoint)
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        training = isinstance(runner._train_loop, BaseLoop)
        purpose = "resume" if runner._resume else "train" if training else "evaluate"
        with prefix_errors(source.path):
            match = fit_model(model, source, purpose)  # MMEngine then loads the same tensors again
        runner.logger.info(f"{source.path}: {report_parts(model, match)}")
        set_lambda_schedule(model, source.meta.get(SCHEDULE_KEY, ""))

    def before_train(self, runner: Runner) -> None:
        """Reject training of a deployed network, or of a network that could never be fused.

        Raises:
            UserError: The model contains such a network.
        """
        is_deep = any(isinstance(hook, DeepTrainingHook) for hook in runner.hooks)
        for name, module in runner.model.named_modules():
            if isinstance(module, HasLambda) and module.read_lambda() < 1 and not is_deep:
                raise UserError(
                    f"{name}: lambda is {module.read_lambda():g}, but nothing would raise it to 1, "
                    "which fusion requires; add the DeepTrainingHook that the weights were trained "
                    "with to custom_hooks, and resume (--resume)"
                )
            if isinstance(module, Deployable) and getattr(module, "deploy", False):
                raise UserError(
                    f"{name}: deploy=True, but a deployed network has no BatchNorm and "
                    "trains badly; set deploy=False, and start from a training checkpoint. "
                    "Evaluation fuses the network automatically"
                )
