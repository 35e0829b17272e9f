"""How a network is trained: optimizers, schedules, the loop, callbacks, checkpoints."""
