"""Lineages: wanted artifacts with all that they are made from, each looked at once."""

import functools
from collections.abc import Callable, Mapping, Sequence

from tflottery.components.component import Artifact
from tflottery.components.runs import Run, State


def by_run(artifacts: Mapping[str, Artifact]) -> list[tuple[Run, tuple[State, ...]]]:
    """Returns every run among the artifacts with its states in ascending order."""
    by_key: dict[str, list[State]] = {}
    for artifact in artifacts.values():
        if isinstance(artifact, State):
            by_key.setdefault(artifact.run.key, []).append(artifact)
    return [
        (states[0].run, tuple(sorted(states, key=lambda state: state.iteration)))
        for states in by_key.values()
    ]


class Lineage:
    """Goals and all that they come from.

    Attributes:
      goals: what is wanted.
      artifacts: the goals and all they come from, by address, in order of making:
        inputs before what is made from them.
    """

    def __init__(self, goals: Sequence[Artifact]):
        self.goals = goals
        self.artifacts = _in_order_of_making(goals)

    def missing(
        self,
        has: Callable[[Artifact], bool],
        needed: Callable[[Artifact], Sequence[Artifact]],
    ) -> dict[str, Artifact]:
        """Returns what has to be made for the goals, in order of making.

        Args:
          has: whether an artifact is there already.
          needed: what a missing artifact has to be made from.

        Returns:
          By address; a state wanted with and without slots has them.
        """
        wanted: dict[str, Artifact] = {}
        for goal in self.goals:
            _want(goal, wanted)
        missing: dict[str, Artifact] = {}
        # Whoever wants an artifact comes after it, so by then all have spoken.
        for address in reversed(self.artifacts):
            artifact = wanted.get(address)
            if artifact is None or has(artifact):
                continue
            missing[address] = artifact
            for source in needed(artifact):
                _want(source, wanted)
        return dict(reversed(missing.items()))

    @functools.cached_property
    def runs(self) -> list[tuple[Run, tuple[State, ...]]]:
        """Every run that takes part, with its states in ascending order."""
        return by_run(self.artifacts)

    def num_updates(self) -> int:
        """Returns how many updates all runs take together, each to its last state."""
        return sum(
            states[-1].iteration - run.first_iteration for run, states in self.runs
        )

    def num_updates_alone(self) -> int:
        """Returns how many updates the goals take if each trains its own runs.

        Of goals that come from the same runs, as measurements of one run at many
        iterations do, the furthest counts.
        """
        behind = _Behind(self.artifacts)
        furthest: dict[frozenset[str], int] = {}
        for goal in self.goals:
            tips = behind.tips(goal)
            furthest[tips] = max(furthest.get(tips, 0), behind.num_updates(goal))
        return sum(furthest.values())


class _Behind:
    """The runs that artifacts come from, and how far each of them is trained.

    Worked out once for each run and for each component that others are made from.
    """

    def __init__(self, artifacts: Mapping[str, Artifact]):
        """Args:
        artifacts: by address, inputs before what is made from them.
        """
        used = {
            source.address
            for artifact in artifacts.values()
            for source in artifact.sources
        }
        self._first_iterations: dict[str, int] = {}
        # Of each run, and of each component by address: the last iteration of every
        # run that it comes from.
        self._of_runs: dict[str, dict[str, int]] = {}
        self._of_components: dict[str, dict[str, int]] = {}
        for address, artifact in artifacts.items():
            if isinstance(artifact, State):
                run = artifact.run
                if run.key not in self._of_runs:
                    self._first_iterations[run.key] = run.first_iteration
                    self._of_runs[run.key] = self._merged(run.sources)
            elif address in used:
                self._of_components[address] = self._merged(artifact.sources)

    def num_updates(self, goal: Artifact) -> int:
        """Returns how many updates it takes to make a goal alone."""
        return sum(
            last - self._first_iterations[key]
            for key, last in self._merged((goal,)).items()
        )

    def tips(self, goal: Artifact) -> frozenset[str]:
        """Returns the runs behind a goal that no other of them comes from.

        They settle which runs are behind it.
        """
        keys: set[str] = set()
        for source in (goal,) if isinstance(goal, State) else goal.sources:
            if isinstance(source, State):
                keys.add(source.run.key)
            else:
                keys.update(self._of_components[source.address])
        before = [self._of_runs[key] for key in keys]
        return frozenset(key for key in keys if not any(key in one for one in before))

    def _merged(self, artifacts: Sequence[Artifact]) -> dict[str, int]:
        """Returns the last iteration of every run behind any of the artifacts."""
        merged: dict[str, int] = {}
        for artifact in artifacts:
            if isinstance(artifact, State):
                parts = [self._of_runs[artifact.run.key]]
                parts.append({artifact.run.key: artifact.iteration})
            elif artifact.address in self._of_components:
                parts = [self._of_components[artifact.address]]
            else:
                parts = [self._merged(artifact.sources)]
            for part in parts:
                for key, last in part.items():
                    if last > merged.get(key, -1):
                        merged[key] = last
        return merged


def _in_order_of_making(goals: Sequence[Artifact]) -> dict[str, Artifact]:
    """Returns goals and all they come from by address, inputs first."""
    found: dict[str, Artifact] = {}
    order: dict[str, Artifact] = {}
    stack = [(goal, False) for goal in reversed(goals)]
    while stack:
        artifact, done = stack.pop()
        address = artifact.address
        if done:
            order[address] = artifact
        elif address not in found:
            found[address] = artifact
            stack.append((artifact, True))
            stack += [(one, False) for one in reversed(artifact.sources)]
    return order


def _want(artifact: Artifact, wanted: dict[str, Artifact]) -> None:
    """Adds an artifact to those wanted, with what others want of it."""
    known = wanted.get(artifact.address)
    if isinstance(known, State):
        artifact = known.together(artifact)
    wanted[artifact.address] = artifact
