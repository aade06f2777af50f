# The detector `nano` on the embedded digits: half as wide as `small`.
_base_ = "small_digits.py"

model = dict(
    backbone=dict(arch=dict(dims=[48, 96, 192, 384])),
    neck=[dict(_base_.model.neck[0], in_channels=[96, 192, 384]), _base_.model.neck[1]],
)
