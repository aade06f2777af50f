_base_ = ["mask_rcnn.py", "../backbones/vanillanet.py"]

model = dict(
    backbone=_base_.pop("backbone"),
    neck=dict(in_channels=_base_.pop("channels")),
)
