"""The networks, and their fusion into one convolution per layer."""
