"""What experiments cost, before anything is trained.

Called, `tflottery.plan("lottery", model="lenet")` is the plan of one experiment as
data, `studies.calls.plan`. As a program it tells what many commands cost together,
before there is a store, a data set or a GPU: `__main__` is the program, `commands`
reads which commands there are, `known_data` tells facts of networks by the published
sizes of data sets, `device_time` turns a plan into hours by kind of device,
`step_costs` adds up what the steps of several take, `joint_session` carries many
commands out as one.
"""

import sys
import types

from tflottery.studies import calls


class _Door(types.ModuleType):
    """This package, which answers to a call as well.

    A function of this name in `tflottery` would be gone as soon as anything imported
    the program: Python then puts the package in its place.
    """

    def __call__(self, experiment: str, /, **options: object) -> calls.ExperimentPlan:
        return calls.plan(experiment, **options)


sys.modules[__name__].__class__ = _Door
