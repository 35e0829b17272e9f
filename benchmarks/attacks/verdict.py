"""Is everything as if nobody had disturbed it?"""

import json
import pathlib

from benchmarks.attacks import stored
from benchmarks.attacks.reference import Reference
from benchmarks.attacks.sandbox import Sandbox

CONFIG_FILE = "config.json"
# Tells what happened, so it is never the same.
_LOG_FILE = "log.txt"
# How long processes may take to end after their parent.
LEAVING_SECONDS = 30.0


def of_output(folder: pathlib.Path, reference: Reference) -> list[str]:
    """Returns what is wrong with an output folder of a command that says it is done."""
    found, wanted = stored.contents(folder), reference.output
    names = found.keys()
    complaints = [f"{name} is not written" for name in sorted(wanted.keys() - names)]
    complaints += [f"{name} is left behind" for name in sorted(names - wanted.keys())]
    for name in sorted(names & wanted.keys()):
        if name == CONFIG_FILE:
            same = _lasting(found[name]) == _lasting(wanted[name])
        else:
            same = name == _LOG_FILE or found[name] == wanted[name]
        if not same:
            complaints.append(f"{name} differs from the reference")
    return complaints


def of_store(sandbox: Sandbox, reference: Reference, *others: Reference) -> list[str]:
    """Returns what is wrong with a store after everything was made.

    Args:
      sandbox: its sandbox.
      reference: of the command whose results were asked for.
      *others: of other commands whose artifacts it may hold.
    """
    known = dict(reference.artifacts)
    for other in others:
        known |= other.artifacts
    folders = stored.folders(sandbox.paths["store"])
    sound = {one for one in folders if stored.fault(folders[one], one) is None}
    complaints = [
        f"{address}, which results come from, is damaged or not there"
        for address in reference.artifacts
        if address.startswith(stored.GOALS) and address not in sound
    ]
    for address, folder in folders.items():
        if address not in known:
            complaints.append(f"{address} is left behind in the store")
        elif address in sound:
            files = stored.files(folder)
            complaints += [
                f"{name} of {address} differs from the reference"
                for name in files.keys() & known[address].keys()
                if files[name]["sha256"] != known[address][name]["sha256"]
            ]
    return complaints


def of_cache(
    sandbox: Sandbox, reference: Reference, *, spoiled: dict[str, str]
) -> list[str]:
    """Returns what is wrong with the dataset cache.

    Args:
      sandbox: its sandbox.
      reference: whose cache it should equal.
      spoiled: digests that are wrong and harmless where nobody reads them, by name.
    """
    found = stored.digests(sandbox.paths["cache"])
    complaints = []
    for name in sorted(found.keys() | reference.cache.keys()):
        if found.get(name) == reference.cache.get(name):
            continue
        if name not in reference.cache:
            # What was set aside, and notes on what was checked, may be there.
            if "damaged" not in name and not name.endswith("checked.json"):
                complaints.append(f"{name} is left behind in the dataset cache")
        elif name.endswith(".npy") or found.get(name) != spoiled.get(name):
            complaints.append(f"{name} of the dataset cache differs from the reference")
    return complaints


def of_leftovers(sandbox: Sandbox) -> list[str]:
    """Returns which processes, drafts, locks and temporary files are left behind."""
    left = sandbox.leftovers(LEAVING_SECONDS)
    complaints = [f"process {one} is left behind" for one in left]
    store, temporary = sandbox.paths["store"], sandbox.paths["temporary"]
    return complaints + [
        f"{path.relative_to(sandbox.root)} is left behind"
        for folder in (store / ".drafts", store / ".locks", temporary)
        for path in sorted(folder.glob("*"))
    ]


def _lasting(data: bytes) -> object:
    """Returns what a config.json says of the results, whatever made them."""
    try:
        said = json.loads(data)
        return {name: said[name] for name in said if name != "environment"}
    except (ValueError, TypeError):
        return data
