# RetinaNet with a narrow GResNet-50 on the embedded digits, from random weights.
_base_ = "retinanet_vanillanet5_digits.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="GResNet",
        depth=50,
        width=16,
        out_indices=(1, 2, 3),
        norm_cfg=dict(type="BN"),
    ),
    neck=dict(in_channels=[128, 256, 512]),
)
