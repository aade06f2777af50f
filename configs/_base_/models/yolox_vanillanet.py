_base_ = ["yolox.py", "../backbones/vanillanet.py"]

model = dict(
    # The last feature of strides 8, 16, 32 in VanillaNet-11.
    backbone=dict(_base_.pop("backbone"), out_indices=(2, 7, 9)),
    neck=[
        dict(_base_.model.neck[0], in_channels=_base_.pop("channels")[1:]),
        _base_.model.neck[1],
    ],
)
