# Trains in bfloat16, on a GPU or the CPU.
_base_ = "retinanet_vanillanet11_coco.py"

optim_wrapper = dict(type="Bf16OptimWrapper")
