_base_ = ["rtmdet.py", "../backbones/vanillanet.py"]

mapper, pafpn = _base_.model.neck
model = dict(
    # The last feature of strides 8, 16, 32 in VanillaNet-11.
    backbone=dict(_base_.pop("backbone"), out_indices=(2, 7, 9)),
    neck=[dict(mapper, in_channels=_base_.pop("channels")[1:]), pafpn],
)
