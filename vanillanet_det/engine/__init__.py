"""What MMEngine runs: hooks, loops, optimizers, configs, and several processes."""
