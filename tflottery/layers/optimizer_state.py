"""What an optimizer remembers of a kernel: momentum, moments, moving averages.

A pruned weight gets no gradient any more, but what an optimizer remembers would go on
moving it, and a moving average of the weights would bring it back.
"""

from collections.abc import Iterator

import keras


def of(
    optimizer: keras.optimizers.Optimizer | None, kernel: keras.Variable
) -> Iterator[keras.Variable]:
    """Yields the variables that an optimizer keeps for each weight of a kernel.

    Args:
      optimizer: any of Keras's kind, built or not, or None.
      kernel: of the model that it trains.

    Yields:
      Variables of the kernel's shape, of optimizers inside the optimizer as well. What
      is kept for rows, for columns or for everything together is none of them.
    """
    for one in _all(optimizer):
        trained = one._trainable_variables
        places = [place for place, v in enumerate(trained) if _same(v, kernel)]
        # Keras has no public way from a variable to its slots; all its optimizers keep
        # them in lists that are parallel to that of the variables.
        lists = [
            slots
            for slots in vars(one).values()
            if isinstance(slots, list) and len(slots) == len(trained)
        ]
        for place in places:
            for slots in lists:
                if slots is not trained and _fits(slots[place], kernel):
                    yield slots[place]


def _all(
    optimizer: keras.optimizers.Optimizer | None,
) -> Iterator[keras.optimizers.Optimizer]:
    """Yields an optimizer and those that it wraps."""
    if optimizer is not None:
        yield optimizer
        yield from _all(getattr(optimizer, "inner_optimizer", None))
        for one in getattr(optimizer, "optimizers", ()):
            yield from _all(one)


def _same(variable: object, kernel: keras.Variable) -> bool:
    """Returns whether an optimizer's variable is the kernel, or its backend's."""
    return variable is kernel or variable is kernel.value


def _fits(slot: object, kernel: keras.Variable) -> bool:
    """Returns whether a slot, if it is one, has an entry for each weight."""
    return isinstance(slot, keras.Variable) and tuple(slot.shape) == tuple(kernel.shape)
