"""Options of the schedule that are refused because they would decide nothing."""

import itertools
from collections.abc import Sequence

from tflottery.core import durations, recipes
from tflottery.core.durations import Duration
from tflottery.core.recipes import Recipe
from tflottery.datasets import source as sources


def known_length(recipe: Recipe, *, dataset: str, given: Duration | None) -> int | None:
    """Returns the iteration at which training ends, None where the data decide it.

    Args:
      recipe: of the setting, as the paper has it.
      dataset: name of the data set, which may adapt the recipe.
      given: the length asked for; None: the recipe's.
    """
    if given is not None:
        alone = durations.iterations_alone(given)
        if alone is not None:
            refuse_no_training(given, alone)
        return alone
    lasting = (recipe.training_iterations, recipe.warmup, *recipe.milestones)
    alone = [durations.iterations_alone(one) for one in lasting]
    if None in alone:
        return None
    length, warmup, *milestones = alone
    recipe = recipes.replaced(
        recipe,
        training_iterations=length,
        warmup=warmup,
        milestones=tuple(milestones),
    )
    return sources.adapted(recipe, dataset=dataset).training_iterations


def refuse_no_training(given: Duration, length: int) -> None:
    """Raises ValueError if the length of a training comes to nothing."""
    if length < 1:
        raise ValueError(
            f"--training_iterations={given!r} is no iteration at all; give at least 1."
        )


def validate_within(
    name: str, given: Sequence[Duration | None], *, last: int | None
) -> None:
    """Raises ValueError for iterations that lie beyond the end with any data.

    Args:
      name: of the option that names them.
      given: as they were given; None: it was not.
      last: the iteration at which training ends; None: it is not known yet.
    """
    if last is not None:
        alone = [durations.iterations_alone(one) for one in given if one is not None]
        refuse_beyond(name, [one for one in alone if one is not None], last=last)


def validate_warmup(warmup: Duration | None, *, last: int | None) -> None:
    """Raises ValueError for a warmup that is longer than training with any data."""
    alone = None if warmup is None else durations.iterations_alone(warmup)
    if alone is not None and last is not None:
        refuse_warmup(alone, last=last)


def refuse_beyond(
    name: str, iterations: Sequence[int], *, last: int, learned: str | None = None
) -> None:
    """Raises ValueError if an option names an iteration beyond the end of training.

    Args:
      name: of the option.
      iterations: those it names.
      last: the iteration at which training ends.
      learned: what is trained on, for people; None: it is not known yet.
    """
    beyond = [iteration for iteration in iterations if iteration > last]
    if beyond:
        where = "" if learned is None else f" on {learned}"
        raise ValueError(
            f"--{name} names {beyond}, beyond the end of training{where} at {last}. "
            "Leave them out, or train for longer with --training_iterations."
        )


def refuse_none_within(iterations: Sequence[int], *, last: int, learned: str) -> None:
    """Raises ValueError if no k that a paper studies lies before the end of training.

    Args:
      iterations: each k that it studies.
      last: the iteration at which training ends.
      learned: what is trained on, for people.
    """
    if not iterations:
        raise ValueError(
            "The recipe names no k to study. Name some with --rewind_iterations."
        )
    if min(iterations) >= last:
        raise ValueError(
            f"Every k that the paper studies ({', '.join(map(str, iterations))}) is "
            f"beyond the end of training on {learned} at {last}. Name others with "
            "--rewind_iterations, or train for longer."
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
    milestones: Sequence[Duration] | None, *, last: int | None
) -> None:
    """Raises ValueError for milestones that make no sense with any data.

    Args:
      milestones: as they were given; None: they were not.
      last: the iteration at which training ends; None: it is not known yet.
    """
    alone = list(map(durations.iterations_alone, milestones or ()))
    if None not in alone:
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
