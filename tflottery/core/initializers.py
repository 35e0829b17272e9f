"""How the weights of a network are drawn before it is trained: by name.

None of the three papers names its initializer. Kaiming normal (He et al., 2015) and a
batch norm scale of one are what a recipe says unless it says otherwise. Those of LMC
and EP draw the scale uniformly: the later public code of their authors (open_lth) has
it as its default, and with it the loss of ResNet-20 begins at 2.31 to 2.43, where that
of EP's Figure 3 begins at about 2.5; with ones at 14 to 150. At iteration 2,000 the
test errors of the two differ by less than their deviation. Fewer signs change in the
first ten iterations than the paper has, which speaks for ones
(experiments/early_phase/resnet20_batch_norm_scale). The paper on limited supervision is
by other authors; its recipes, and those of our own networks, keep ones.

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
