"""Extensions of MMEngine: hooks, loops, optimizers, configs and distributed runs."""
