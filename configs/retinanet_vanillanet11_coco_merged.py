# Fine-tunes one convolution and BN per layer: the same network in less memory and time.
_base_ = "retinanet_vanillanet11_coco.py"

model = dict(backbone=dict(merged=True))
