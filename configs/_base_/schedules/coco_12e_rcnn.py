# The published recipe of Mask R-CNN: a different lr, and the second decay at the very end.
_base_ = "coco_12e.py"

param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], milestones=[10, 12]),
]
optim_wrapper = dict(optimizer=dict(lr=1.3e-4))
