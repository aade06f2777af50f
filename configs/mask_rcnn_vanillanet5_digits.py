# Mask R-CNN with a narrow VanillaNet-5 on the embedded digits, from random weights.
# Trains in minutes on two CPU cores.
_base_ = [
    "_base_/default_runtime.py",
    "_base_/models/mask_rcnn_vanillanet.py",
    "_base_/datasets/digits_instance.py",
    "_base_/schedules/digits_8e.py",
]

model = dict(
    backbone=dict(
        arch=dict(dims=[96, 192, 384, 768], strides=[2, 2, 2]),
        norm_cfg=dict(type="BN"),
    ),
    neck=dict(in_channels=[96, 192, 384, 768], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4, 5.6], ratios=[1.2, 1.8], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28, roi_layer=dict(sampling_ratio=1)),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=10),
        mask_roi_extractor=dict(out_channels=64, finest_scale=28, roi_layer=dict(sampling_ratio=1)),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64, num_classes=10),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
)

# Two-stage detectors need fewer epochs, and each takes longer.
max_epochs = 5
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
train_cfg = dict(max_epochs=max_epochs)
default_hooks = dict(channels_last=dict(type="ChannelsLastHook"))
