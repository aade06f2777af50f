# The detector `small` on the embedded digits, from random weights.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/yolox_narrow.py",
    "_base_/datasets/digits.py",
    "_base_/schedules/digits_narrow.py",
]

default_hooks = dict(
    channels_last=dict(type="ChannelsLastHook"),
    ema=dict(
        type="EMAHook",
        ema_type="ExponentialMovingAverage",
        momentum=0.01,  # averages over a twentieth of the training
        update_buffers=True,
    ),
)
