"""What every perturbation is given: kernels, masks and initial weights that fit."""

from collections.abc import Mapping

import numpy as np

from tflottery.core import key_mismatch


def refuse_unfit(
    kernels: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    *,
    initial: Mapping[str, np.ndarray],
) -> None:
    """Raises ValueError unless all are of the same kernels, as the package has it.

    That masks are 0 and 1 is seen where they are applied (`pruning.masks.apply`).
    """
    if not kernels:
        raise ValueError("kernels is empty, expected at least one to perturb.")
    for name, arrays in (("masks", masks), ("initial", initial)):
        if differing := key_mismatch.differing(arrays, expected=kernels):
            raise ValueError(
                f"{name} is not for the kernels that are perturbed: {differing}."
            )
    for path, kernel in kernels.items():
        for name, arrays in (("masks", masks), ("initial", initial)):
            if arrays[path].shape != kernel.shape:
                raise ValueError(
                    f"{name}[{path!r}] has shape {arrays[path].shape}, expected its "
                    f"kernel's {kernel.shape}."
                )
        for name, arrays in (("kernels", kernels), ("initial", initial)):
            if arrays[path].dtype != np.float32:
                raise ValueError(
                    f"{name}[{path!r}] is {arrays[path].dtype}, expected float32."
                )
