"""How the weights of a network are drawn before it is trained: by name.

None of the three papers names its initializer. Kaiming normal (He et al., 2015) and a
batch norm scale of one are what a recipe says unless it says otherwise. Two things
speak for a scale drawn uniformly: the later public code of LMC's and EP's authors
(open_lth) has it as its default, and with it the loss of ResNet-20 begins at 2.4, where
that of EP's Figure 3 begins at about 2.5; with ones it is 6 to 48. The choice is to be
made by a record (configs/telemetry/batch_norm_scale_ones.flags, and _uniform.flags);
until then the default stays.

Normal distributions are not truncated, as in PyTorch and unlike Keras's of that name.
"""

import dataclasses

# He et al. (2015): variance 2 / fan-in. Glorot and Bengio (2010): 2 / (fan-in +
# fan-out). `models.weights.initial_std` has the formulas.
KERNEL_INITIALIZERS = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform")
# "uniform" is in [0, 1).
BATCH_NORM_SCALES = ("ones", "uniform")


@dataclasses.dataclass(frozen=True)
class Initializers:
    """The distributions that weights are drawn from; what it does not name is constant.

    Attributes:
      kernel: of every kernel, one of `KERNEL_INITIALIZERS`.
      batch_norm_scale: of every gamma, one of `BATCH_NORM_SCALES`.
    """

    KIND = "initializers"

    # Keys leave these defaults out and so stand for them: they are never changed.
    kernel: str = "he_normal"
    batch_norm_scale: str = "ones"

    def __post_init__(self) -> None:
        """Raises ValueError for a name that is not known."""
        for name, known in (
            ("kernel", KERNEL_INITIALIZERS),
            ("batch_norm_scale", BATCH_NORM_SCALES),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(
                    f"{name}={value!r}, expected one of {', '.join(known)}."
                )
