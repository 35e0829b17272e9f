"""An output folder is looked at when a command begins, and never again."""

import contextlib

from tflottery.studies.output import Output

check = Output._check


def check_once(self):
    if hasattr(self, "checked"):
        return {}
    self.checked = True
    return check(self)


def claim(self):
    self.folder.mkdir(parents=True, exist_ok=True)
    self._write_config(complete=False)


Output._check, Output.claim = check_once, claim
Output._alone = lambda self: contextlib.nullcontext()
