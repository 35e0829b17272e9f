"""How fractions are written for people, the same wherever one is read."""

# Halves are rounded up, as people do it: a 32nd is 3.13%.
_UP = 1 + 1e-9


def percent(fraction: float) -> str:
    """Returns a fraction of something in percent, with three digits: "3.13%"."""
    return f"{100 * _UP * fraction:.3g}%"
