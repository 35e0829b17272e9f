"""What holds of every registered pruning criterion."""

import numpy as np

from tflottery.check.contract import ContractError
from tflottery.core.registry import CRITERIA
from tflottery.pruning import masks, scoring

# Zeros, ties and both signs among them.
_KERNELS = {
    "a/kernel": np.array([[0.5, -1.0], [0.0, 2.0]], np.float32),
    "b/kernel": np.zeros((3, 3, 1, 2), np.float32),
    "c/kernel": np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4),
}
_SHAPES = {path: kernel.shape for path, kernel in _KERNELS.items()}
_NUM_WEIGHTS = sum(kernel.size for kernel in _KERNELS.values())
_SCORED = ("trained", "rewound", "dense_end", "none")


def declares_which_weights_it_scores(name: str) -> str:
    """`scored_weights` and `version` are what keys and plans can take."""
    entry = CRITERIA[name]
    if entry["scored_weights"] not in _SCORED or not isinstance(entry["version"], int):
        raise ContractError(
            f"scored_weights={entry['scored_weights']!r}, version={entry['version']!r}",
            expected=f"one of {_SCORED}, and a whole number",
            remedy="see tflottery/pruning/criteria",
        )
    return entry["scored_weights"]


def scores_every_kernel_the_same_each_time(name: str) -> None:
    """Scores have the kernels' paths and shapes, no NaN, and repeat bit for bit."""
    given = {path: kernel.copy() for path, kernel in _KERNELS.items()}
    # Refuses other paths and shapes.
    first, again = (scoring.score(name, given, _SHAPES, seed=seed) for seed in (3, 3))
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
        if given[path].tobytes() != _KERNELS[path].tobytes():
            raise ContractError(
                f"weights of {path} that it has changed",
                expected="weights as they came",
                remedy="work on a copy",
            )


def reads_the_seed_only_if_it_says_so(name: str) -> str:
    """Another seed gives other scores if and only if it is declared seeded."""
    first, other = (
        scoring.score(name, _KERNELS, _SHAPES, seed=seed) for seed in (3, 4)
    )
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
    previous = None
    counts = (_NUM_WEIGHTS, 21, 8, 1)
    for count in counts:
        kept = previous or {path: np.ones(shape) for path, shape in _SHAPES.items()}
        weights = masks.apply(_KERNELS, kept)
        scores = scoring.score(name, weights, _SHAPES, seed=3)
        found = masks.keep_highest(scores, num_survivors=count, previous=previous)
        revived = sum(int(((found[p] == 1) & (kept[p] == 0)).sum()) for p in found)
        if masks.num_ones(found) != count or revived:
            raise ContractError(
                f"{masks.num_ones(found)} survivors, {revived} of them pruned before",
                expected=f"{count} and none",
                remedy="return scores of the kernels' shapes, higher for what is kept",
            )
        previous = found
    return f"{', '.join(map(str, counts))} of {_NUM_WEIGHTS}"


CHECKS = (
    declares_which_weights_it_scores,
    scores_every_kernel_the_same_each_time,
    reads_the_seed_only_if_it_says_so,
    prunes_exact_counts_and_revives_nothing,
)
