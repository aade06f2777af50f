# Trains in float16 with a scaled loss, on a GPU.
_base_ = "retinanet_vanillanet11_coco.py"

optim_wrapper = dict(type="AmpOptimWrapper", dtype="float16", loss_scale="dynamic")
