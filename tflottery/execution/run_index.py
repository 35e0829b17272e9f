"""Where runs stand in a store: their states, checkpoints and divergences.

And which artifacts are known not to exist.
"""

import dataclasses
from collections.abc import Mapping, Sequence, Set

from tflottery.components.component import Artifact, Component
from tflottery.components.runs import SLOTS_FILE, Run, State
from tflottery.execution.unobtainable import Reason
from tflottery.store import addresses
from tflottery.store.store import Store

# In the record that there is no artifact of a component.
DIVERGED_ITERATION = "diverged_iteration"
_FOLDERS_OF_STATES = ("checkpoints", "runs")


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
    """A view of a store, read once: for a plan or a job, not for longer.

    Goes by the names of files. Whether they are sound shows when they are opened.
    """

    def __init__(self, store: Store, *, listed: bool = False):
        """Args:
        store: what is looked into.
        listed: whether to list the store as a whole, at once, rather than the folders
          that are asked about.
        """
        self._store = store
        self._listing = store.listing() if listed else None
        self._looked_up: dict[str, frozenset[str] | None] = {}
        self._starts = {} if self._listing is None else _starts_of(self._listing)
        self._divergences: dict[str, int | None] = {}

    def has(self, artifact: Artifact) -> bool:
        """Returns whether the store holds an artifact with all its promised files.

        Or a worker elsewhere said so, and it may not be seen from here yet.
        """
        address, files = artifact.address, artifact.files
        names = self._names(address)
        if names is not None and names.issuperset(files):
            return True
        return self._store.sight.expects(address, files)

    def needed(self, artifact: Artifact) -> Sequence[Artifact]:
        """Returns what a missing artifact has to be made from.

        A run that goes on from a state of its own needs no other to begin with.
        """
        if not isinstance(artifact, State):
            return artifact.sources
        _, start = self._nearest(artifact.run, artifact.iteration)
        if start is None:
            return artifact.sources
        mask = artifact.run.mask
        return () if mask is None else (mask,)

    def diverged(self, run: Run) -> int | None:
        """Returns the iteration at which a run is known to have diverged, if it has."""
        if run.key not in self._divergences:
            address, iteration = divergence_address(run), None
            if self._names(address) is not None:
                manifest = self._store.peek(address)
                iteration = None if manifest is None else manifest["iteration"]
            self._divergences[run.key] = iteration
        return self._divergences[run.key]

    def is_absent(self, component: Component) -> bool:
        """Returns whether what a component is to make is known not to exist."""
        address = absence_address(component)
        if self._names(address) is not None and self._store.has(address):
            return True
        return self._store.sight.expects(address)

    def reason_of_absence(self, component: Component) -> Reason:
        """Returns when the training diverged whose end a component is to make.

        None where that is not why there is none, or not known any more.
        """
        manifest = self._store.peek(absence_address(component)) or {}
        return manifest.get(DIVERGED_ITERATION)

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
            found = {}
            if self._listing is None:
                for folder in _FOLDERS_OF_STATES:
                    found |= self._store.listing(f"{folder}/{run.key}")
            self._starts[run.key] = _starts_of(found).get(run.key, {})
        return self._starts[run.key]

    def _names(self, address: str) -> frozenset[str] | None:
        """Returns the names of an artifact's files, None if there is no manifest."""
        if self._listing is not None:
            return self._listing.get(address)
        if address not in self._looked_up:
            self._looked_up[address] = self._store.listing(address).get(address)
        return self._looked_up[address]


def divergence_address(run: Run) -> str:
    """Returns where a run's divergence is recorded."""
    return f"runs/{run.key}/diverged"


def absence_address(component: Component) -> str:
    """Returns where it is recorded that there is no artifact of a component."""
    return f"absent/{component.key}"


def checkpoints(run: Run, store: Store) -> dict[int, str]:
    """Returns the addresses of a run's checkpoints, by iteration."""
    return addresses.by_iteration(store.listing(f"checkpoints/{run.key}"))


def checkpoint_address(run: Run, iteration: int) -> str:
    """Returns where a run's checkpoint at an iteration is kept."""
    return f"checkpoints/{run.key}/{iteration:08d}"


def _starts_of(listing: Mapping[str, Set[str]]) -> dict[str, dict[int, str]]:
    """Returns the states with slots in a listing, by run and iteration.

    Of a checkpoint and a state at one iteration the state.
    """
    starts: dict[str, dict[int, str]] = {}
    for folder in _FOLDERS_OF_STATES:
        for address, names in listing.items():
            parts = address.split("/")
            if parts[0] != folder or len(parts) != 3 or SLOTS_FILE not in names:
                continue
            if parts[2].isdigit():
                starts.setdefault(parts[1], {})[int(parts[2])] = address
    return starts
