"""What lies in a store, judged by the files alone: nothing of the package is asked."""

import hashlib
import json
import os
import pathlib

MANIFEST = "manifest.json"
# A manifest ends with the digest of all that stands before this.
_SEAL = b' "manifest_sha256": "'
# What rows are read from.
GOALS = ("accuracies/", "lines/")
# Folders of the store's own, or of what was set aside.
_NO_ARTIFACTS = ("damaged",)


def folders(store: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the folders that hold a manifest, by address, sorted."""
    found = {}
    # It passes over what a running command removes meanwhile.
    for folder, _, names in os.walk(store):
        path = pathlib.Path(folder)
        first = path.relative_to(store).parts[:1]
        if MANIFEST not in names or not first:
            continue
        if first[0] not in _NO_ARTIFACTS and not first[0].startswith("."):
            found[str(path.relative_to(store))] = path
    return dict(sorted(found.items()))


def files(folder: pathlib.Path) -> dict[str, dict[str, object]]:
    """Returns what an artifact's manifest promises: sizes and digests by name.

    Raises:
      ValueError: the manifest cannot be read.
    """
    return json.loads((folder / MANIFEST).read_bytes())["files"]


def fault(folder: pathlib.Path, address: str) -> str | None:
    """Returns what is wrong with an artifact, None if nothing is."""
    try:
        data = (folder / MANIFEST).read_bytes()
        manifest = json.loads(data)
        promised = manifest["files"]
        before = data.rpartition(_SEAL)[0]
        if hashlib.sha256(before).hexdigest() != manifest["manifest_sha256"]:
            return "has a manifest that was changed"
        if manifest["address"] != address:
            return f"is that of {manifest['address']}"
        for name, file in promised.items():
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if digest != file["sha256"]:
                return f"holds other bytes in {name}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({error!r})"
    return None


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """Returns the bytes of every file below a folder, by relative name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digests(folder: pathlib.Path) -> dict[str, str]:
    """Returns the sha256 of every file below a folder, by relative name."""
    return {
        name: hashlib.sha256(data).hexdigest()
        for name, data in contents(folder).items()
    }
