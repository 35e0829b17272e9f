"""How often work is begun again whose worker was lost, before it is given up."""

import collections

from tflottery.execution.worker import Message

# Nodes are lost for reasons of their own; but work may also be what takes them down.
_MAX_SETBACKS = {"died": 3, "lost": 10}
_TOLD = {
    "died": "its worker died with {} Short of memory? Try fewer --workers.",
    "lost": "the node of its worker was lost: {} Has it room for such a job?",
}
# Kinds of messages that are one.
KINDS = tuple(_MAX_SETBACKS)


class Setbacks:
    """What has set pieces of work back since each last got anywhere."""

    def __init__(self):
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()

    def count(self, name: str, message: Message) -> str | None:
        """Counts one; returns why that work is given up, None if it is not.

        Args:
          name: of the work.
          message: of one of `KINDS`.
        """
        kind = message.kind
        self._counts[name, kind] += 1
        count = self._counts[name, kind]
        if count < _MAX_SETBACKS[kind]:
            return None
        return f"Given up after {count} times: {_TOLD[kind].format(message.value)}"

    def forget(self, name: str) -> None:
        """Counts those of a piece of work that got on from 0 again."""
        for kind in KINDS:
            self._counts.pop((name, kind), None)
