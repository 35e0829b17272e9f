"""Subnetworks: the masks and the runs of IMP and of its random controls.

IMP with rewinding (LMC, Algorithm 2): train, prune the lowest magnitudes, rewind the
survivors to iteration k, and again. Level 0 is the unbroken trunk, so level 1's mask is
the same for every k. The controls change one thing each: random pruning prunes the
dense weights of iteration k at random; random reinitialization gives IMP's mask fresh
weights at k.
"""

import functools
import math
from collections.abc import Callable

from tflottery.components.component import Artifact
from tflottery.components.masking import Kernels, MagnitudeMask, RandomMask
from tflottery.components.runs import Initialization, Run, State
from tflottery.core import seeds
from tflottery.pruning import counts
from tflottery.pruning.prunable import prunable
from tflottery.studies.study import Study

DENSE, IMP = "dense", "imp"
RANDOM_PRUNING, RANDOM_REINIT = "random_pruning", "random_reinit"
KINDS = (DENSE, IMP, RANDOM_PRUNING, RANDOM_REINIT)
# An artifact holds those it comes from; deeper ones cannot be sent to a worker.
_MAX_LEVELS = 60


class Subnetworks:
    """What a study's options on pruning stand for."""

    def __init__(self, study: Study, *, trunk: Callable[[int], Run] | None = None):
        """Args:
        study: of a Config with the options on pruning.
        trunk: a replicate's dense run, which is pruned and rewound to; None: the
          study's, from fresh weights.
        """
        self._study = study
        self._trunk = trunk or study.trunk
        self._recipe = study.recipe
        self._per_layer = study.config.random_counts == "per_layer"
        self._asked_level = study.config.asked_level(study.recipe)
        self._masks: dict[tuple, Artifact] = {}

    @functools.cached_property
    def last_level(self) -> int:
        """The level that a study of all levels ends at.

        Raises:
          ValueError: the level asked for leaves no weight, or is too deep.
        """
        asked = self._asked_level
        if asked is not None:
            return self._checked(asked)
        # What the recipe decides is cut where nothing would be left.
        last = self._recipe.num_levels
        while self._exact_share(last) * self._num_prunable < 1:
            last -= 1
        return last

    @property
    def levels(self) -> range:
        """The levels of a study of subnetworks at all of them, from 1.

        Raises:
          ValueError: there is none.
        """
        if self.last_level < 1:
            raise ValueError(
                f"--levels={self._study.config.levels!r}, --density="
                f"{self._study.config.density!r} leaves nothing but the dense network. "
                "Name at least one level."
            )
        return range(1, self.last_level + 1)

    @functools.cached_property
    def studied_level(self) -> int:
        """The level that a study of one level of a subnetwork is about, at least 1.

        Raises:
          ValueError: the level leaves no weight or prunes none, or is too deep.
        """
        level = self._asked_level
        fraction = self._recipe.pruning_fraction
        if level is None:
            density = self._recipe.studied_density
            level = counts.level_of(density, pruning_fraction=fraction)
        if level < 1:
            config = self._study.config
            raise ValueError(
                f"--levels={config.levels!r}, --density={config.density!r} with "
                f"--pruning_fraction={fraction!r} is level {level}, the dense network. "
                "Name a level of at least 1, a lower density, or a smaller "
                "--pruning_fraction."
            )
        return self._checked(level)

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
        if not level:
            share = {"density": 1.0, "axis_density": 1.0}
            return {"subnetwork": kind, "level": 0} | share
        num_kept = self.num_survivors(level)
        num_kernel_weights = sum(
            map(math.prod, self._study.facts.kernel_shapes.values())
        )
        return {
            "subnetwork": kind,
            "level": level,
            "density": counts.density(num_kept, num_prunable=self._num_prunable),
            "axis_density": counts.axis_density(
                num_kept,
                num_prunable=self._num_prunable,
                num_unpruned=num_kernel_weights - self._num_prunable,
            ),
        }

    def keys(
        self, kind: str, *, level: int, replicate: int, k: int, data_order: int
    ) -> dict[str, object]:
        """Returns all columns that name a trained network; arguments as of `run`."""
        names = {"replicate": replicate, "rewind_iteration": k}
        names |= {"data_order": data_order}
        return self._study.columns() | self.columns(kind, level) | names

    def run(
        self,
        kind: str,
        *,
        level: int,
        replicate: int,
        k: int,
        data_order: int,
        initial: Artifact | None = None,
    ) -> Run:
        """Returns the training of a subnetwork rewound to iteration k.

        Args:
          kind: one of `KINDS`; "dense" has level 0 only.
          level: prunings so far.
          replicate: whose weights and orders.
          k: where it begins on schedule and data stream.
          data_order: of the replicate's orders at this level; IMP itself trains on 1.
          initial: the weights to train from at k; None: those of the kind.

        Raises:
          ValueError: a dense network of another level.
        """
        if kind == DENSE and level:
            raise ValueError(f"A dense network has level 0, not {level!r}.")
        return self._study.branch(
            initial or self.weights(kind, level=level, replicate=replicate, k=k),
            first_iteration=k,
            replicate=replicate,
            data_order=data_order,
            level=level,
            mask=self.mask(kind, level=level, replicate=replicate, k=k),
        )

    def weights(
        self, kind: str, *, level: int, replicate: int, k: int
    ) -> State | Initialization:
        """Returns the weights, before any mask, that a subnetwork trains from at k."""
        if kind == RANDOM_REINIT:
            return Initialization(seeds.reinit_seed(replicate, level=level))
        return State(self._trunk(replicate), k, keeps_slots=True)

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
        return RandomMask(seed, self.kernels, self.num_survivors(level), like)

    def _by_magnitude(self, level: int, replicate: int, k: int) -> MagnitudeMask:
        """Returns IMP's masks: of the end of the level before, or of the dense end."""
        before = 0 if self._recipe.one_shot else level - 1
        previous = self.mask(IMP, level=before, replicate=replicate, k=k)
        if before:
            run = self.run(IMP, level=before, replicate=replicate, k=k, data_order=1)
        else:
            run = self._trunk(replicate)
        trained = State(run, self._study.last)
        return MagnitudeMask(trained, previous, self.kernels, self.num_survivors(level))

    def describe(self, level: int) -> str:
        """Returns a level in words: "level 15, 3.5% of the prunable weights"."""
        share = self.columns(IMP, level)["density"]
        return f"level {level}, {100 * share:.3g}% of the prunable weights"

    @functools.cached_property
    def kernels(self) -> Kernels:
        """The kernels that are pruned; raises ValueError if none can be."""
        shapes = self._study.facts.kernel_shapes
        paths = prunable(
            shapes,
            unpruned=self._recipe.unpruned,
            first_convolutions=self._study.config.first_convolutions,
        )
        return tuple((path, tuple(shapes[path])) for path in paths)

    @functools.cached_property
    def _num_prunable(self) -> int:
        """How many weights may be pruned."""
        return sum(math.prod(shape) for _, shape in self.kernels)

    def _checked(self, level: int) -> int:
        """Returns the level; raises ValueError if it leaves nothing or is too deep."""
        self.num_survivors(level)
        if level > _MAX_LEVELS:
            raise ValueError(
                f"Level {level} is more than the {_MAX_LEVELS} prunings that a chain "
                "may have. Prune more at a time with --pruning_fraction."
            )
        return level

    def _exact_share(self, level: int) -> float:
        """Returns the density that a level aims at."""
        return (1 - self._recipe.pruning_fraction) ** level
