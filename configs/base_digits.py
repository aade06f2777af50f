# The detector `base` on the embedded digits: one and a half times as wide as `small`.
_base_ = "small_digits.py"

model = dict(
    backbone=dict(arch=dict(dims=[144, 288, 576, 1152])),
    neck=[dict(_base_.model.neck[0], in_channels=[288, 576, 1152]), _base_.model.neck[1]],
)
