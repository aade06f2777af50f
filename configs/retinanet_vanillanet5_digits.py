# RetinaNet with a narrow VanillaNet-5 on the embedded digits, from random weights.
# Trains in minutes on two CPU cores.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/retinanet_vanillanet.py",
    "_base_/datasets/digits.py",
    "_base_/schedules/digits_8e.py",
]

model = dict(
    backbone=dict(
        arch=dict(dims=[96, 192, 384, 768], strides=[2, 2, 2]),
        out_indices=(1, 2, 3),
        norm_cfg=dict(type="BN"),
    ),
    neck=dict(in_channels=[192, 384, 768], out_channels=64, num_outs=3),
    bbox_head=dict(
        num_classes=10,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # Digits span 10 to 70 pixels, are mostly taller than wide, and need the detail of stride 8.
        anchor_generator=dict(
            octave_base_scale=None,
            scales_per_octave=None,
            scales=[3, 4, 5.2, 7],
            ratios=[1.2, 1.8],
            strides=[8, 16, 32],
        ),
    ),
)
default_hooks = dict(channels_last=dict(type="ChannelsLastHook"))
