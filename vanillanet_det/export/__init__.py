"""Export of detectors to files that run without PyTorch."""
