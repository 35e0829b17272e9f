"""How numbers of things are written for people."""


def counted(number: int, noun: str) -> str:
    """Returns "1 replicate", "3 replicates", "2,000 replicates"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
