"""Orders: what one host does with its trainers, so that others do the same.

A network that several hosts train is one of each; every call that lets it compute has
to be made on all of them, in one order. The chief's process decides what is done, how
many updates a call makes and when to stop, and sends it to the others before it does
it. Weights come along, so that who follows reads no store.
"""

from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tflottery.training.runtime import Runtime


class Orders:
    """What the trainers of other hosts are told; nobody, by default."""

    def __init__(self, followers: Sequence[connection.Connection] = ()):
        """Args:
        followers: a connection to the process of each other host.
        """
        self._followers = tuple(followers)

    def give(self, name: str, *arguments: object, **named: object) -> None:
        """Has the others do something, as `follow` knows it by name."""
        for follower in self._followers:
            follower.send((name, arguments, named))


def follow(
    chief: connection.Connection,
    runtime: "Runtime",
    *,
    advanced: Callable[[int], None] = lambda iteration: None,
) -> None:
    """Does what the chief orders, until its connection ends.

    Args:
      chief: connection to its process.
      runtime: builds this host's part.
      advanced: is told the iteration after each call of the loop.

    Raises:
      UnusableData: this host has other data than the chief.
    """
    trainer = advance = None
    while True:
        try:
            name, arguments, named = chief.recv()
        except (EOFError, OSError):
            return
        if name == "trainer":
            trainer = runtime.trainer(*arguments, **named)
        elif name == "restore":
            trainer.restore(*arguments, **named)
        elif name == "begin":
            advance = trainer.calls(*arguments, **named)
        elif name == "advance":
            iteration, _ = arguments
            done, _ = advance(*arguments)
            advanced(iteration + done)
        else:
            raise ValueError(f"The chief orders {name!r}, which nobody knows here.")
