"""Plans: which steps a set of wanted artifacts still needs, and what they cost.

A plan is worked out from the artifacts themselves and from what the store holds. All
states wanted of one run are one step, trained in one go from the nearest state with
slots, whichever experiment wants them.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from tflottery.components import runs
from tflottery.components.component import Artifact, Component
from tflottery.components.metadata import Facts
from tflottery.components.runs import Run, State
from tflottery.core.identities import Network
from tflottery.execution.jobs import Advance, Job, Make
from tflottery.execution.lineage import Lineage, by_run
from tflottery.execution.run_index import RunIndex
from tflottery.execution.unobtainable import Reason, Unobtainable, first
from tflottery.store.store import Store

# A training step costs about three forward passes.
_PASSES_PER_UPDATE = 3
# From how many artifacts on the store is listed as a whole.
_MANY = 1000


@dataclasses.dataclass(frozen=True)
class Step:
    """A job with its place in the plan.

    Attributes:
      job: what to do.
      needs: addresses that have to be in the store first.
      makes: addresses it puts there.
      num_iterations: updates it makes; 0 where it does not train.
      flops: about what its arithmetic costs.
      num_decoded: images that are decoded for it, of data that stay in their files.
      num_working_bytes: about what training takes of its device's memory.
      num_layers: of its network, those with kernels; 0 where there is none.
      num_weights: of the network that it trains; 0 where it trains none.
    """

    job: Job
    needs: frozenset[str]
    makes: tuple[str, ...]
    num_iterations: int
    flops: float
    num_decoded: int = 0
    num_working_bytes: int = 0
    num_layers: int = 0
    num_weights: int = 0

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What it makes."""
        job = self.job
        return job.states if isinstance(job, Advance) else (job.component,)

    @property
    def trains(self) -> bool:
        """Whether it trains a run."""
        return isinstance(self.job, Advance)

    @property
    def run(self) -> Run | None:
        """The run that it trains, or whose network it measures; None: neither."""
        if isinstance(self.job, Advance):
            return self.job.run
        passes = self.job.component.passes()
        return None if passes is None else passes.run


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done, in an order that respects what needs what.

    Attributes:
      steps: the missing work.
      num_runs: distinct runs behind the goals, in the store or not.
      num_iterations: updates still to make.
      num_stored: updates that the store saves.
      num_bytes: about what the missing artifacts take on disk.
      num_slots_bytes: of these, what only the optimizer slots of the newest states
        take, from which whoever trains for longer goes on.
      unobtainable: addresses of what cannot be made, and why.
      part_counts: how many parts batches have, of all runs behind the goals, those in
        the store among them.
      wanted: what the steps make, by address, as it is wanted: the newest state of a
        run is made with optimizer slots, be they wanted or not.
      lineage: the goals with all they come from.
    """

    steps: tuple[Step, ...]
    num_runs: int
    num_iterations: int
    num_stored: int
    num_bytes: int
    num_slots_bytes: int
    unobtainable: Unobtainable
    part_counts: frozenset[int]
    wanted: Mapping[str, Artifact]
    lineage: Lineage

    @functools.cached_property
    def num_shared(self) -> int:
        """Updates that sharing saves against training the runs of each goal anew."""
        return self.lineage.num_updates_alone() - self.lineage.num_updates()

    @property
    def trains(self) -> bool:
        """Whether anything is left to train."""
        return any(step.trains for step in self.steps)

    @property
    def flops(self) -> float:
        """About what the missing work costs."""
        return sum(step.flops for step in self.steps)

    @property
    def num_at_once(self) -> float:
        """How many steps go on at once where nobody waits for a worker, on average.

        By what steps cost; at least 1. Of a chain of runs, as those of IMP, that is 1.
        """
        longest = max(self.chains().values(), default=0.0)
        return max(1.0, self.flops / longest) if longest else 1.0

    def duration(self, costs: Mapping[str, float], *, num_workers: float) -> float:
        """Returns how long steps take so many workers, in the unit of what each takes.

        At least as long as those that wait for one another, with which more workers do
        not help.

        Args:
          costs: what each step takes a worker, by name of the job.
          num_workers: that work at the same time.
        """
        longest = max(self.chains(costs).values(), default=0.0)
        return max(sum(costs.values()) / num_workers, longest)

    def chains(self, costs: Mapping[str, float] | None = None) -> dict[str, float]:
        """Returns what each step costs with all that has to follow it in sequence.

        By name of the job. Of several steps that wait for one, the costliest counts.

        Args:
          costs: of each step alone, by name of the job; None: its operations.
        """
        alone = costs or {step.job.name: step.flops for step in self.steps}
        waiting: dict[str, list[Step]] = {}
        for step in self.steps:
            for address in step.needs:
                waiting.setdefault(address, []).append(step)
        found: dict[str, float] = {}
        stack = [(step, False) for step in self.steps]
        while stack:
            step, done = stack.pop()
            if step.job.name in found:
                continue
            following = [one for made in step.makes for one in waiting.get(made, ())]
            if done:
                longest = max((found[one.job.name] for one in following), default=0.0)
                found[step.job.name] = alone[step.job.name] + longest
            else:
                stack.append((step, True))
                stack += [(one, False) for one in following]
        return found


def plan_of(
    goals: Sequence[Artifact], store: Store, *, facts: Mapping[Network, Facts]
) -> Plan:
    """Returns what has to be done so that the store holds all goals.

    Goes by the names of what is in the store: what is damaged there shows when it is
    opened.

    Args:
      goals: the artifacts wanted.
      store: what is there already.
      facts: of every network that takes part.
    """
    # What is missing of the goals and of all they come from, and what can be made.
    lineage = Lineage(goals)
    index = RunIndex(store, listed=len(lineage.artifacts) > _MANY)
    missing = lineage.missing(index.has, index.needed)
    unobtainable = _unobtainable(missing, index)
    feasible = {name: one for name, one in missing.items() if name not in unobtainable}
    # A step a run, through all of its missing states; a step a component. What an
    # artifact comes from is before it.
    of_runs = {run.key: (run, states) for run, states in by_run(feasible)}
    steps = []
    for artifact in feasible.values():
        if isinstance(artifact, Component):
            steps.append(_make_step(artifact, facts))
        elif artifact.run.key in of_runs:
            run, states = of_runs.pop(artifact.run.key)
            steps.append(_advance_step(run, states, index, facts))
    # What that costs, and what it would cost without the store and without sharing.
    size = sum(one.num_bytes(facts) for one in feasible.values())
    num_slots_bytes = sum(_num_slots_bytes(step, feasible, facts) for step in steps)
    num_iterations = sum(step.num_iterations for step in steps)
    of_runs = sum(step.num_iterations for step in steps if step.trains)
    return Plan(
        steps=tuple(steps),
        num_runs=len(lineage.runs),
        num_iterations=num_iterations,
        num_stored=lineage.num_updates() - of_runs,
        num_bytes=size + num_slots_bytes,
        num_slots_bytes=num_slots_bytes,
        unobtainable=unobtainable,
        part_counts=frozenset(run.num_replicas for run, _ in lineage.runs),
        wanted=feasible,
        lineage=lineage,
    )


def _advance_step(
    run: Run,
    states: tuple[State, ...],
    index: RunIndex,
    facts: Mapping[Network, Facts],
) -> Step:
    """Returns the step that trains a run through its missing states."""
    segments = index.segments(run, states)
    kept = tuple(state for segment in segments for state in segment.states)
    num_iterations = sum(segment.num_iterations for segment in segments)
    known = facts[run.network]
    num_examples = run.recipe.batch_size * num_iterations
    from_scratch = any(segment.start is None for segment in segments)
    starts = tuple(segment.start for segment in segments if segment.start is not None)
    needs = {source.address for source in run.sources} if from_scratch else set()
    if run.mask is not None:
        needs.add(run.mask.address)
    return Step(
        job=Advance(run, kept, starts),
        needs=frozenset(needs),
        makes=tuple(state.address for state in kept),
        num_iterations=num_iterations,
        flops=float(known.flops_per_example * _PASSES_PER_UPDATE * num_examples),
        num_decoded=num_examples * known.has_many_sizes,
        num_working_bytes=runs.num_working_bytes(run, known),
        num_layers=len(known.kernel_shapes),
        num_weights=known.num_trainable,
    )


def _make_step(component: Component, facts: Mapping[Network, Facts]) -> Step:
    """Returns the step that executes a component."""
    passes = component.passes()
    num_decoded = num_layers = 0
    if passes is not None:
        known = facts[passes.run.network]
        num_decoded = passes.number * known.has_many_sizes
        num_layers = len(known.kernel_shapes)
    return Step(
        job=Make(component),
        needs=frozenset(one.address for one in component.sources),
        makes=(component.address,),
        num_iterations=component.num_updates(),
        flops=float(component.flops(facts)),
        num_decoded=num_decoded,
        num_layers=num_layers,
    )


def _num_slots_bytes(
    step: Step, wanted: Mapping[str, Artifact], facts: Mapping[Network, Facts]
) -> int:
    """Returns what is kept beside what is wanted of what a step makes: slots."""
    if not step.trains:
        return 0
    newest = step.artifacts[-1]
    return newest.num_bytes(facts) - wanted[newest.address].num_bytes(facts)


def _unobtainable(
    missing: Mapping[str, Artifact], index: RunIndex
) -> dict[str, Reason]:
    """Returns what cannot be made, because of diverged runs or as there is none."""
    lost: dict[str, Reason] = {}
    for address, artifact in missing.items():
        if isinstance(artifact, State):
            diverged = index.diverged(artifact.run)
            if diverged is not None and artifact.iteration >= diverged:
                lost[address] = diverged
                continue
        elif index.is_absent(artifact):
            lost[address] = index.reason_of_absence(artifact)
            continue
        inherited = [
            lost[source.address]
            for source in index.needed(artifact)
            if source.address in lost
        ]
        if inherited:
            lost[address] = first(inherited)
    return lost
