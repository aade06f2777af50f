"""Hooks, registered with MMDetection's `HOOKS`."""

from .channels_last_hook import ChannelsLastHook
from .switch_to_deploy_hook import SwitchToDeployHook

__all__ = ["ChannelsLastHook", "SwitchToDeployHook"]
