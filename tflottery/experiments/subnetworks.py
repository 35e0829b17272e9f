"""Subnetworks: the masks and the runs of IMP and of its random controls.

IMP with rewinding (LMC, Algorithm 2): train, prune the lowest magnitudes, rewind the
survivors to iteration k, and again. Level 0 is the unbroken trunk, so level 1's mask is
the same for every k. The controls change one thing each: random pruning prunes the
dense weights of iteration k at random; random reinitialization gives IMP's mask fresh
weights at k.
"""

import math

from tflottery.components.component import Artifact
from tflottery.components.masking import MagnitudeMask, RandomMask
from tflottery.components.runs import Initialization, Run, State
from tflottery.core import seeds
from tflottery.experiments.config import PruningConfig
from tflottery.experiments.study import Study
from tflottery.pruning import counts
from tflottery.pruning.prunable import prunable

DENSE, IMP = "dense", "imp"
RANDOM_PRUNING, RANDOM_REINIT = "random_pruning", "random_reinit"
KINDS = (DENSE, IMP, RANDOM_PRUNING, RANDOM_REINIT)


class Subnetworks:
    """What a study's options on pruning stand for."""

    def __init__(self, study: Study):
        """Args:
        study: of a Config with the options on pruning.

        Raises:
          ValueError: nothing can be pruned as asked for.
        """
        config: PruningConfig = study.config
        self._study = study
        self._recipe = study.recipe
        self._per_layer = config.random_counts == "per_layer"
        shapes = study.facts.kernel_shapes
        paths = prunable(
            shapes,
            unpruned=study.recipe.unpruned,
            first_convolutions=config.first_convolutions,
        )
        self._kernels = tuple((path, tuple(shapes[path])) for path in paths)
        self._num_prunable = sum(math.prod(shape) for _, shape in self._kernels)
        self._num_kernel_weights = sum(map(math.prod, shapes.values()))
        self._masks: dict[tuple, Artifact] = {}
        self.num_survivors(max(self.last_level, self.studied_level))

    @property
    def last_level(self) -> int:
        """The level that a study of all levels ends at."""
        asked = self._asked_level()
        return self._recipe.num_levels if asked is None else asked

    @property
    def studied_level(self) -> int:
        """The level that a study of one level is about."""
        asked = self._asked_level()
        return self._level_of(self._recipe.studied_density) if asked is None else asked

    def num_survivors(self, level: int) -> int:
        """Returns how many prunable weights are kept at a level.

        Raises:
          ValueError: the level leaves none.
        """
        return counts.num_survivors(
            self._num_prunable,
            pruning_fraction=self._recipe.pruning_fraction,
            level=level,
        )

    def columns(self, kind: str, level: int) -> dict[str, object]:
        """Returns the columns that say which subnetwork a row is about."""
        num_kept = self.num_survivors(level)
        return {
            "subnetwork": kind,
            "level": level,
            "density": counts.density(num_kept, num_prunable=self._num_prunable),
            "axis_density": counts.axis_density(
                num_kept,
                num_prunable=self._num_prunable,
                num_unpruned=self._num_kernel_weights - self._num_prunable,
            ),
        }

    def run(
        self, kind: str, *, level: int, replicate: int, k: int, data_order: int
    ) -> Run:
        """Returns the training of a subnetwork rewound to iteration k.

        Args:
          kind: one of `KINDS`; "dense" has level 0 only.
          level: prunings so far.
          replicate: whose weights and orders.
          k: where it begins on schedule and data stream.
          data_order: of the replicate's orders at this level; IMP itself trains on 1.
        """
        study = self._study
        initial: Artifact | Initialization = study.trunk_state(replicate, k)
        if kind == RANDOM_REINIT:
            initial = Initialization(seeds.reinit_seed(replicate, level=level))
        return study.branch(
            initial,
            first_iteration=k,
            replicate=replicate,
            data_order=data_order,
            level=level,
            mask=self.mask(kind, level=level, replicate=replicate, k=k),
        )

    def mask(
        self, kind: str, *, level: int, replicate: int, k: int
    ) -> MagnitudeMask | RandomMask | None:
        """Returns the masks of a subnetwork; None where nothing is pruned."""
        if not level:
            return None
        known = (kind == RANDOM_PRUNING, level, replicate, k)
        if known not in self._masks:
            make = self._random if kind == RANDOM_PRUNING else self._by_magnitude
            self._masks[known] = make(level, replicate, k)
        return self._masks[known]

    def _random(self, level: int, replicate: int, k: int) -> RandomMask:
        """Returns random masks; the same for every k unless IMP's layers decide."""
        like = None
        if self._per_layer:
            like = self.mask(IMP, level=level, replicate=replicate, k=k)
        seed = seeds.random_mask_seed(replicate)
        return RandomMask(seed, self._kernels, self.num_survivors(level), like)

    def _by_magnitude(self, level: int, replicate: int, k: int) -> MagnitudeMask:
        """Returns IMP's masks: of the end of the level before, or of the dense end."""
        before = 0 if self._recipe.one_shot else level - 1
        previous = self.mask(IMP, level=before, replicate=replicate, k=k)
        if before:
            run = self.run(IMP, level=before, replicate=replicate, k=k, data_order=1)
        else:
            run = self._study.trunk(replicate)
        trained = State(run, self._study.last)
        return MagnitudeMask(
            trained, previous, self._kernels, self.num_survivors(level)
        )

    def _asked_level(self) -> int | None:
        """Returns the level that the options name, if they do."""
        config: PruningConfig = self._study.config
        if config.density is not None:
            return self._level_of(config.density)
        return config.levels

    def _level_of(self, density: float) -> int:
        """Returns the level nearest to a density."""
        fraction = self._recipe.pruning_fraction
        return counts.level_of(density, pruning_fraction=fraction)
