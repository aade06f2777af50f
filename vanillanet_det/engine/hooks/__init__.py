"""Hooks, registered in MMDetection's `HOOKS`."""

from .channels_last_hook import ChannelsLastHook
from .check_data_hook import CheckDataHook
from .check_weights_hook import CheckWeightsHook
from .curves_hook import CurvesHook
from .deep_training_hook import DeepTrainingHook
from .early_stopping_hook import DeployableEarlyStoppingHook
from .interrupt_hook import InterruptHook
from .progress_hook import ProgressHook
from .resume_schedule_hook import ResumeScheduleHook
from .seed_hook import SeedHook
from .stop_at_non_finite_loss_hook import StopAtNonFiniteLossHook
from .switch_to_deploy_hook import SwitchToDeployHook
from .sync_averages_hook import SyncAveragesHook
from .time_limit_hook import TimeLimitHook

__all__ = [
    "ChannelsLastHook",
    "CheckDataHook",
    "CheckWeightsHook",
    "CurvesHook",
    "DeepTrainingHook",
    "DeployableEarlyStoppingHook",
    "InterruptHook",
    "ProgressHook",
    "ResumeScheduleHook",
    "SeedHook",
    "StopAtNonFiniteLossHook",
    "SwitchToDeployHook",
    "SyncAveragesHook",
    "TimeLimitHook",
]
