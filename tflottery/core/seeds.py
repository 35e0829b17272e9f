"""Seeds and the randomness made from them.

A seed is a hash of its purpose and of named arguments, so that seeds of neighbouring
replicates or orders share nothing, and no seed changes when another purpose is added.
Random bits come from Philox's raw output, which numpy keeps the same for ever (it does
not promise that for `Generator` methods).
"""

import functools
import hashlib
import json

import numpy as np


# In a plan the same ones are asked for again and again.
@functools.lru_cache(maxsize=None, typed=True)
def seed(purpose: str, **arguments: int | str) -> int:
    """Returns the 63-bit seed of a purpose and its named arguments.

    Args:
      purpose: what the seed is for, such as "init" or "data_order".
      **arguments: what tells it from others of that purpose, such as `replicate=1`.
    """
    text = json.dumps([purpose, arguments], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def init_seed(replicate: int) -> int:
    """Returns the seed of a replicate's initial weights."""
    return seed("init", replicate=replicate)


def data_order_seed(replicate: int, *, level: int, data_order: int) -> int:
    """Returns the seed of a data order; order 0 is the trunk's.

    Neither k nor the kind of subnetwork enters, so that comparisons are paired.
    """
    return seed("data_order", replicate=replicate, level=level, data_order=data_order)


def augmentation_seed(replicate: int, *, level: int, data_order: int) -> int:
    """Returns the seed of the augmentation that goes with a data order."""
    return seed("augmentation", replicate=replicate, level=level, data_order=data_order)


def dropout_seed(replicate: int, *, level: int, data_order: int) -> int:
    """Returns the seed of what dropout draws along a data order."""
    return seed("dropout", replicate=replicate, level=level, data_order=data_order)


def random_mask_seed(replicate: int) -> int:
    """Returns the seed of a replicate's random ranking of weights, for all levels."""
    return seed("random_mask", replicate=replicate)


def reinit_seed(replicate: int, *, level: int) -> int:
    """Returns the seed of the fresh weights that a subnetwork is given."""
    return seed("reinit", replicate=replicate, level=level)


def perturbation_seed(replicate: int, *, level: int) -> int:
    """Returns the seed of what is drawn to perturb the weights of a subnetwork.

    Neither k nor the perturbation enters: each draws from streams of its own.
    """
    return seed("perturbation", replicate=replicate, level=level)


def pretraining_order_seed(replicate: int) -> int:
    """Returns the seed of the data order of a replicate's pre-training.

    Neither level, kind nor pretext enters, so that comparisons are paired.
    """
    return seed("pretraining_order", replicate=replicate)


def pretraining_augmentation_seed(replicate: int) -> int:
    """Returns the seed of the augmentation that goes with that data order."""
    return seed("pretraining_augmentation", replicate=replicate)


def pretraining_dropout_seed(replicate: int) -> int:
    """Returns the seed of what dropout draws along that data order."""
    return seed("pretraining_dropout", replicate=replicate)


def pretext_seed(replicate: int, *, pretext: str) -> int:
    """Returns the seed of what a pretext draws once, the same in every epoch."""
    return seed("pretext", replicate=replicate, pretext=pretext)


def raw_bits(seed_: int, stream: int | str, count: int) -> np.ndarray:
    """Returns `count` uint64 random words of stream `stream` of a seed.

    Args:
      seed_: a seed of this module.
      stream: tells apart the independent streams of one seed, such as an epoch.
      count: how many words.
    """
    key = seed("stream", seed=seed_, stream=stream)
    return np.random.Philox(key=key).random_raw(count)


def permutation(seed_: int, epoch: int, num_examples: int) -> np.ndarray:
    """Returns the order of one epoch: [num_examples] int64, each index once."""
    return np.argsort(raw_bits(seed_, epoch, num_examples), kind="stable")


def uniform(seed_: int, stream: int | str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns uniform numbers: float32 of `shape`, in [0, 1), multiples of 2**-24."""
    count = int(np.prod(shape, dtype=np.int64))
    words = raw_bits(seed_, stream, count) >> np.uint64(40)
    return (words.astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


def standard_normal(
    seed_: int, stream: int | str, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns standard normal numbers: float32 of `shape`, by Box and Muller's method.

    Made from the raw bits in float64 and rounded once.
    """
    count = int(np.prod(shape, dtype=np.int64))
    words = raw_bits(seed_, stream, count + count % 2)
    # 53 random bits each, moved off zero so that the logarithm is finite.
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[0::2]))
    angle = 2.0 * np.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[:count].reshape(shape).astype(np.float32)
