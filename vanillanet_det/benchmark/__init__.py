"""Timing of detectors and backbones in every form, precision and engine."""
