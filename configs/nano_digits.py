# The detector `nano` on the embedded digits: half as wide as `small`.
_base_ = "small_digits.py"

model = dict(
    backbone=dict(arch=dict(dims=[24, 48, 96, 192])),
    neck=dict(in_channels=[48, 96, 192], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32),
)
