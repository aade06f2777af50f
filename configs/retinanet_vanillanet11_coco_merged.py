# Fine-tunes one convolution per layer, with its last BN: less memory and time, the same network.
_base_ = "retinanet_vanillanet11_coco.py"

model = dict(backbone=dict(merged=True))
