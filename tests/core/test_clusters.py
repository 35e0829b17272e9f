"""Which hosts train together: TF_CONFIG, Slurm's variables, and what is refused."""

import json

import pytest

from tflottery.core import clusters
from tflottery.core.clusters import Cluster

_TWO = ["a:2000", "b:2000"]
_SLURM = {
    "SLURM_PROCID": "1",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "gpu[01-02],login",
    "SLURM_JOB_ID": "12007",
    "SLURM_STEP_ID": "1",
}


def config(cluster, kind="worker", index=0):
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (config({"worker": _TWO}, index=1), Cluster(("a:2000", "b:2000"), 1)),
        # A chief beside the workers comes first.
        (
            config({"chief": ["c:1"], "worker": _TWO}, "chief"),
            Cluster(("c:1", "a:2000", "b:2000"), 0),
        ),
        (
            config({"chief": ["c:1"], "worker": _TWO}, index=1),
            Cluster(("c:1", "a:2000", "b:2000"), 2),
        ),
        (_SLURM, Cluster(("gpu01:20016", "gpu02:20016", "login:20016"), 1)),
        # TF_CONFIG is what somebody wrote on purpose.
        (_SLURM | config({"worker": _TWO}), Cluster(("a:2000", "b:2000"), 0)),
    ],
)
def test_the_environment_tells_of_a_cluster(variables, expected):
    assert clusters.cluster_of(variables) == expected


def test_the_commands_meet_beside_the_chiefs_port():
    cluster = Cluster(("chief:2000", "other:3000"), 1)
    assert cluster.meeting_point == ("chief", 2001)
    assert cluster.own_port == 3000
    assert not cluster.is_chief
    assert cluster.name(1) == "worker 1 of 2 (other:3000)"


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
        ({"SLURM_PROCID": "0"}, "lacks SLURM_STEP_NODELIST, .*, which srun sets"),
        (_SLURM | {"SLURM_STEP_NUM_TASKS": "6"}, "began 6 on 3. .*ntasks-per-node=1"),
        (_SLURM | {"SLURM_STEP_NODELIST": "a[1-2"}, "brackets do not pair"),
        (_SLURM | {"SLURM_STEP_NODELIST": "a[1-x]"}, "'1-x' is no range of numbers"),
    ],
)
def test_what_is_no_cluster_is_refused(variables, fact):
    with pytest.raises(ValueError, match=fact):
        clusters.cluster_of(variables)


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
    assert clusters.expanded(nodes) == hosts
