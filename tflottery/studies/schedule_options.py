"""Options of the schedule that are refused because they would decide nothing."""

import itertools
from collections.abc import Sequence

from tflottery.core import durations
from tflottery.core.durations import Duration


def validate_within(
    name: str, given: Sequence[Duration], *, length: Duration | None
) -> None:
    """Raises ValueError for durations that are longer than training with any data.

    Args:
      name: of the option that names them.
      given: the durations.
      length: of the training, as it was given; None: it was not.
    """
    last = None if length is None else durations.iterations_alone(length)
    # A training of no iteration at all is refused for that.
    if last:
        alone = map(durations.iterations_alone, given)
        refuse_beyond(name, [one for one in alone if one is not None], last=last)


def refuse_beyond(name: str, iterations: Sequence[int], *, last: int) -> None:
    """Raises ValueError if an option names an iteration beyond the end of training."""
    beyond = [iteration for iteration in iterations if iteration > last]
    if beyond:
        raise ValueError(
            f"--{name} names {beyond}, beyond the end of training at {last}. "
            "Leave them out, or train for longer with --training_iterations."
        )


def refuse_warmup(warmup: int, *, last: int) -> None:
    """Raises ValueError if the learning rate would not have risen by the end."""
    if warmup > last:
        raise ValueError(
            f"--warmup={warmup} goes beyond the end of training at {last}: the "
            "learning rate would never be reached. Give less, or train for longer with "
            "--training_iterations."
        )


def validate_milestones(
    milestones: Sequence[Duration] | None, *, length: Duration | None
) -> None:
    """Raises ValueError for milestones that make no sense with any data.

    Args:
      milestones: as they were given; None: they were not.
      length: of the training, as it was given.
    """
    alone = list(map(durations.iterations_alone, milestones or ()))
    if None not in alone:
        last = None if length is None else durations.iterations_alone(length)
        refuse_milestones(alone, last=last)


def refuse_milestones(milestones: Sequence[int], *, last: int | None) -> None:
    """Raises ValueError unless milestones ascend, and lie before the end.

    Args:
      milestones: in iterations.
      last: the iteration at which training ends; None: it is not known yet.
    """
    named = ",".join(map(str, milestones))
    if any(later <= earlier for earlier, later in itertools.pairwise(milestones)):
        raise ValueError(
            f"--milestones={named} have to ascend: each is a later iteration at which "
            "the learning rate drops once."
        )
    beyond = [one for one in milestones if last is not None and one >= last]
    if beyond:
        raise ValueError(
            f"--milestones={named} go beyond the end of training at {last}: at "
            f"{', '.join(map(str, beyond))} no rate would drop. Leave these out, or "
            "train for longer with --training_iterations."
        )


def validate_decay_factor(
    decay_factor: float | None, *, milestones: Sequence[Sequence[Duration]]
) -> None:
    """Raises ValueError if a factor is given and no rate drops at milestones.

    Args:
      decay_factor: as it was given; None: it was not.
      milestones: of each recipe that it is given for.
    """
    if decay_factor is not None and not any(milestones):
        raise ValueError(
            f"--decay_factor={decay_factor!r} is of milestones, and the recipe has no "
            "milestones. Leave it out, or give --milestones."
        )


def validate_momentum(momentum: float | None, *, optimizer: str) -> None:
    """Raises ValueError if momentum is given to an optimizer that has none."""
    if momentum is not None and optimizer != "sgd":
        raise ValueError(
            f"--momentum={momentum!r} is of sgd, and the optimizer is {optimizer}. "
            "Leave it out, or give --optimizer=sgd."
        )
