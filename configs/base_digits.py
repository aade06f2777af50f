# The detector `base` on the embedded digits: one and a half times as wide as `small`.
_base_ = "small_digits.py"

model = dict(
    backbone=dict(arch=dict(dims=[72, 144, 288, 576])),
    neck=dict(in_channels=[144, 288, 576], out_channels=96),
    bbox_head=dict(in_channels=96, feat_channels=96),
)
