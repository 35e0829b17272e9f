"""Locks exclude, are freed, and die with their process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from tflottery.store import locks

HOLD = """
import sys, time
from tflottery.store import locks
lock = locks.acquire(sys.argv[1])
print("held" if lock else "refused", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "locks" / "run.lock")


@pytest.fixture
def elsewhere():
    """Starts processes that try to take a lock and hold it until they are killed."""
    processes = []

    def start(path: str) -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_second_acquire_is_refused_until_release(path):
    lock = locks.acquire(path)
    assert locks.acquire(path) is None
    lock.release()
    lock.release()
    again = locks.acquire(path)
    assert again is not None
    again.release()


def test_with_block_releases_also_on_an_exception(path):
    with pytest.raises(RuntimeError), locks.acquire(path):
        assert locks.acquire(path) is None
        raise RuntimeError
    with locks.acquire(path):
        pass
    assert not os.path.exists(path)


def test_excludes_another_process_and_is_freed_by_sigkill(path, elsewhere):
    process, answer = elsewhere(path)
    assert answer == "held"
    assert locks.acquire(path) is None
    assert locks.holder(path).startswith(f"process {process.pid} on ")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locks.acquire(path):
        _, answer = elsewhere(path)
        assert answer == "refused"


def test_a_forked_child_does_not_keep_the_lock(path):
    lock = locks.acquire(path)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
    try:
        lock.release()
        again = locks.acquire(path)
        assert again is not None
        again.release()
    finally:
        child.kill()
        child.join()


def test_a_forked_child_cannot_release_its_parents_lock(path):
    with locks.acquire(path) as lock:
        context = multiprocessing.get_context("fork")
        child = context.Process(target=lock.release)
        child.start()
        child.join()
        assert child.exitcode == 0
        assert locks.acquire(path) is None


def test_holder_of_a_free_lock_is_unknown(path):
    assert locks.holder(path) is None


COUNT = """
import sys
from tflottery.store import locks
done = 0
while done < 100:
    lock = locks.acquire(sys.argv[1])
    if lock is None:
        continue
    with lock, open(sys.argv[2], "r+") as file:
        value = int(file.read())
        file.seek(0)
        file.write(str(value + 1))
    done += 1
"""


def test_only_one_of_three_processes_is_ever_inside(path, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT, path, str(counter)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert counter.read_text() == "300"


def test_a_file_system_without_locks_is_named(path, monkeypatch):
    import errno
    import fcntl

    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="has no locks.*flock.*TFLOTTERY_STORE"):
        locks.acquire(path)
