"""The networks, and the fusion of each layer into one convolution."""
