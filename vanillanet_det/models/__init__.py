"""The networks, and what makes one convolution of each layer."""
