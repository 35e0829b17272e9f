"""Do tickets of other data sets win? (Finding Winning Tickets, Figure 5 (b), Table 8)

IMP finds tickets on the labels of the data set and of others (--ticket_datasets), whose
images are brought to its size and channels. Each is then trained on the data set
proper, with a head of its own, beside random pruning and the unpruned network. Accuracy
against density, a line a data set that found the tickets.

The paper does not say of what size images were where tickets went from CIFAR-10 to
ImageNet: here the network is one, whatever it is shown.
"""

import dataclasses
from collections.abc import Sequence

from tflottery.studies import config as shared
from tflottery.studies import program
from tflottery.studies.config import option
from tflottery.studies.search_options import Search, TicketConfig
from tflottery.studies.ticket_searches import (
    TABLES,
    answer,
    figure,
    plan,
    rows,
    subject,
)

__all__ = ["TABLES", "Config", "answer", "figure", "plan", "rows", "subject"]

# Of each data set: whose tickets it is given, unless others are named.
_DATASETS = {
    "imagenet2012": ("places365_small", "cifar10"),
    "cifar10": ("mnist",),
    "cifar10_16x16": ("mnist",),
    "mnist": ("cifar10",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TicketConfig):
    """Options of the experiment."""

    ticket_datasets: tuple[str, ...] | None = option(
        None,
        "data sets on which tickets are found, beside the data set proper; None: "
        "places365_small and cifar10 for imagenet2012, mnist and cifar10 for each "
        "other",
    )

    @classmethod
    def tiny(cls) -> "Config":
        """Returns a Config that a test runs in seconds."""
        # No other data set comes with the package.
        return dataclasses.replace(super().tiny(), ticket_datasets=("digits",))

    def validate(self) -> None:
        """Raises ValueError for options that are wrong with any data."""
        shared.validate_names("ticket_datasets", self._datasets(), example="mnist")
        super().validate()

    def searches(self) -> Sequence[Search]:
        """Returns a search on the data set proper, and one on each of the others."""
        proper = self.setting.dataset
        shape = self.shaped_like or proper
        others = [other for other in self._datasets() if other != proper]
        return [
            self.search(proper),
            *(self.search(one, dataset=one, shaped_like=shape) for one in others),
        ]

    def _datasets(self) -> tuple[str, ...]:
        """Returns the data sets on which tickets are found.

        Raises:
          ValueError: none are named, and none are known for the data set proper.
        """
        proper = self.setting.dataset
        if self.ticket_datasets is None and proper not in _DATASETS:
            raise ValueError(
                f"Whose tickets {proper!r} is to be given, --ticket_datasets has to "
                "name: data sets, such as mnist,cifar10."
            )
        if self.ticket_datasets is None:
            return _DATASETS[proper]
        return self.ticket_datasets


if __name__ == "__main__":
    program.run(__spec__.name)
