"""Exports detectors to files that run without PyTorch."""
