"""Pruning criteria, one file each: how much every weight is worth.

Each registers in `core.registry.CRITERIA` a function

    criterion(weights, *, shapes, seed) -> scores

of plain arrays: `weights` by kernel path, as `scored_weights` says; `shapes` of the
kernels that may be pruned; `seed` for what is random. The scores have these paths and
shapes, any real dtype, no NaN; the weights with the highest scores are kept, over all
kernels together, ties to the first. One with a score of -inf is never kept: where more
are to survive than have a higher score, there is no such subnetwork, and its row stays
empty. Registered with it are

- `version`: raised when its scores change; enters the keys of masks;
- `scored_weights`: "trained" (those at the end of the training of the level before:
  one pruning of IMP), "rewound" (those at iteration k, before any training of the
  subnetwork; pruned weights are 0), "dense_end" (those at the end of the training of
  the dense network, at every level) or "none" (the scores need no weights);
- `seeded`: whether the scores depend on the seed, which is the replicate's own;
- `examples`: for those that read the network, not its weights alone: how many training
  images they are shown, 0 for none. They take a `probe` beside: the network at these
  weights, images and targets as training shows them, and how many weights are to
  survive (`training.probing`). `scored_weights` is not "none" then.
"""
