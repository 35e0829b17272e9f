"""Where runs stand in a store: their states, checkpoints and divergences."""

import dataclasses
from collections.abc import Sequence

from tflottery.components.component import Artifact
from tflottery.components.runs import SLOTS_FILE, Run, State
from tflottery.store.store import Store


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a run to be trained without a break.

    Attributes:
      run: the trajectory.
      start: address of the run's own state to go on from; None is its beginning.
      first: the iteration of that state.
      states: the states to keep on the way, ascending; the last one ends the stretch.
        The newest state of a run keeps its slots, whatever was asked for: whoever
        trains the run for longer goes on from there.
    """

    run: Run
    start: str | None
    first: int
    states: tuple[State, ...]

    @property
    def num_iterations(self) -> int:
        """Updates to make."""
        return self.states[-1].iteration - self.first


class RunIndex:
    """A view of a store, read once per run: for a plan or a job, not for longer."""

    def __init__(self, store: Store):
        self._store = store
        self._starts: dict[str, dict[int, str]] = {}
        self._found: dict[tuple, bool] = {}

    def has(self, artifact: Artifact) -> bool:
        """Returns whether the store holds an artifact with all its promised files."""
        wanted = (artifact.address, artifact.files)
        if wanted not in self._found:
            self._found[wanted] = self._store.has(*wanted)
        return self._found[wanted]

    def diverged(self, run: Run) -> int | None:
        """Returns the iteration at which a run is known to have diverged, if it has."""
        address = divergence_address(run)
        if not self._store.has(address):
            return None
        return self._store.manifest(address)["iteration"]

    def segments(self, run: Run, states: Sequence[State]) -> list[Segment]:
        """Returns the stretches that make missing states of a run, each trained once.

        Args:
          run: the trajectory.
          states: missing states of it, ascending.
        """
        segments: list[Segment] = []
        current = -1
        if states and max(self._slots_at(run), default=-1) <= states[-1].iteration:
            newest = dataclasses.replace(states[-1], keeps_slots=True)
            states = (*states[:-1], newest)
        for state in states:
            first, start = self._nearest(run, state.iteration)
            if first > current:
                segments.append(Segment(run, start, first, (state,)))
            else:
                last = segments.pop()
                longer = (*last.states, state)
                segments.append(dataclasses.replace(last, states=longer))
            current = state.iteration
        return segments

    def _nearest(self, run: Run, iteration: int) -> tuple[int, str | None]:
        """Returns the iteration and address of the best state to go on from."""
        starts = self._slots_at(run)
        # A state at the iteration itself lacks what is wanted there, or is not whole.
        usable = [first for first in starts if first <= iteration]
        if not usable:
            return run.first_iteration, None
        return max(usable), starts[max(usable)]

    def _slots_at(self, run: Run) -> dict[int, str]:
        """Returns the addresses of a run's states with slots, by iteration."""
        if run.key not in self._starts:
            self._starts[run.key] = {
                iteration: address
                for folder in (f"checkpoints/{run.key}", f"runs/{run.key}")
                for iteration, address in _by_iteration(folder, self._store).items()
                if self._store.has(address, (SLOTS_FILE,))
            }
        return self._starts[run.key]


def divergence_address(run: Run) -> str:
    """Returns where a run's divergence is recorded."""
    return f"runs/{run.key}/diverged"


def checkpoints(run: Run, store: Store) -> dict[int, str]:
    """Returns the addresses of a run's checkpoints, by iteration."""
    return _by_iteration(f"checkpoints/{run.key}", store)


def superseded(run: Run, store: Store) -> list[str]:
    """Returns the addresses of a run's checkpoints that nothing goes on from any more.

    The newest state with slots is what a longer training goes on from; a checkpoint
    only where it is newer, as that of a longer job which was interrupted.
    """
    states = _by_iteration(f"runs/{run.key}", store)
    with_slots = (
        iteration
        for iteration in sorted(states, reverse=True)
        if store.has(states[iteration], (SLOTS_FILE,))
    )
    kept = checkpoints(run, store)
    if kept and max(kept) > next(with_slots, -1):
        del kept[max(kept)]
    return list(kept.values())


def checkpoint_address(run: Run, iteration: int) -> str:
    """Returns where a run's checkpoint at an iteration is kept."""
    return f"checkpoints/{run.key}/{iteration:08d}"


def _by_iteration(folder: str, store: Store) -> dict[int, str]:
    """Returns the addresses in a folder that are named after an iteration."""
    named = {address.rsplit("/", 1)[-1]: address for address in store.addresses(folder)}
    return {int(name): address for name, address in named.items() if name.isdigit()}
