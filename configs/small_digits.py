# The detector `small` on the embedded digits, from random weights.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/rtmdet_narrow.py",
    "_base_/datasets/digits.py",
    "_base_/schedules/digits_narrow.py",
]

default_hooks = dict(channels_last=dict(type="ChannelsLastHook"))
