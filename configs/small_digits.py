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

# These images take less time to load than workers take from the threads that train.
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
