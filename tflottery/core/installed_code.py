"""What code is installed here, so that machines can tell whether theirs is the same."""

import hashlib
import pathlib
import sys


def digest(name: str) -> str:
    """Returns a digest of the files of a module or, with all below it, a package.

    As they are now: what was imported may be older.

    Args:
      name: of one that is imported.
    """
    module = sys.modules[name]
    files = [pathlib.Path(module.__file__ or "")]
    for folder in map(pathlib.Path, getattr(module, "__path__", ())):
        files += sorted(folder.rglob("*.py"))
    digest = hashlib.sha256()
    for file in filter(pathlib.Path.is_file, files):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
