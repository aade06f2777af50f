"""Checks of the weights before they are used."""

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from ...analysis.class_rows import match_classes
from ...checkpoints import Checkpoint, fit_model
from ...checkpoints.checkpoint import class_names, unwrap
from ...checkpoints.fit import report_parts
from ...errors import UserError, prefix_errors, some
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

    Training from a detector of other classes, or of the same ones in another order, loads each
    class's weights by the name of the class; evaluation and resuming reject another order.

    Args:
        remake_unnamed: Whether to leave the class layers random in training if the checkpoint
            doesn't name its classes. Otherwise, they are loaded if they have the right shape.
    """

    # Before EMAHook (NORMAL, 50), which would load rejected weights into its averaged copy.
    priority = "HIGH"

    def __init__(self, remake_unnamed: bool = False) -> None:
        self.remake_unnamed = remake_unnamed

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
        classes = _classes(runner)
        with prefix_errors(source.path):
            if purpose == "train":
                self._convert_classes(runner, source, classes, model)
            else:
                _check_classes(runner, source.classes, classes)
            match = fit_model(model, source, purpose)  # MMEngine then loads the same tensors again
        runner.logger.info(f"{source.path}: {report_parts(model, match)}")
        set_lambda_schedule(model, source.meta.get(SCHEDULE_KEY, ""))

    def _convert_classes(
        self, runner: Runner, source: Checkpoint, classes: tuple[str, ...], model: nn.Module
    ) -> None:
        """Give each class of the run its own weights in the checkpoint, which is changed."""
        if not classes or not (source.classes or self.remake_unnamed):
            return
        rows = match_classes(runner.cfg.get("model"), source.classes, classes)
        if rows is not None and isinstance(source.content, dict):
            rows.convert(unwrap(source.content), model.state_dict())
            runner.logger.info(f"{source.path}: {rows}")

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


def _classes(runner: Runner) -> tuple[str, ...]:
    """Return the classes that a run trains on or evaluates."""
    loops = (runner._train_loop, runner._val_loop, runner._test_loop)
    datasets = (loop.dataloader.dataset for loop in loops if isinstance(loop, BaseLoop))
    return class_names(getattr(next(datasets, None), "metainfo", None))


def _check_classes(runner: Runner, found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    if not found or not expected or len(found) != len(expected) or found == expected:
        return
    lists = f"its classes are {some(found)}, but the config's are {some(expected)}"
    if sorted(found) == sorted(expected):
        raise UserError(
            f"{lists}, so each class would have the weights of another one; list the classes in "
            "the checkpoint's order, in the config and in the annotation files"
        )
    runner.logger.warning(f"{lists}; detections are named by the config")
