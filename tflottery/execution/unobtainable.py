"""Why artifacts cannot be made: a training diverged, or there is no such artifact."""

from collections.abc import Iterable, Mapping

# The iteration at which a run that is needed diverged; None: what is needed, or the
# artifact itself, does not exist (`components.component.Absent`).
Reason = int | None
# By address of the artifact.
Unobtainable = Mapping[str, Reason]


def first(reasons: Iterable[Reason]) -> Reason:
    """Returns what counts of several reasons: the first divergence, if there is any."""
    return min((one for one in reasons if one is not None), default=None)


def num_absent(unobtainable: Unobtainable) -> int:
    """Returns how many artifacts lack because something does not exist."""
    return list(unobtainable.values()).count(None)
