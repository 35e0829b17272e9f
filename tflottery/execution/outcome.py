"""How carrying out a plan ended."""

import dataclasses

from tflottery.execution.unobtainable import Unobtainable
from tflottery.store.errors import StoreError


@dataclasses.dataclass
class Outcome:
    """How carrying out a plan ended.

    Attributes:
      failures: what went wrong, by the name of the job.
      unobtainable: addresses of what cannot be made, and why.
      skipped: addresses not made because what they need failed.
      stopped: whether it was stopped before the end.
      unusable: what is wrong with the store, if that is why it was stopped.
      refused: what is wrong with the data, if that is why.
    """

    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    unobtainable: Unobtainable = dataclasses.field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    stopped: bool = False
    unusable: str | None = None
    refused: str | None = None

    def refuse_unfinished(self) -> None:
        """Raises an error unless all was made that can be, as functions have it.

        Raises:
          StoreError: the store took no more.
          ValueError: data are damaged.
          RuntimeError: jobs failed.
          KeyboardInterrupt: it was stopped.
        """
        if self.unusable:
            raise StoreError(f"{self.unusable} What was finished is kept.")
        if self.refused:
            raise ValueError(f"{self.refused} What was finished is kept.")
        if self.failures:
            raise RuntimeError("\n".join(dict.fromkeys(self.failures.values())))
        if self.stopped or self.skipped:
            raise KeyboardInterrupt("Stopped. The same call goes on from there.")
