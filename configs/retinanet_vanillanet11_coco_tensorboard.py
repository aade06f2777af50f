# Plots losses, learning rate and AP in TensorBoard: tensorboard --logdir work_dirs
_base_ = "retinanet_vanillanet11_coco.py"

visualizer = dict(vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")])
