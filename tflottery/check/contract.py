"""A contract that does not hold, and the line on which a check is told."""

import dataclasses
from collections.abc import Callable

# Takes the name of what is checked; returns a few words for its line, or None.
Check = Callable[[str], str | None]


class ContractError(Exception):
    """A contract does not hold."""

    def __init__(self, came: str, *, expected: str, remedy: str):
        """Args:
        came: what was found.
        expected: what the contract says.
        remedy: what to do.
        """
        super().__init__(f"came: {came}; expected: {expected}; to do: {remedy}")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a check ended.

    Attributes:
      line: what there is to say about it.
      holds: whether the contract does.
    """

    line: str
    holds: bool


def verdict(subject: str, check: Check, name: str) -> Verdict:
    """Returns how a check ended; whatever it raises is a contract that does not hold.

    Args:
      subject: kind of what is checked, such as "model".
      check: the check.
      name: what is checked.
    """
    what = f"{subject} {name}: {check.__name__.replace('_', ' ')}"
    try:
        found = check(name)
    except ContractError as error:
        return Verdict(f"FAILED  {what}; {error}", False)
    except Exception as error:
        # Code of a stranger: it may raise anything, and the other checks go on.
        text = " ".join(str(error).split())
        error = ContractError(
            f"{type(error).__name__}: {text}",
            expected="no error",
            remedy="mend what it says",
        )
        return Verdict(f"FAILED  {what}; {error}", False)
    return Verdict(f"ok      {what}" + (f" ({found})" if found else ""), True)
