"""Where images come from, and how they reach a training loop.

One file per source registers itself in `core.registry.DATASETS`; `source.load` gives
the arrays, `stream` the order of an epoch, `pipeline` the batches. Importing any file
of this package imports no TensorFlow.

A source is a function of `data_dir` (a folder of prepared data, or None),
`minimum_image_size` (smallest height and width the model takes) and `working_dir` (an
empty folder for what it writes on the way) that returns an `arrays.RawSource`. It
declares `adapt_recipe` (how training recipes change on it) and `version`: a constant
that its author changes with the data, or a function of `data_dir` that returns what is
there now. Its arrays are read once a machine and version, and kept (`cache`).

Arrays of one's own are a data set by one line, `tflottery.datasets.register`.
"""

from tflottery.datasets.own_arrays import register

__all__ = ["register"]
