"""Builds a fine-tuning config from a dataset and weights: model, input size, anchors, schedule."""
