"""Hooks, registered with MMDetection's `HOOKS`."""

from .channels_last_hook import ChannelsLastHook
from .check_weights_hook import CheckWeightsHook
from .deep_training_hook import DeepTrainingHook
from .switch_to_deploy_hook import SwitchToDeployHook

__all__ = ["ChannelsLastHook", "CheckWeightsHook", "DeepTrainingHook", "SwitchToDeployHook"]
