"""The pool of a Ray cluster without one: what it makes of silence, deaths and nodes.

Ray is played by objects of this process, whose answers tests give or withhold. Real
clusters have their tests in test_ray_cluster.py.
"""

import itertools
import os
import pickle
import threading
import types

import pytest

from tflottery.core import installed_code
from tflottery.core.environment import SetupError
from tflottery.core.recipes import Setting
from tflottery.execution import (
    ray_actors,
    ray_calls,
    ray_cluster,
    ray_nodes,
    ray_pool,
    ray_worker,
)
from tflottery.execution.jobs import Inspect, Make
from tflottery.execution.ray_cluster import Demand
from tflottery.execution.ray_pool import RayPool
from tflottery.execution.ray_worker import Node
from tflottery.execution.worker import Message
from tflottery.store.errors import StoreError
from tflottery.training.distribution import Placement

CODE = installed_code.digest("tflottery")
QUESTION = Inspect("lenet", Setting("digits"))


class Clock:
    """Time that passes while the pool waits."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Actor:
    """A worker of the cluster; tests say what it answers, or that it does not."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.host, self.boot, self.drafts, self.fault = "a", "1", "a-1", None
        self.code = CODE
        self.changes, self.jobs, self.stops = {}, [], []
        # Messages for the next calls; whether it answers any, and how it died.
        self.messages, self.is_silent, self.death = [], False, None
        self.node = types.SimpleNamespace(remote=self._node)
        self.exchange = types.SimpleNamespace(remote=self._exchange)
        self.close = types.SimpleNamespace(remote=lambda: self._call(lambda: None))

    def _call(self, answer):
        call = next(self.cluster.numbers)
        self.cluster.calls[call] = (self, answer)
        return call

    def _node(self, *, working):
        environment = ray_worker.environment() | self.changes
        fault = self.fault if working else None
        host, boot, drafts = self.host, self.boot, self.drafts
        node = Node(host, host, boot, environment, self.code, fault, drafts)
        return self._call(lambda: node)

    def _exchange(self, job, *, stopping, seconds):
        self.stops.append(stopping)
        if job is not None:
            self.jobs.append(pickle.loads(job))

        def answer():
            told, self.messages = self.messages, []
            return told

        return self._call(answer)


class Cluster:
    """What the pool uses of the module `ray`."""

    class RayError(Exception):
        pass

    def __init__(self, clock):
        self.clock, self.numbers = clock, itertools.count()
        self.exceptions = types.SimpleNamespace(RayError=self.RayError)
        self.calls, self.actors, self.killed, self.options = {}, [], [], []
        self.rooms = {"a": 1.0, "b": 1.0}
        # What is done to each new actor.
        self.prepare = lambda actor: None

    def remote(self, **options):
        assert options["max_restarts"] == options["max_task_retries"] == 0

        def actor(settings, program):
            made = Actor(self, len(self.actors))
            self.actors.append(made)
            self.prepare(made)
            return made

        def kept_from(**options):
            self.options.append(options)
            return types.SimpleNamespace(remote=actor)

        return lambda kind: types.SimpleNamespace(options=kept_from)

    def wait(self, calls, *, timeout, num_returns=1):
        del num_returns
        ready = [one for one in calls if not self.calls[one][0].is_silent]
        # A call that has nothing to tell takes its time.
        self.clock.now += max(timeout, 0.01)
        return ready, [one for one in calls if one not in ready]

    def get(self, call):
        actor, answer = self.calls.pop(call)
        if actor.death:
            raise self.RayError(actor.death)
        return answer()

    def kill(self, actor, *, no_restart):
        assert no_restart
        self.killed.append(actor)

    def nodes(self):
        return [
            {
                "NodeID": name,
                "Alive": True,
                "NodeManagerHostname": name,
                "NodeManagerAddress": f"10.0.0.{number}",
                "Resources": room if isinstance(room, dict) else {"CPU": room},
            }
            for number, (name, room) in enumerate(self.rooms.items())
        ]

    def available_resources(self):
        return {"CPU": 0.0}


@pytest.fixture
def cluster(monkeypatch):
    # Which this process has, as tests compute on its processor.
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    clock = Clock()
    monkeypatch.setattr(ray_pool, "time", clock)
    made = Cluster(clock)
    monkeypatch.setattr(ray_cluster, "library", lambda: made)
    return made


@pytest.fixture
def pool(cluster, settings, store):
    with store.claimed(pytest.fail), RayPool(settings, Demand()) as made:
        yield made


def listen(pool, seconds=0.0):
    """Returns what a pool tells within a time, and in the next look at all."""
    clock, told = ray_pool.time, []
    end = clock.now + seconds
    while not told or clock.now < end:
        told += [(number, one.kind, one.value) for number, one in pool.messages(0.25)]
        if clock.now >= end:
            break
    return told


def test_workers_are_as_many_as_there_is_room_for(cluster, pool):
    assert (pool.size, pool.idle(), pool.is_busy) == (2, [], False)
    assert listen(pool) == []
    assert pool.idle() == [0, 1]
    # Nodes that come later are used, and what goes is told.
    cluster.rooms |= {"c": 3.0}
    told = listen(pool, ray_pool._LOOK_SECONDS + 1)
    assert told == [(0, "note", "Node c (10.0.0.2) has joined the Ray cluster.")]
    assert pool.idle() == [0, 1, 2, 3, 4]
    del cluster.rooms["a"]
    [(_, _, text)] = listen(pool, ray_pool._LOOK_SECONDS + 1)
    assert text == "Node a (10.0.0.0) has left the Ray cluster."


def test_a_job_goes_there_and_messages_come_back(cluster, pool, toys, store):
    listen(pool)
    pool.submit(1, Make(toys.Number(1)))
    assert (pool.idle(), pool.is_busy) == ([0], True)
    assert cluster.actors[1].jobs == [Make(toys.Number(1))]
    # Locked here, where other commands of this host see it.
    assert store.lock(toys.Number(1).address) is None
    pool.stop()
    cluster.actors[1].messages = [Message("progress", 0.5)]
    told = listen(pool, 1)
    assert told[0][2] == "2 workers of Ray are ready: a (2)."
    assert told[1:] == [(1, "progress", 0.5)]
    assert cluster.actors[1].stops[-1]
    cluster.actors[1].messages = [Message("ended", "stopped")]
    assert listen(pool, 1) == [(1, "ended", "stopped")]
    with store.lock(toys.Number(1).address):
        pool.submit(0, Make(toys.Number(1)))
        assert listen(pool)[-1] == (0, "ended", "busy")
    assert (pool.idle(), cluster.actors[0].jobs) == ([0, 1], [])


def test_a_question_waits_for_the_first_worker(cluster, settings):
    cluster.prepare = lambda actor: setattr(actor, "is_silent", actor.number == 0)
    cluster.rooms = {"a": 1.0}
    with RayPool(settings, Demand()) as pool:
        pool.submit(0, QUESTION)
        [(_, kind, text)] = listen(pool, 20)
        assert kind == "note" and "takes 1 CPU; free are 0 CPU" in text
        cluster.actors[0].is_silent = False
        listen(pool, 1)
        assert cluster.actors[0].jobs == [QUESTION]


def test_a_dry_run_takes_one_worker_of_many(cluster, settings):
    cluster.rooms = {"a": 400.0}
    with RayPool(settings, Demand(), is_only_asked=True) as pool:
        pool.submit(0, QUESTION)
        listen(pool, 10)
        assert (pool.size, len(cluster.actors)) == (400, 1)


def test_a_million_workers_are_not_asked_for_at_once(cluster, settings):
    cluster.prepare = lambda actor: setattr(actor, "is_silent", actor.number >= 5)
    with RayPool(settings, Demand(), num_workers=10**6) as pool:
        listen(pool, 10)
        assert (len(pool.idle()), len(cluster.actors)) == (5, 105)


def test_who_is_silent_is_dead_and_another_takes_its_place(cluster, pool, toys, store):
    listen(pool)
    job = Make(toys.Number(1))
    pool.submit(0, job)
    listen(pool, 20)
    cluster.actors[0].is_silent = True
    told = listen(pool, ray_pool.SILENT_SECONDS + 2)
    assert [(number, kind) for number, kind, _ in told] == [(0, "note"), (0, "lost")]
    assert "no sign of life for 30 s" in told[0][2] and "'a'" in told[0][2]
    assert cluster.killed == [cluster.actors[0]]
    # Its job is free for others at once, and what it tells later is not heard.
    pool.submit(1, job)
    assert cluster.actors[1].jobs == [job]
    cluster.actors[0].is_silent = False
    cluster.actors[0].messages = [Message("ended", "finished")]
    listen(pool, 1)
    assert pool.idle() == [0] and cluster.actors[2].jobs == []


def test_who_did_not_listen_calls_nobody_silent(cluster, pool, toys):
    listen(pool)
    pool.submit(0, Make(toys.Number(1)))
    listen(pool, 1)
    # As when this process was frozen, or planned for minutes.
    cluster.clock.now += 1000
    assert listen(pool, 5) == []
    assert cluster.killed == []


def test_a_death_that_ray_tells_of_is_one(cluster, pool, toys):
    listen(pool)
    pool.submit(1, Make(toys.Number(1)))
    listen(pool)
    cluster.actors[1].death = "The actor died.\n\n  its node was lost"
    told = listen(pool, 1)
    assert told == [(1, "lost", "The actor died. its node was lost on host 'a'.")]
    listen(pool, 1)
    assert pool.idle() == [0, 1]


def test_nodes_that_cannot_work_are_refused_by_name(cluster, settings, store, toys):
    def fail(actor):
        actor.host = "ab"[actor.number % 2]
        actor.fault = "it is elsewhere" if actor.host == "b" else None

    with store.claimed(pytest.fail), RayPool(settings, Demand()) as pool:
        listen(pool)
        for actor in cluster.actors:
            fail(actor)
        # Where workers are was told before.
        for number, one in enumerate(pool._workers.values()):
            one.node = Node("ab"[number], "ab"[number], "1", {}, CODE)
        with pytest.raises(
            SetupError, match="this node .*: 'b' .it is elsewhere.*--st"
        ):
            pool.submit(0, Make(toys.Number(1)))
    assert store.addresses() == []


def test_a_late_node_that_does_not_see_the_store_is_left_out(cluster, pool, toys):
    listen(pool)
    pool.submit(0, Make(toys.Number(1)))
    listen(pool)
    cluster.prepare = lambda actor: vars(actor).update(host="c", fault="no such folder")
    cluster.rooms |= {"c": 1.0}
    told = [text for _, _, text in listen(pool, 500) if "cannot be used" in text]
    assert told == ["Node 'c' of the Ray cluster cannot be used: no such folder."]
    assert (pool.idle(), pool.size, len(cluster.actors)) == ([1], 2, 3)
    # It is asked again now and then, not all the time; others keep away from it.
    cluster.prepare = lambda actor: setattr(actor, "host", "a")
    cluster.actors[1].death = "its node was lost"
    listen(pool, 20)
    assert cluster.options[-1] == {"label_selector": {"ray.io/node-id": "!in(c)"}}
    cluster.prepare = lambda actor: setattr(actor, "host", "c")
    listen(pool, 100)
    assert pool.size == 3 and cluster.options[-1] == {}


def test_who_does_not_tell_whether_it_sees_the_store_gets_no_job(
    cluster, settings, store, toys
):
    cluster.prepare = lambda actor: setattr(actor, "host", "ab"[actor.number])
    with store.claimed(pytest.fail), RayPool(settings, Demand()) as pool:
        listen(pool)
        frozen = cluster.actors[1]
        frozen.is_silent = True
        cluster.prepare = lambda actor: setattr(actor, "host", "b")
        pool.submit(0, Make(toys.Number(1)))
        assert (pool.idle(), cluster.killed) == ([], [frozen])
        # Another is asked there instead.
        listen(pool, 3)
        assert pool.idle() == [1]


def test_a_head_that_does_not_answer_holds_nothing_up(cluster, pool, toys, monkeypatch):
    listen(pool)
    pool.submit(0, Make(toys.Number(1)))
    listen(pool)
    monkeypatch.setattr(ray_nodes, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ray_actors, "_HEAD_SECONDS", 0.01)
    monkeypatch.setattr(ray_calls, "_is_cut_off", [])
    monkeypatch.setattr(ray_cluster, "_connected", [True])
    monkeypatch.setattr(ray_cluster, "_SHUTDOWN_SECONDS", 0.01)
    answers = threading.Event()
    nodes, cluster.nodes = cluster.nodes, lambda: answers.wait() and nodes()
    cluster.kill = lambda actor, *, no_restart: answers.wait()
    cluster.shutdown = answers.wait
    cluster.actors[0].messages = [Message("progress", 0.5)]
    told = listen(pool, ray_nodes._SILENT_SECONDS + 10)
    assert told[0] == (0, "progress", 0.5)
    [(_, _, text)] = told[1:]
    assert "head of the Ray cluster has not answered for 30 s" in text
    # The end of this process would wait for it.
    pool.close()
    assert ray_calls._is_cut_off
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    ray_calls.end_if_cut_off(75)
    answers.set()
    assert codes == [75]


def test_a_head_that_answers_again_tells_what_has_changed(cluster, pool, monkeypatch):
    listen(pool)
    monkeypatch.setattr(ray_nodes, "_LOOK_SECONDS", 0.01)
    answers = threading.Event()
    nodes, cluster.nodes = cluster.nodes, lambda: answers.wait() and nodes()
    assert len(listen(pool, ray_nodes._SILENT_SECONDS + 10)) == 1
    monkeypatch.setattr(ray_nodes, "_LOOK_SECONDS", 10.0)
    cluster.rooms |= {"c": 1.0}
    answers.set()
    told = [text for _, _, text in listen(pool, ray_pool._LOOK_SECONDS + 1)]
    assert told == [
        "The head of the Ray cluster answers again.",
        "Node c (10.0.0.2) has joined the Ray cluster.",
    ]


def test_what_ray_ends_for_want_of_memory_is_a_matter_of_the_job(cluster, pool, toys):
    class OutOfMemoryError(cluster.RayError):
        pass

    listen(pool)
    pool.submit(1, Make(toys.Number(1)))
    listen(pool)
    cluster.actors[1].death, cluster.RayError = "Too much.", OutOfMemoryError
    [(number, kind, _)] = listen(pool, 1)
    assert (number, kind) == (1, "died")


def test_who_comes_up_as_work_begins_is_asked_if_it_sees_the_store(
    cluster, settings, store, toys
):
    def prepare(actor):
        if actor.number:
            vars(actor).update(host="b", is_silent=True, fault="no such folder")

    cluster.prepare = prepare
    with store.claimed(pytest.fail), RayPool(settings, Demand()) as pool:
        listen(pool)
        pool.submit(0, Make(toys.Number(1)))
        # It was asked before, and answers late.
        cluster.actors[1].is_silent = False
        told = [text for _, _, text in listen(pool, 3)]
        assert "Node 'b' of the Ray cluster cannot be used: no such folder." in told
        assert (pool.idle(), cluster.killed) == ([], [cluster.actors[1]])


def test_a_node_that_cannot_train_any_more_is_left_out(cluster, settings, store, toys):
    cluster.prepare = lambda actor: setattr(actor, "host", "ab"[actor.number % 2])
    cluster.rooms = {"a": 2.0, "b": 2.0}
    with store.claimed(pytest.fail), RayPool(settings, Demand()) as pool:
        listen(pool)
        for number in (0, 1):
            pool.submit(number, Make(toys.Number(number)))
        listen(pool, 1)
        cluster.actors[1].messages = [Message("unfit", "No GPU (on host 'b')")]
        told = listen(pool)
        assert told == [
            (0, "note", "Node 'b' is given no more work: No GPU (on host 'b')"),
            (1, "lost", "it cannot train on host 'b'."),
        ]
        # Nor is the one that had nothing to do there, and none is started there.
        assert listen(pool, 900) == []
        assert pool.idle() == [2] and len(cluster.actors) == 4
        # One that was on its way is sent off.
        cluster.prepare = lambda actor: setattr(actor, "host", "b")
        cluster.rooms |= {"c": 1.0}
        told = [text for _, _, text in listen(pool, 9)]
        assert told[1:] == [
            "Node 'b' of the Ray cluster cannot be used: No GPU (on host 'b')."
        ]
        # Nobody is left.
        cluster.actors[0].messages = [Message("unfit", "No GPU (on host 'a')")]
        with pytest.raises(SetupError, match="No GPU .on host 'a'."):
            listen(pool, 1)


def test_a_store_that_refuses_a_lock_is_told_like_what_a_worker_finds(
    cluster, pool, toys, monkeypatch
):
    def refuse(_):
        raise StoreError("it is claimed by host b")

    listen(pool)
    monkeypatch.setattr(pool._store, "lock", refuse)
    pool.submit(0, Make(toys.Number(1)))
    assert listen(pool)[-1] == (0, "unusable", "it is claimed by host b")
    assert (pool.idle(), cluster.actors[0].jobs) == ([0, 1], [])


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"changes": {"packages": {"keras": "0"}}}, "its packages is {'keras': '0'}"),
        ({"code": "0"}, "its code of tflottery is not that of the command"),
        ({"boot": "2"}, "another node has the same host name"),
    ],
    ids=["packages", "codes", "names"],
)
def test_nodes_that_do_not_fit_one_another_are_refused(
    cluster, settings, changes, fact
):
    def prepare(actor):
        if actor.number:
            vars(actor).update(changes)

    cluster.prepare = prepare
    with RayPool(settings, Demand()) as pool:
        with pytest.raises(SetupError, match=fact):
            listen(pool, 5)


PLACES = [
    ({"CPU": 4.0}, "none", Placement(), Demand()),
    ({"CPU": 4.0, "GPU": 2.0}, "none", Placement(device="gpu"), Demand(gpus=1)),
    (
        {"CPU": 4.0, "GPU": 2.0},
        "mirrored",
        Placement("mirrored", device="gpu", num_devices=2),
        Demand(gpus=2),
    ),
    ({"CPU": 4.0, "GPU": 1.0}, "mirrored", Placement(device="gpu"), Demand(gpus=1)),
    (
        {"CPU": 4.0, "TPU": 8.0},
        "tpu",
        Placement("tpu", device="tpu", num_devices=0),
        Demand(tpus=8),
    ),
]


@pytest.mark.parametrize(("resources", "distribute", "placement", "demand"), PLACES)
def test_where_workers_train_is_what_nodes_have(
    cluster, resources, distribute, placement, demand
):
    cluster.rooms = {"a": {"CPU": 2.0}, "b": resources}
    found = ray_cluster.placement(distribute, threads=1)
    assert (found, found.is_remote) == (placement, True)
    assert ray_cluster.demand(found) == demand


def test_what_no_node_has_is_refused(cluster, monkeypatch):
    with pytest.raises(SetupError, match="no node of the Ray cluster tells of a TPU"):
        ray_cluster.placement("tpu", threads=1)
    cluster.rooms = {"a": {"CPU": 2.0, "GPU": 2.0}, "b": {"CPU": 2.0, "GPU": 4.0}}
    with pytest.raises(ValueError, match="have 2, 4: results would depend"):
        ray_cluster.placement("mirrored", threads=1)
    with pytest.raises(ValueError, match="--threads=2 divides computation on a CPU"):
        ray_cluster.placement("none", threads=2)
    # Processors are asked for as on one machine.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert ray_cluster.placement("none", threads=2) == Placement(threads=2)


def test_hosts_of_one_name_are_told_apart_by_their_ids(cluster, settings):
    def prepare(actor):
        number = str(actor.number)
        vars(actor).update(boot=number, drafts=f"a-{number}")

    cluster.prepare = prepare
    with RayPool(settings, Demand()) as pool:
        listen(pool, 5)
        assert pool.idle() == [0, 1]


def test_a_cluster_without_room_is_refused(cluster, settings):
    with pytest.raises(SetupError, match="No node .* room for a worker, .* 3 CPU"):
        RayPool(settings, Demand(cpus=3))
    assert RayPool(settings, Demand(cpus=3), num_workers=2).size == 2


def test_what_a_node_has_room_for():
    host = {"CPU": 8.0, "GPU": 4.0, "TPU": 8.0, "memory": 1e9}
    assert Demand().num_workers(host) == 8
    assert Demand(cpus=3).num_workers(host) == 2
    assert Demand(gpus=1).num_workers(host) == 4
    assert Demand(tpus=8).num_workers(host) == 1
    assert Demand(gpus=1).num_workers({"CPU": 8.0}) == 0


def test_an_actor_ends_a_worker_process_that_is_frozen(settings):
    actor, ended = ray_worker.RayWorker(settings, ray_worker.this_program()), []
    actor._pool = types.SimpleNamespace(
        messages=lambda seconds: [(0, Message("progress", 0.5))],
        end_silent=lambda number, *, seconds: ended.append((number, seconds)),
    )
    told = actor.exchange(None, stopping=False, seconds=0.0)
    assert told == [Message("progress", 0.5)]
    assert ended == [(0, ray_worker.SILENT_SECONDS)]
