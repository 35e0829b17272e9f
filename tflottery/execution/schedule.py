"""A schedule: which of the steps still to be done can begin, the most urgent first.

Most urgent is what the most work in sequence hangs on, where that decides when all is
done. Where there is other work enough for all workers, measurements that nothing waits
for come first, so that tables have rows early.

Each change looks at the steps that it concerns and no others, so that a step of a large
plan costs no more than one of a small plan.
"""

import heapq
from collections.abc import Collection, Iterable

from tflottery.execution.plan import Plan, Step

# Work in sequence decides if it is as long as this fraction of each worker's work.
_DECISIVE = 0.5


class Schedule:
    """Steps that wait for what they need, for their time, or for a worker.

    True while any of them can begin, now or after a rest.
    """

    def __init__(self, plan: Plan, *, num_workers: int, without: Collection[str] = ()):
        """Args:
        plan: what is to be done.
        num_workers: among whom.
        without: names of jobs that are not to be done.
        """
        self._num_workers = num_workers
        self._steps: dict[str, Step] = {}
        # What the steps cost together.
        self._cost = 0.0
        # What has to be made before steps can begin, and the names of those steps.
        self._absent: set[str] = set()
        self._users: dict[str, set[str]] = {}
        # By name: how much a step lacks, how much hangs on it, when it was added.
        self._num_lacking: dict[str, int] = {}
        self._urgencies: dict[str, float] = {}
        self._numbers: dict[str, int] = {}
        self._able: set[str] = set()
        # (-urgency, number, name); what is not so any more is passed over.
        self._queue: list[tuple[float, int, str]] = []
        # The same of measurements that nothing waits for.
        self._results: list[tuple[float, int, str]] = []
        # (time, name): left alone until then.
        self._resting: list[tuple[float, str]] = []
        self._asleep: set[str] = set()
        self.add(plan, without=without)

    def __bool__(self) -> bool:
        return bool(self._able)

    @property
    def steps(self) -> Iterable[Step]:
        """The steps that are not given out."""
        return self._steps.values()

    def lacks(self, address: str) -> bool:
        """Returns whether an artifact of the plan is not made yet, or lost."""
        return address in self._absent

    def step(self, name: str) -> Step | None:
        """Returns the step of a job, None if there is none that is not given out."""
        return self._steps.get(name)

    def add(self, plan: Plan, *, without: Collection[str] = ()) -> None:
        """Adds the steps of a plan, in place of those of the same jobs.

        What they make counts as not there from now on.
        """
        chains = plan.chains()
        for step in plan.steps:
            for address in step.makes:
                self.lost(address)
        for step in plan.steps:
            name = step.job.name
            if name in without:
                continue
            users = (user for made in step.makes for user in self._users.get(made, ()))
            behind = max((self._urgencies[user] for user in users), default=0.0)
            self._urgencies[name] = max(chains[name], behind + step.flops)
            self._numbers.setdefault(name, len(self._numbers))
            self._put(step)
        for step in plan.steps:
            # By now it is known what waits for each.
            self._enqueue(step.job.name)

    def take(self, now: float, *, without: Collection[str]) -> Step | None:
        """Gives out the step to begin with; None if none can begin.

        Args:
          now: the time, as of `rest`.
          without: names of jobs that cannot be begun.
        """
        while self._resting and self._resting[0][0] <= now:
            _, name = heapq.heappop(self._resting)
            self._asleep.discard(name)
            self._enqueue(name)
        name = self._first(self._queue, without)
        if name is None:
            return None
        # Of a Ray cluster no node may be there at the moment.
        each = self._cost / max(self._num_workers, 1)
        if self._urgencies[name] < _DECISIVE * each:
            name = self._first(self._results, without) or name
        self._able.discard(name)
        return self._remove(name)

    def rest(self, step: Step, until: float) -> None:
        """Takes a step back, to be given out at a later time at the earliest."""
        self._put(step)
        self._asleep.add(step.job.name)
        heapq.heappush(self._resting, (until, step.job.name))

    def made(self, address: str) -> None:
        """Records that an artifact is there."""
        if address not in self._absent:
            return
        self._absent.discard(address)
        for name in self._waiting_for(address):
            self._num_lacking[name] -= 1
            if not self._num_lacking[name]:
                self._able.add(name)
                self._enqueue(name)

    def lost(self, address: str) -> None:
        """Records that an artifact is not there, or no longer."""
        if address in self._absent:
            return
        self._absent.add(address)
        for name in self._waiting_for(address):
            self._num_lacking[name] += 1
            self._able.discard(name)

    def drop(self, addresses: Iterable[str]) -> set[str]:
        """Takes out the steps that need what will never be made.

        Returns:
          The addresses, and all those that are not made because of them.
        """
        lost = set(addresses)
        stack = list(lost)
        while stack:
            for name in self._waiting_for(stack.pop()):
                step = self._remove(name)
                self._able.discard(name)
                stack += [made for made in step.makes if made not in lost]
                lost.update(step.makes)
        return lost

    def leave_out(self, names: Iterable[str]) -> None:
        """Takes out the steps of jobs that are not to be done; others may need them."""
        for name in names:
            self._able.discard(name)
            self._remove(name)

    def _put(self, step: Step) -> None:
        """Adds a step."""
        name = step.job.name
        if name in self._steps:
            self._remove(name)
        self._steps[name] = step
        self._cost += step.flops
        for address in step.needs:
            self._users.setdefault(address, set()).add(name)
        self._num_lacking[name] = len(self._absent & step.needs)
        if self._num_lacking[name]:
            self._able.discard(name)
        else:
            self._able.add(name)

    def _enqueue(self, name: str) -> None:
        """Has a step given out when its turn comes."""
        if name in self._able:
            entry = (-self._urgencies[name], self._numbers[name], name)
            heapq.heappush(self._queue, entry)
            step = self._steps[name]
            if not step.num_iterations and not any(map(self._users.get, step.makes)):
                heapq.heappush(self._results, entry)

    def _first(
        self, queue: list[tuple[float, int, str]], without: Collection[str]
    ) -> str | None:
        """Returns the first job of a queue that can begin; it stays there."""
        passed, found = [], None
        while queue and found is None:
            entry = heapq.heappop(queue)
            name = entry[2]
            if name in self._able:
                passed.append(entry)
                if name not in without and name not in self._asleep:
                    found = name
        for entry in passed:
            heapq.heappush(queue, entry)
        return found

    def _remove(self, name: str) -> Step:
        """Takes a step out."""
        step = self._steps.pop(name)
        self._cost -= step.flops
        return step

    def _waiting_for(self, address: str) -> list[str]:
        """Returns the names of the steps, not given out, that need an artifact."""
        names = self._users.get(address, ())
        return [
            name
            for name in names
            if name in self._steps and address in self._steps[name].needs
        ]
