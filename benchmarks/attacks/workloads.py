"""The commands that are attacked: small, but with all that a command can have."""

from benchmarks.attacks.sandbox import Workload

_SHARED = (
    "--model=lenet",
    "--dataset=digits",
    "--replicates=1",
    "--rewind_iterations=0,40",
    "--training_iterations=120",
    "--levels=1",
)
# A trunk, branches, a mask, lines between copies, and an accuracy.
INSTABILITY = Workload(
    "instability",
    (*_SHARED, "--evaluation_examples=100", "--data_orders=2", "--subnetworks=imp"),
)
# Chains at two k; several accuracies.
LOTTERY = Workload(
    "lottery", (*_SHARED, "--evaluation_examples=100", "--subnetworks=imp")
)
# The same runs measured on other images: other results, for the same output folder.
OTHER = Workload(
    "lottery", (*_SHARED, "--evaluation_examples=150", "--subnetworks=imp")
)
