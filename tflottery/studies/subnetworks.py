"""Subnetworks: the masks and the runs of IMP, of other criteria, and of the controls.

IMP with rewinding (LMC, Algorithm 2): train, prune the lowest magnitudes, rewind the
survivors to iteration k, and again. Level 0 is the unbroken trunk, so level 1's mask is
the same for every k: the paper's algorithm, read literally, trains W_k under new noise
before the first pruning, which --first_pruning=copy does. Its relatives keep the
weights as they were trained (Renda et al., 2020): learning-rate rewinding goes on with
the schedule of k, fine-tuning as long with the last rate of the schedule.

The controls change one thing each: random pruning prunes the dense weights of iteration
k at random; random reinitialization gives IMP's mask fresh weights at k. Adjusted
random pruning chooses among the weights that training the dense network does not bring
to zero by itself. Any other registered criterion is a kind of subnetwork by its name,
NAME; and so are the controls of Frankle et al. (2021): NAME_shuffled, with as many
survivors in each layer, chosen at random, and NAME_reinit, with fresh weights at k.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable

from tflottery.components.component import Artifact
from tflottery.components.masking import Kernels, Mask
from tflottery.components.runs import Initialization, Run, State
from tflottery.core import recipes, seeds
from tflottery.core.percentages import percent
from tflottery.core.registry import CRITERIA
from tflottery.pruning import counts
from tflottery.pruning.prunable import prunable
from tflottery.studies.study import Study

DENSE, IMP = "dense", "imp"
RANDOM_PRUNING, RANDOM_REINIT = "random_pruning", "random_reinit"
ADJUSTED_RANDOM = "adjusted_random"
LR_REWINDING, FINE_TUNING = "lr_rewinding", "fine_tuning"
_SHUFFLED, _REINIT = "_shuffled", "_reinit"


class _Kind(typing.NamedTuple):
    """What a kind of subnetwork stands for.

    Attributes:
      criterion: by which it is pruned.
      mask_of: the kind whose masks it has.
      weights: what it trains from at k: "rewound" to the dense network's, drawn
        "fresh", or "kept" as they were when they were pruned.
      shuffled: whether which weights of a layer survive is left to chance.
      final_rate: whether it trains with the last rate of the schedule.
    """

    criterion: str
    mask_of: str
    weights: str = "rewound"
    shuffled: bool = False
    final_rate: bool = False


_NAMED = {
    IMP: _Kind("magnitude", IMP),
    RANDOM_PRUNING: _Kind("random", RANDOM_PRUNING),
    RANDOM_REINIT: _Kind("magnitude", IMP, weights="fresh"),
    ADJUSTED_RANDOM: _Kind("adjusted_random", ADJUSTED_RANDOM),
    LR_REWINDING: _Kind("magnitude", LR_REWINDING, weights="kept"),
    FINE_TUNING: _Kind("magnitude", FINE_TUNING, weights="kept", final_rate=True),
}
# An artifact holds those it comes from; deeper ones cannot be sent to a worker.
_MAX_LEVELS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subnetwork:
    """Which network of a study.

    Attributes:
      kind: "dense" or one of `sparse_kinds`.
      level: prunings so far; 0 is dense.
      replicate: whose weights and orders, from 1.
      rewind_iteration: k, whose weights it is rewound to; its schedule and data stream
        go on there or begin anew, as the recipe says.
    """

    kind: str
    level: int
    replicate: int
    rewind_iteration: int

    def __post_init__(self) -> None:
        """Raises ValueError for a kind that is not known, or a dense one pruned."""
        if self.kind != DENSE:
            _kind(self.kind)
        elif self.level:
            raise ValueError(f"A dense network has level 0, not {self.level!r}.")


def sparse_kinds() -> tuple[str, ...]:
    """Returns the kinds of pruned networks: the papers', then by other criteria."""
    papers = {kind.criterion for kind in _NAMED.values()}
    others = [name for name in CRITERIA.names() if name not in papers]
    controls = [name + control for name in others for control in (_SHUFFLED, _REINIT)]
    return (*_NAMED, *others, *controls)


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
        self._pruning = study.recipe.pruning
        self._masks: dict[tuple, Mask] = {}

    @functools.cached_property
    def levels(self) -> tuple[int, ...]:
        """The levels of a study of all of them, ascending, from 1.

        Raises:
          ValueError: a level asked for leaves no weight, or is too deep.
        """
        asked = self._asked_levels
        if asked is not None:
            return asked
        # What the recipe decides is cut where nothing would be left.
        measured = self._pruning.measured_levels or (f"1-{self._pruning.num_levels}",)
        return tuple(
            level
            for level in counts.levels(measured)
            if self._exact_density(level) * self._num_prunable >= 1
        )

    @functools.cached_property
    def studied_levels(self) -> tuple[int, ...]:
        """The levels of a study of few: those asked for, else the one that is studied.

        Raises:
          ValueError: a level leaves no weight or prunes none, or is too deep.
        """
        asked = self._asked_levels
        if asked is not None:
            return asked
        fraction = self._pruning.pruning_fraction
        density = self._pruning.studied_density
        return (self._validated(counts.level_of(density, pruning_fraction=fraction)),)

    def rewind_iterations(self, kind: str) -> tuple[int, ...]:
        """Returns the k at which a kind is studied: those of the study, as a rule.

        Adjusted random pruning keeps initial weights, and so does random pruning where
        the recipe says so: their training begins at 0.
        """
        initial = {ADJUSTED_RANDOM}
        if self._pruning.random_weights == "initial":
            initial.add(RANDOM_PRUNING)
        return (0,) if kind in initial else self._study.rewind_iterations

    def num_survivors(self, level: int) -> int:
        """Returns how many prunable weights are kept at a level.

        Raises:
          ValueError: the level leaves none.
        """
        return counts.num_survivors(
            self._num_prunable,
            pruning_fraction=self._pruning.pruning_fraction,
            level=level,
        )

    def columns(self, subnetwork: Subnetwork) -> dict[str, object]:
        """Returns the columns that say which network of which study a row is about."""
        return {
            **self._study.columns(),
            "subnetwork": subnetwork.kind,
            "level": subnetwork.level,
            **self._densities(subnetwork.level),
            "replicate": subnetwork.replicate,
            "rewind_iteration": subnetwork.rewind_iteration,
        }

    def run(
        self,
        subnetwork: Subnetwork,
        *,
        data_order: int,
        initial: Artifact | None = None,
    ) -> Run:
        """Returns the training of a subnetwork rewound to iteration k.

        Args:
          subnetwork: which.
          data_order: of the replicate's orders at this level; IMP itself trains on 1.
          initial: the weights to train from at k; None: those of the kind.
        """
        recipe = self._study.recipe
        if subnetwork.level and _kind(subnetwork.kind).final_rate:
            recipe = recipes.at_final_rate(recipe)
        return self._study.branch(
            initial or self.weights(subnetwork),
            rewind_iteration=subnetwork.rewind_iteration,
            replicate=subnetwork.replicate,
            data_order=data_order,
            level=subnetwork.level,
            mask=self.mask(subnetwork),
            recipe=recipe,
        )

    def weights(self, subnetwork: Subnetwork) -> State | Initialization:
        """Returns the weights, before any mask, that a subnetwork trains from at k."""
        if subnetwork.kind == DENSE:
            return self._dense(subnetwork)
        kind = _kind(subnetwork.kind)
        if kind.weights == "fresh":
            replicate, level = subnetwork.replicate, subnetwork.level
            return self._study.initialization(seeds.reinit_seed(replicate, level=level))
        if kind.weights == "kept" and subnetwork.level:
            return self.mask(subnetwork).scored
        return self._dense(subnetwork)

    def mask(self, subnetwork: Subnetwork) -> Mask | None:
        """Returns the masks of a subnetwork; None where nothing is pruned."""
        if not subnetwork.level:
            return None
        kind = _kind(subnetwork.kind)
        own = dataclasses.replace(subnetwork, kind=kind.mask_of)
        known = (own, kind.shuffled)
        if known not in self._masks:
            criterion, layers_of = kind.criterion, self._matched(own, kind.criterion)
            if kind.shuffled:
                criterion, layers_of = "random", self.mask(own)
            self._masks[known] = self._made(own, criterion, layers_of)
        return self._masks[known]

    def describe(self, level: int) -> str:
        """Returns a level in words: "level 15, 3.5% of the prunable weights"."""
        density = self._densities(level)["density"]
        return f"level {level}, {percent(density)} of the prunable weights"

    @functools.cached_property
    def kernels(self) -> Kernels:
        """The kernels that are pruned; raises ValueError if none can be."""
        shapes = self._study.facts.kernel_shapes
        paths = prunable(
            shapes,
            unpruned=self._pruning.unpruned,
            first_convolutions=self._study.config.first_convolutions,
        )
        return tuple((path, tuple(shapes[path])) for path in paths)

    def _made(
        self, subnetwork: Subnetwork, criterion: str, layers_of: Mask | None
    ) -> Mask:
        """Returns the masks that a criterion makes."""
        scored, previous = self._scored(subnetwork, criterion)
        entry = CRITERIA[criterion]
        return Mask(
            criterion=criterion,
            criterion_version=entry["version"],
            scored=scored,
            previous=previous,
            kernels=self.kernels,
            num_survivors=self.num_survivors(subnetwork.level),
            seed=seeds.random_mask_seed(subnetwork.replicate)
            if entry["seeded"]
            else None,
            layers_of=layers_of,
            examples=entry["examples"],
        )

    def _scored(
        self, subnetwork: Subnetwork, criterion: str
    ) -> tuple[State | None, Mask | None]:
        """Returns whose weights a criterion scores, and the masks of the level before.

        Trained weights are those of the end of the level before, whose own criterion
        is the same; of the dense network's end at the first level, or one-shot.
        """
        which = CRITERIA[criterion]["scored_weights"]
        if which == "none":
            return None, None
        if which == "rewound":
            return self._dense(subnetwork), None
        if which == "dense_end":
            return State(self._trunk(subnetwork.replicate), self._study.last), None
        before = 0 if self._pruning.one_shot else subnetwork.level - 1
        if not before:
            return State(self._first(subnetwork), self._study.last), None
        above = dataclasses.replace(subnetwork, level=before)
        end = State(self.run(above, data_order=1), self._study.last)
        return end, self.mask(above)

    def _first(self, subnetwork: Subnetwork) -> Run:
        """Returns the dense run whose end is pruned first."""
        if self._pruning.first_pruning == "trunk":
            return self._trunk(subnetwork.replicate)
        copy = dataclasses.replace(subnetwork, kind=DENSE, level=0)
        return self.run(copy, data_order=1)

    def _dense(self, subnetwork: Subnetwork) -> State:
        """Returns the dense network at the subnetwork's k."""
        trunk = self._trunk(subnetwork.replicate)
        return State(trunk, subnetwork.rewind_iteration, keeps_slots=True)

    def _matched(self, subnetwork: Subnetwork, criterion: str) -> Mask | None:
        """Returns IMP's masks where random pruning keeps as many in each layer."""
        if criterion != "random" or self._pruning.random_counts != "per_layer":
            return None
        return self.mask(dataclasses.replace(subnetwork, kind=IMP))

    def _densities(self, level: int) -> dict[str, float]:
        """Returns the columns density and axis_density of a level."""
        if not level:
            return {"density": 1.0, "axis_density": 1.0}
        kept = self.num_survivors(level)
        num_weights = sum(map(math.prod, self._study.facts.kernel_shapes.values()))
        return {
            "density": counts.density(kept, num_prunable=self._num_prunable),
            "axis_density": counts.axis_density(
                kept,
                num_prunable=self._num_prunable,
                num_unpruned=num_weights - self._num_prunable,
            ),
        }

    @functools.cached_property
    def _num_prunable(self) -> int:
        """How many weights may be pruned."""
        return sum(math.prod(shape) for _, shape in self.kernels)

    @functools.cached_property
    def _asked_levels(self) -> tuple[int, ...] | None:
        """The levels that --levels or --density names; None if neither does."""
        asked = self._study.config.asked_levels(self._study.recipe)
        return None if asked is None else tuple(map(self._validated, asked))

    def _validated(self, level: int) -> int:
        """Returns the level; raises ValueError if it prunes or leaves nothing."""
        if level < 1:
            raise ValueError(
                f"Level {level} is the dense network, which is measured in any case. "
                "Name levels from 1, a lower --density, or a smaller "
                "--pruning_fraction."
            )
        self.num_survivors(level)
        if level > _MAX_LEVELS:
            raise ValueError(
                f"Level {level} is more than the {_MAX_LEVELS} prunings that a chain "
                "may have. Prune more at a time with --pruning_fraction."
            )
        return level

    def _exact_density(self, level: int) -> float:
        """Returns the density that a level aims at."""
        return (1 - self._pruning.pruning_fraction) ** level


def _kind(name: str) -> _Kind:
    """Returns what a kind of subnetwork stands for.

    Raises:
      ValueError: there is no such kind; lists those there are.
    """
    if name in _NAMED:
        return _NAMED[name]
    if name not in sparse_kinds():
        raise ValueError(
            f"There is no subnetwork {name!r}. Known: {DENSE}, "
            f"{', '.join(sparse_kinds())}."
        )
    if name in CRITERIA:
        return _Kind(name, name)
    if name.endswith(_SHUFFLED):
        criterion = name.removesuffix(_SHUFFLED)
        return _Kind(criterion, criterion, shuffled=True)
    criterion = name.removesuffix(_REINIT)
    return _Kind(criterion, criterion, weights="fresh")
