"""How many weights masks keep in each kernel, so that a table need not read masks."""

import dataclasses
import json

from etils import epath

from tflottery.components import masking
from tflottery.components.component import Artifact, Component, Context
from tflottery.pruning import masks

COUNTS_FILE = "counts.json"


@dataclasses.dataclass(frozen=True)
class MaskCounts(Component):
    """The number of survivors of masks, kernel by kernel.

    Attributes:
      mask: holds the masks.
    """

    KIND = "mask_counts"
    VERSION = 1
    FOLDER = "mask_counts"
    FILES = (COUNTS_FILE,)

    mask: Artifact

    def execute(self, context: Context) -> None:
        """Writes counts.json: of each kernel's path, the weights that are kept."""
        found = masks.counts(masking.read(context, "mask"))
        (context.output / COUNTS_FILE).write_text(json.dumps(found))


def read(folder: epath.Path) -> dict[str, int]:
    """Returns what `MaskCounts.execute` wrote: survivors by kernel path."""
    return json.loads((folder / COUNTS_FILE).read_text())
