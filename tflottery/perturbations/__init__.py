"""Changes made to the weights of a ticket before it is trained: one file each.

Found by `core.registry.PERTURBATIONS`. A perturbation is a function
`name(kernels, masks, *, initial, initializers, seed, <options>)` of arrays by kernel
path, all of the same paths and shapes, of the prunable kernels only:

- kernels: float32, the weights at iteration k, pruned ones exactly 0.0.
- masks: 0 prunes, 1 keeps.
- initial: float32, the weights at iteration 0 of the same replicate, not masked.
- initializers: what those were drawn from (`core.initializers.Initializers`).
- seed: a whole number (`core.seeds.perturbation_seed`), which decides all that is
  drawn, with the path: neither the order of a dictionary nor other layers matter.

It returns new float32 arrays in which pruned weights are exactly +0.0
(`pruning.masks.apply` sees to that), changes none that came, and refuses a value of an
option that it does not take with a ValueError. It declares

- version: a whole number, raised when its results change;
- options: the default of each option by name. A tuple is what the paper varies, one
  condition each: the function gets a single element of it. Any other default is handed
  over as it is. Options that no flag is named after are given as --options=NAME=VALUE.
"""
