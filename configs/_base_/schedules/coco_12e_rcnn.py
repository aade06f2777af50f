# The published recipe of Mask R-CNN: another lr, and a second step at the very end.
_base_ = "coco_12e.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[10, 12], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=1.3e-4))
