"""What config.json says of a command: its networks, and how to ask for the same."""

from collections.abc import Mapping, Sequence

# Options that have another name since.
_RENAMED = {"subnetwork": "subnetworks"}
# Options of commands over several networks that are lists.
_JOINED = ("model", "optimizers")


def command(said: Mapping[str, object]) -> str:
    """Returns a command line that asks for what a config.json describes.

    Every option is given that has a value, so that it stays the same command where
    recipes change; where data and store lie is not part of it.

    Args:
      said: the contents of config.json.
    """
    words = [f"python -m tflottery.experiments.{said['experiment']}"]
    decisions = _together(list(members(said).values()))
    left_out = _left_out(decisions)
    for said_name, value in decisions.items():
        name = _RENAMED.get(said_name, said_name)
        if value is None or value is False or name in left_out:
            continue
        if value is True:
            words.append(f"--{name}")
        else:
            several = value if isinstance(value, list) else [value]
            words.append(f"--{name}={','.join(map(str, several))}")
    return " ".join(words)


def members(said: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """Returns the decisions of each network that a command trained, by name.

    Of a command that trains one alone it has no name.
    """
    decisions = said.get("decisions") or {}
    named = {
        name: value
        for name, value in decisions.items()
        if isinstance(value, Mapping) and "config" in value
    }
    return named or {"": decisions}


def _together(members: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Returns the decisions of a command over several networks: what is told of each.

    Lists of what it goes through are joined; in what else they differ, their recipes
    decide.
    """
    first, *others = members
    found = {}
    for name, value in first.items():
        values = [value, *(one.get(name) for one in others)]
        if name in _JOINED and others:
            several = [one if isinstance(one, list) else [one] for one in values]
            found[name] = list(dict.fromkeys(each for one in several for each in one))
        elif all(one == value for one in values):
            found[name] = value
    return found


def _left_out(decisions: Mapping[str, object]) -> set[str]:
    """Returns the decisions that are no flags, or none beside the others."""
    # Older ones hold the machine's too.
    names = {"config", "device", "num_replicas", "ticket_recipes"}
    names |= {"momentum"} if decisions.get("optimizer") == "adam" else set()
    # Of one optimizer among several.
    if len(decisions.get("optimizers") or ()) > 1:
        names |= {"momentum", "learning_rate"}
    names |= set() if decisions.get("milestones") else {"milestones", "decay_factor"}
    return names
