"""Which hosts train together: TF_CONFIG, Slurm's variables, and what is refused."""

import json

import pytest

from tflottery.core import training_hosts
from tflottery.core.training_hosts import Hosts

_TWO = ["a:2000", "b:2000"]
_SLURM = {
    "SLURM_PROCID": "1",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "gpu[01-02],login",
    "SLURM_JOB_ID": "12007",
    "SLURM_STEP_ID": "1",
}

_OF_SLURM = Hosts(("gpu01:20016", "gpu02:20016", "login:20016"), 1)


def config(cluster, kind="worker", index=0):
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (config({"worker": _TWO}, index=1), Hosts(("a:2000", "b:2000"), 1)),
        # A chief beside the workers comes first.
        (
            config({"chief": ["c:1"], "worker": _TWO}, "chief"),
            Hosts(("c:1", "a:2000", "b:2000"), 0),
        ),
        (
            config({"chief": ["c:1"], "worker": _TWO}, index=1),
            Hosts(("c:1", "a:2000", "b:2000"), 2),
        ),
        # As TensorFlow takes it, and shells write it.
        (config({"worker": _TWO}, index="1"), Hosts(("a:2000", "b:2000"), 1)),
        (
            config({"worker": ["[fd00::1]:2000", "[fe80::2%eth0]:2000"]}),
            Hosts(("[fd00::1]:2000", "[fe80::2%eth0]:2000"), 0),
        ),
        (_SLURM, _OF_SLURM),
        (_SLURM | {"SLURMD_NODENAME": "gpu02", "TF_CONFIG": " "}, _OF_SLURM),
        # TF_CONFIG is what somebody wrote on purpose.
        (_SLURM | config({"worker": _TWO}), Hosts(("a:2000", "b:2000"), 0)),
    ],
)
def test_the_environment_tells_of_hosts(variables, expected):
    assert training_hosts.told_by(variables) == expected


def test_the_commands_meet_beside_the_chiefs_port():
    hosts = Hosts(("[fd00::1]:2000", "other:3000"), 1)
    assert hosts.meeting_point == ("fd00::1", 2001)
    assert hosts.meeting_address == "[fd00::1]:2001"
    assert hosts.own == ("other", 3000)
    assert not hosts.is_chief
    assert hosts.name(1) == "worker 1 of 2 (other:3000)"


@pytest.mark.parametrize(
    ("variables", "fact"),
    [
        ({}, "nothing that says which hosts take part. Set TF_CONFIG .* or .* srun"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG cannot be read .JSONDecodeError"),
        ({"TF_CONFIG": "[]"}, "cannot be read .TypeError"),
        ({"TF_CONFIG": '{"cluster": {}}'}, "cannot be read .KeyError: 'task'"),
        (config({"worker": []}), "has to name workers"),
        (config({"worker": _TWO, "ps": ["c:1"]}), "names .'ps'., where only chief and"),
        (config({"chief": _TWO}, "chief"), "one chief at most"),
        (config({"worker": ["a", "b:1"]}), "worker 'a', which is no HOST:PORT"),
        (config({"worker": ["a:x"]}), "'a:x', which is no HOST:PORT"),
        (config({"worker": ["a:65535"]}), "from 1 to 65534"),
        (config({"worker": [7]}), "names the worker 7"),
        (config({"worker": ["a:1", "a:1"]}), "names a worker twice"),
        (config({"worker": ["a:1", "a:2"]}), "port 2 of the first one's host.*free"),
        (config({"worker": _TWO}, index=2), "'worker' number 2, .* names 2 of these"),
        (config({"worker": _TWO}, index=-1), "number -1"),
        (config({"worker": _TWO}, index=True), "number True"),
        (config({"worker": _TWO}, "chief"), "'chief' number 0, .* names 0 of these"),
        (config({"worker": ["grpc://a:1", "b:1"]}), "'grpc://a:1', which is no HOST"),
        (config({"worker": ["::1:20", "b:1"]}), "'::1:20', .* brackets around an IPv6"),
        (config({"worker": ["localhost:1", "b:1"]}), "names 'localhost' beside other"),
        (config({"worker": ["[::]:1", "b:1"]}), "names '::' beside other hosts"),
        (config({"worker": "a:1"}), "has to name hosts in lists"),
        (config({"worker": _TWO}, ["worker"]), r"is \['worker'\] number 0"),
        (config({"worker": _TWO}, index="x"), "number 'x'"),
        ({"SLURM_PROCID": "0"}, "lacks SLURM_STEP_NODELIST, .*, which srun sets"),
        (_SLURM | {"SLURM_STEP_NUM_TASKS": "6"}, "began 6 on 3. .*ntasks-per-node=1"),
        (_SLURM | {"SLURM_PROCID": "x"}, "SLURM_PROCID is 'x', where srun puts"),
        (_SLURM | {"SLURM_PROCID": "3"}, "takes task 3 to be on the node of that"),
        (_SLURM | {"SLURMD_NODENAME": "gpu01"}, "task 1 .* it is on 'gpu01'"),
        (_SLURM | {"SLURM_STEP_NODELIST": "a[3-1]"}, "'3-1' is a range of no numbers"),
        (_SLURM | {"SLURM_STEP_NODELIST": "a[1-2"}, "brackets do not pair"),
        (_SLURM | {"SLURM_STEP_NODELIST": "a[1-x]"}, "'1-x' is no range of numbers"),
    ],
)
def test_what_are_no_hosts_is_refused(variables, fact):
    with pytest.raises(ValueError, match=fact):
        training_hosts.told_by(variables)


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ("n1", ["n1"]),
        ("n1,n2", ["n1", "n2"]),
        ("n[08-10]", ["n08", "n09", "n10"]),
        ("n[1,3-4]-ib,m", ["n1-ib", "n3-ib", "n4-ib", "m"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)
def test_lists_of_nodes(nodes, hosts):
    assert training_hosts.expanded(nodes) == hosts
