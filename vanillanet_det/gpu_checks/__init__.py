"""Checks that the project computes the same on a GPU as on the CPU."""
