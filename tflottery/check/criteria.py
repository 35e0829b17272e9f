"""What holds of every registered pruning criterion."""

import functools

import numpy as np

from tflottery.check.contract import ContractError
from tflottery.core import seeds
from tflottery.core.registry import CRITERIA, MODELS
from tflottery.datasets import source as sources
from tflottery.models import weights as model_weights
from tflottery.models.weights import Weights
from tflottery.pruning import masks, scoring

# Zeros, ties and both signs among them.
_KERNELS = {
    "a/kernel": np.array([[0.5, -1.0], [0.0, 2.0]], np.float32),
    "b/kernel": np.zeros((3, 3, 1, 2), np.float32),
    "c/kernel": np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4),
}
_SCORED = ("trained", "rewound", "dense_end", "none")
# What those that ask for a network are shown.
_MODEL, _DATASET = "lenet", "digits"


def declares_which_weights_it_scores(name: str) -> str:
    """`scored_weights` and `version` are what keys and plans can take."""
    entry = CRITERIA[name]
    if entry["scored_weights"] not in _SCORED or not isinstance(entry["version"], int):
        raise ContractError(
            f"scored_weights={entry['scored_weights']!r}, version={entry['version']!r}",
            expected=f"one of {_SCORED}, and a whole number",
            remedy="see tflottery/pruning/criteria",
        )
    examples = entry["examples"]
    if examples is None:
        return entry["scored_weights"]
    is_count = isinstance(examples, int) and examples >= 0
    if not is_count or entry["scored_weights"] == "none":
        raise ContractError(
            f"examples={examples!r}, scored_weights={entry['scored_weights']!r}",
            expected="a number of images, 0 for the network alone, and weights",
            remedy="declare at which weights the network is",
        )
    return f"{entry['scored_weights']}, {examples} images"


def scores_every_kernel_the_same_each_time(name: str) -> None:
    """Scores have the kernels' paths and shapes, no NaN, and repeat bit for bit."""
    kernels = _kernels(name)
    given = {path: kernel.copy() for path, kernel in kernels.items()}
    # Refuses other paths and shapes.
    first, again = (_scores(name, given, seed=seed) for seed in (3, 3))
    for path, scores in first.items():
        if np.isnan(scores).any():
            raise ContractError(
                f"NaN among the scores of {path}",
                expected="numbers that have an order",
                remedy="look for 0 / 0",
            )
        if scores.tobytes() != again[path].tobytes():
            raise ContractError(
                f"other scores of {path} the second time",
                expected="the same bits for the same weights and seed",
                remedy="draw from numpy.random.default_rng(seed) or core.seeds",
            )
        if given[path].tobytes() != kernels[path].tobytes():
            raise ContractError(
                f"weights of {path} that it has changed",
                expected="weights as they came",
                remedy="work on a copy",
            )


def reads_the_seed_only_if_it_says_so(name: str) -> str:
    """Another seed gives other scores if and only if it is declared seeded."""
    first, other = (_scores(name, _kernels(name), seed=seed) for seed in (3, 4))
    reads = any(first[path].tobytes() != other[path].tobytes() for path in first)
    if reads != CRITERIA[name]["seeded"]:
        raise ContractError(
            f"seeded={CRITERIA[name]['seeded']!r}, and scores of two seeds "
            f"{'differ' if reads else 'are the same'}",
            expected="seeded exactly where it reads seed",
            remedy=f"declare seeded={reads}",
        )
    return f"seeded={reads}"


def prunes_exact_counts_and_revives_nothing(name: str) -> str:
    """Level by level as many survive as asked for, and what is pruned stays so."""
    previous, kernels = None, _kernels(name)
    total = sum(kernel.size for kernel in kernels.values())
    counts = (total, total // 2, total // 5, 1)
    for count in counts:
        kept = previous or {path: np.ones(one.shape) for path, one in kernels.items()}
        weights = masks.apply(kernels, kept)
        scores = _scores(name, weights, seed=3, num_survivors=count)
        found = masks.keep_highest(scores, num_survivors=count, previous=previous)
        revived = sum(int(((found[p] == 1) & (kept[p] == 0)).sum()) for p in found)
        if masks.num_ones(found) != count or revived:
            raise ContractError(
                f"{masks.num_ones(found)} survivors, {revived} of them pruned before",
                expected=f"{count} and none",
                remedy="return scores of the kernels' shapes, higher for what is kept",
            )
        previous = found
    return f"{', '.join(map(str, counts))} of {total}"


CHECKS = (
    declares_which_weights_it_scores,
    scores_every_kernel_the_same_each_time,
    reads_the_seed_only_if_it_says_so,
    prunes_exact_counts_and_revives_nothing,
)


def _kernels(name: str) -> Weights:
    """Returns the kernels that a criterion is tried on: of a network if it asks so."""
    if CRITERIA[name]["examples"] is None:
        return _KERNELS
    return {path: one for path, one in _drawn().items() if path.endswith("/kernel")}


def _scores(
    name: str, kernels: Weights, *, seed: int, num_survivors: int = 1
) -> masks.Scores:
    """Returns the scores of kernels, of a network with these and data if asked so."""
    probe = None
    if CRITERIA[name]["examples"] is not None:
        from tflottery.training.probing import Probe

        source = sources.load(_DATASET, minimum_image_size=1)
        probe = Probe(
            _MODEL,
            source,
            num_classes=source.num_classes,
            augmentation="none",
            weights=_drawn() | kernels,
            examples=CRITERIA[name]["examples"],
            num_survivors=num_survivors,
        )
    shapes = {path: kernel.shape for path, kernel in kernels.items()}
    return scoring.score(name, kernels, shapes, seed=seed, probe=probe)


@functools.cache
def _drawn() -> Weights:
    """Returns initial weights of the network."""
    source = sources.load(_DATASET, minimum_image_size=1)
    model = MODELS[_MODEL].function(
        input_shape=source.image_shape, num_classes=source.num_classes
    )
    return model_weights.initial_weights(model, seeds.init_seed(1))
