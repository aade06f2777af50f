"""Training classifiers, of which detectors take the backbone."""
