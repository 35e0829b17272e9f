"""Where images come from, and how they reach a training loop.

One file per source registers itself in `core.registry.DATASETS`; `source.load` gives
the arrays, `stream` the order of an epoch, `pipeline` the batches. Importing any file
of this package imports no TensorFlow.
"""
