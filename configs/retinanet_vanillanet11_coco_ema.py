# With an exponential moving average of the weights, which is what is evaluated, fused and saved.
_base_ = "retinanet_vanillanet11_coco.py"

# A horizon of 5,000 iterations, short in the beginning. The BatchNorm statistics belong to the
# weights and are averaged with them.
default_hooks = dict(
    ema=dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0002, update_buffers=True)
)
