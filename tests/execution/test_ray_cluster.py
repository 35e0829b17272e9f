"""Commands on a real Ray cluster: several nodes, as processes of this machine."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import tflottery
from tflottery.store.store import Store

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(tflottery.__file__).parents[1]
# On a busy machine a cluster takes half a minute to start, and a command a minute.
PATIENCE_SECONDS = 240
OPTIONS = {
    "model": "lenet",
    "dataset": "digits",
    "replicates": 1,
    "data_orders": 2,
    "rewind_iterations": "0,200",
    "training_iterations": 3000,
    "evaluation_examples": 200,
    "checkpoint_every": 1,
}
PROGRAM = """
from tflottery.execution import ray_pool

ray_pool.SILENT_SECONDS = 8.0

if __name__ == "__main__":
    from tflottery.studies import program

    program.run("tflottery.experiments.instability")
"""


def wait_for(condition):
    last = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < last, "it did not come about"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of a head, which has no room for workers, and no node yet."""
    from ray import cluster_utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # As nodes of their own have it, however busy this machine is.
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", os.fspath(ROOT))
        head = {"num_cpus": 0, "include_dashboard": False, **SMALL}
        # Ray handles it in the process that starts nodes.
        before = signal.getsignal(signal.SIGTERM)
        made = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        yield made
        made.shutdown()
        signal.signal(signal.SIGTERM, before)


SMALL = {"object_store_memory": 80 * 2**20}


@pytest.fixture
def launch(tmp_path):
    """Starts a command in a process group of its own."""
    program = tmp_path / "command.py"
    program.write_text(PROGRAM)
    started = []

    def start(*, store, output="output", **options):
        options = OPTIONS | options
        options |= {"store": tmp_path / store, "output_dir": tmp_path / output}
        command = [sys.executable, program]
        process = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in options.items())],
            env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def told(process):
    """Returns what a command printed, having waited for its end."""
    return process.communicate(timeout=PATIENCE_SECONDS)[1]


def csvs(folder):
    found = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    assert found
    return found


def processes_of(node):
    """Returns the processes of a node: Ray's own, the actors and their workers."""
    import psutil

    own = [one.process.pid for kind in node.all_processes.values() for one in kind]
    found = [psutil.Process(pid) for pid in own]
    return [one for top in found for one in top.children(recursive=True)] + found


def is_worker(process):
    """Returns whether a process is there, and that of a worker."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        # A zombie has no command line.
        return "multiprocessing.spawn" in " ".join(process.cmdline())
    return False


def trains(node, but=()):
    """Returns whether a worker on a node, none of `but`, has begun to compute."""
    found = [one for one in processes_of(node) if one.pid not in but]
    return any(one.num_threads() > 8 for one in filter(is_worker, found))


def num_checkpoints(root):
    return len(list(root.glob("checkpoints/*/*/manifest.json")))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The tables that workers of one machine make."""
    folder = tmp_path_factory.mktemp("local")
    options = OPTIONS | {"store": folder / "store", "output_dir": folder / "output"}
    subprocess.run(
        [sys.executable, "-m", "tflottery.experiments.instability"]
        + [f"--{name}={value}" for name, value in options.items()],
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
        check=True,
        capture_output=True,
    )
    return csvs(folder / "output")


def test_a_killed_node_and_a_frozen_one_change_no_bit(
    cluster, launch, expected, tmp_path
):
    """So with the command, which is killed first and begun again."""
    nodes = [cluster.add_node(num_cpus=1, **SMALL) for _ in range(2)]
    options = {"executor": "ray", "ray_address": cluster.address, "store": "store"}
    first = launch(**options)
    wait_for(lambda: num_checkpoints(tmp_path / "store") or first.poll() is not None)
    before = {one.pid for node in nodes for one in processes_of(node)}
    first.kill()
    first.wait()
    # Workers end with their command, and another takes its place at once.
    again = launch(**options)
    wait_for(
        lambda: all(trains(node, before) for node in nodes) or again.poll() is not None
    )
    # Before there is a third node, which would do the work of both meanwhile.
    frozen = processes_of(nodes[1])
    assert any(map(is_worker, frozen))
    for one in frozen:
        one.suspend()
    for one in processes_of(nodes[0]):
        one.kill()
    nodes += [cluster.add_node(num_cpus=1, **SMALL)]
    text = told(again)
    assert again.returncode == 0, text
    # Whether Ray tells of the killed node before the work is done is Ray's matter.
    for fact in ("has joined", "no sign of life for 8 s", "workers of Ray"):
        assert fact in text
    assert csvs(tmp_path / "output") == expected
    store = Store(tmp_path / "store")
    assert all(store.fault(one) is None for one in store.addresses())
    assert not (tmp_path / "store" / "damaged").exists()
    # What it is too late to publish does no harm.
    for one in frozen:
        one.resume()
    wait_for(lambda: not any(map(is_worker, frozen)))
    assert all(store.fault(one) is None for one in store.addresses())


def test_a_cluster_of_this_machine_is_begun_stopped_and_ended(
    launch, expected, tmp_path
):
    first = launch(store="store", executor="ray", ray_address="local", workers=2)
    wait_for(lambda: num_checkpoints(tmp_path / "store") or first.poll() is not None)
    # As from a closing terminal: to the whole group, Ray's processes among it.
    os.killpg(first.pid, signal.SIGTERM)
    text = told(first)
    assert first.returncode == os.EX_TEMPFAIL, text
    assert "To go on:" in text
    again = launch(store="store", executor="ray", ray_address="local", workers=2)
    assert "workers of Ray are ready" in told(again)
    assert csvs(tmp_path / "output") == expected


def test_where_no_cluster_answers_that_is_said_soon(launch):
    began = time.monotonic()
    process = launch(store="store", executor="ray", ray_address="127.0.0.1:9")
    text = told(process)
    assert process.returncode == 2
    assert "no Ray cluster that can be used at --ray_address='127.0.0.1:9'" in text
    print(f"refused after {time.monotonic() - began:.1f} s")
