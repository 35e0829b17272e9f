"""Plans: which steps a set of wanted artifacts still needs, and what they cost.

A plan is worked out from the artifacts themselves and from what the store holds. All
states wanted of one run are one step, trained in one go from the nearest state with
slots, whichever experiment wants them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tflottery.components import runs
from tflottery.components.component import Artifact, Component
from tflottery.components.metadata import Facts
from tflottery.components.runs import Run, State
from tflottery.core.identities import Network
from tflottery.execution import run_index
from tflottery.execution.jobs import Advance, Job, Make
from tflottery.store.store import Store

# A training step costs about three forward passes.
_PASSES_PER_UPDATE = 3


@dataclasses.dataclass(frozen=True)
class Step:
    """A job with its place in the plan.

    Attributes:
      job: what to do.
      needs: addresses that have to be in the store first.
      makes: addresses it puts there.
      num_iterations: updates it makes; 0 where it does not train.
      flops: about what it costs.
    """

    job: Job
    needs: frozenset[str]
    makes: tuple[str, ...]
    num_iterations: int
    flops: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done, in an order that respects what needs what.

    Attributes:
      steps: the missing work.
      num_runs: distinct runs behind the goals, in the store or not.
      num_iterations: updates still to make.
      num_stored: updates that the store saves.
      num_shared: updates that sharing saves against training the runs of each goal
        anew.
      num_bytes: about what the missing artifacts take on disk.
      num_slots_bytes: of these, what only the optimizer slots of the newest states
        take, from which whoever trains for longer goes on.
      unobtainable: addresses that a diverged run keeps from being made, and at which
        iteration it diverged.
    """

    steps: tuple[Step, ...]
    num_runs: int
    num_iterations: int
    num_stored: int
    num_shared: int
    num_bytes: int
    num_slots_bytes: int
    unobtainable: Mapping[str, int]

    @property
    def flops(self) -> float:
        """About what the missing work costs."""
        return sum(step.flops for step in self.steps)

    def chains(self) -> dict[str, float]:
        """Returns what each step costs with all that has to follow it in sequence.

        By name of the job. Of several steps that wait for one, the costliest counts.
        """
        waiting: dict[str, list[Step]] = {}
        for step in self.steps:
            for address in step.needs:
                waiting.setdefault(address, []).append(step)
        costs: dict[str, float] = {}
        stack = [(step, False) for step in self.steps]
        while stack:
            step, done = stack.pop()
            if step.job.name in costs:
                continue
            following = [one for made in step.makes for one in waiting.get(made, ())]
            if done:
                longest = max((costs[one.job.name] for one in following), default=0.0)
                costs[step.job.name] = step.flops + longest
            else:
                stack.append((step, True))
                stack += [(one, False) for one in following]
        return costs


def plan(
    goals: Sequence[Artifact], store: Store, *, facts: Mapping[Network, Facts]
) -> Plan:
    """Returns what has to be done so that the store holds all goals.

    Args:
      goals: the artifacts wanted.
      store: what is there already.
      facts: of every network that takes part.
    """
    everything = _by_run(_closure(goals, follow=_always))
    index = run_index.RunIndex(store)
    reached = _closure(goals, follow=lambda artifact: not index.has(artifact))
    missing = {name: one for name, one in reached.items() if not index.has(one)}
    unobtainable = _unobtainable(missing, index)
    feasible = {name: one for name, one in missing.items() if name not in unobtainable}
    steps = [
        _advance_step(run, states, index, facts) for run, states in _by_run(feasible)
    ]
    steps += [
        _make_step(artifact, facts)
        for artifact in feasible.values()
        if isinstance(artifact, Component)
    ]
    made = [one for step in steps for one in _made(step.job)]
    distinct = _num_updates(everything)
    alone = _num_alone(goals)
    num_iterations = sum(step.num_iterations for step in steps)
    return Plan(
        steps=tuple(steps),
        num_runs=len(everything),
        num_iterations=num_iterations,
        num_stored=distinct - num_iterations,
        num_shared=alone - distinct,
        num_bytes=sum(_num_bytes(one, facts) for one in made),
        num_slots_bytes=sum(
            _num_bytes(one, facts) - _num_bytes(feasible[one.address], facts)
            for one in made
        ),
        unobtainable=unobtainable,
    )


def _closure(
    goals: Sequence[Artifact], *, follow: Callable[[Artifact], bool]
) -> dict[str, Artifact]:
    """Returns the goals and, through those to be followed, all they come from.

    A state wanted with and without slots has them. The order is that of making: inputs
    before what is made from them.
    """
    found: dict[str, Artifact] = {}
    stack = [(goal, False) for goal in reversed(goals)]
    order: list[str] = []
    while stack:
        artifact, done = stack.pop()
        if done:
            order.append(artifact.address)
            continue
        known = found.get(artifact.address)
        if isinstance(known, State):
            artifact = known.together(artifact)
        found[artifact.address] = artifact
        if known is not None and known.files == artifact.files:
            continue
        if follow(artifact):
            stack.append((artifact, True))
            stack += [(one, False) for one in reversed(sources(artifact))]
        else:
            order.append(artifact.address)
    return {address: found[address] for address in dict.fromkeys(order)}


def sources(artifact: Artifact) -> tuple[Artifact, ...]:
    """Returns the artifacts that one is made from."""
    if isinstance(artifact, State):
        return artifact.run.sources
    return tuple(artifact.inputs.values())


def _by_run(artifacts: Mapping[str, Artifact]) -> list[tuple[Run, tuple[State, ...]]]:
    """Returns every run among the artifacts with its states in ascending order."""
    by_key: dict[str, list[State]] = {}
    for artifact in artifacts.values():
        if isinstance(artifact, State):
            by_key.setdefault(artifact.run.key, []).append(artifact)
    return [
        (states[0].run, tuple(sorted(states, key=lambda state: state.iteration)))
        for states in by_key.values()
    ]


def _advance_step(
    run: Run,
    states: tuple[State, ...],
    index: run_index.RunIndex,
    facts: Mapping[Network, Facts],
) -> Step:
    """Returns the step that trains a run through its missing states."""
    segments = index.segments(run, states)
    kept = tuple(state for segment in segments for state in segment.states)
    num_iterations = sum(segment.num_iterations for segment in segments)
    flops = facts[run.network].flops_per_example * _PASSES_PER_UPDATE
    from_scratch = any(segment.start is None for segment in segments)
    needs = {source.address for source in run.sources} if from_scratch else set()
    if run.mask is not None:
        needs.add(run.mask.address)
    return Step(
        job=Advance(run, kept),
        needs=frozenset(needs),
        makes=tuple(state.address for state in kept),
        num_iterations=num_iterations,
        flops=float(flops * run.recipe.batch_size * num_iterations),
    )


def _made(job: Job) -> tuple[Artifact, ...]:
    """Returns the artifacts that a job makes."""
    return job.states if isinstance(job, Advance) else (job.component,)


def _make_step(component: Component, facts: Mapping[Network, Facts]) -> Step:
    """Returns the step that executes a component."""
    return Step(
        job=Make(component),
        needs=frozenset(one.address for one in component.inputs.values()),
        makes=(component.address,),
        num_iterations=0,
        flops=float(component.flops(facts)),
    )


def _num_alone(goals: Sequence[Artifact]) -> int:
    """Returns how many updates the goals take if each trains its own runs.

    Of goals that come from the same runs, as measurements of one run at many
    iterations do, the furthest counts.
    """
    furthest: dict[frozenset[str], int] = {}
    for goal in goals:
        behind = _by_run(_closure([goal], follow=_always))
        keys = frozenset(run.key for run, _ in behind)
        furthest[keys] = max(furthest.get(keys, 0), _num_updates(behind))
    return sum(furthest.values())


def _num_updates(by_run: Sequence[tuple[Run, tuple[State, ...]]]) -> int:
    """Returns how many updates runs take together, to the last state of each."""
    return sum(states[-1].iteration - run.first_iteration for run, states in by_run)


def _always(artifact: Artifact) -> bool:
    """Follows every artifact."""
    del artifact
    return True


def _num_bytes(artifact: Artifact, facts: Mapping[Network, Facts]) -> int:
    """Returns about how much disk an artifact takes."""
    if isinstance(artifact, State):
        known = facts[artifact.run.network]
        return runs.num_bytes(
            artifact,
            num_weights=known.num_weights,
            num_trainable=known.num_trainable,
        )
    return artifact.num_bytes(facts)


def _unobtainable(
    missing: Mapping[str, Artifact], index: run_index.RunIndex
) -> dict[str, int]:
    """Returns what diverged runs keep from being made, in order of making."""
    lost: dict[str, int] = {}
    for address, artifact in missing.items():
        if isinstance(artifact, State):
            diverged = index.diverged(artifact.run)
            if diverged is not None and artifact.iteration >= diverged:
                lost[address] = diverged
                continue
        inherited = [
            lost[source.address]
            for source in sources(artifact)
            if source.address in lost
        ]
        if inherited:
            lost[address] = min(inherited)
    return lost
