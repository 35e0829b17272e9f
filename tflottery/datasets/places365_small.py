"""Places365: 1,803,460 and 36,500 photographs of 365 kinds of places.

The small form, whose images have 256 x 256 pixels. There are too many of them for
memory: they stay in their files, and are shown as those of ImageNet. Test labels are
kept secret: what is called test error is that of the validation images.
"""

import functools
import pathlib

from tflottery.core.registry import DATASETS
from tflottery.datasets import imagenet2012, tfds_source
from tflottery.datasets.arrays import RawSource

_EDITION = functools.partial(tfds_source.edition, "places365_small")


@DATASETS.register(
    "places365_small",
    adapt_recipe=imagenet2012.adapted,
    version=_EDITION,
    keeps_size=True,
    stays_in_files=True,
)
def places365_small(
    *, data_dir: str | None, minimum_image_size: int, working_dir: pathlib.Path
) -> RawSource:
    """Returns where the images are, as tensorflow-datasets prepared them.

    Args:
      data_dir: folder of prepared tensorflow-datasets; None is their default.
      minimum_image_size: not used; what is shown of an image is made as large as asked.
      working_dir: where it is written to.
    """
    return tfds_source.read(
        "places365_small", data_dir=data_dir, working_dir=working_dir
    )
