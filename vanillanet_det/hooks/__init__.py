"""Hooks, registered with MMDetection's `HOOKS`."""

from .channels_last_hook import ChannelsLastHook
from .check_weights_hook import CheckWeightsHook
from .deep_training_hook import DeepTrainingHook
from .early_stopping_hook import DeployableEarlyStoppingHook
from .stop_at_non_finite_loss_hook import StopAtNonFiniteLossHook
from .switch_to_deploy_hook import SwitchToDeployHook

__all__ = [
    "ChannelsLastHook",
    "CheckWeightsHook",
    "DeepTrainingHook",
    "DeployableEarlyStoppingHook",
    "StopAtNonFiniteLossHook",
    "SwitchToDeployHook",
]
