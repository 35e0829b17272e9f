"""Which signals stop a program, and with which exit code."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

import tflottery
from tflottery.core import stopping

ROOT = pathlib.Path(tflottery.__file__).parents[1]

pytestmark = pytest.mark.usefixtures("signals_as_before")


def test_the_exit_code_tells_a_user_from_a_scheduler():
    codes = {one.name: stopping.exit_code(one) for one in stopping.SIGNALS}
    assert codes == {"SIGINT": 130, "SIGTERM": 75, "SIGHUP": 75, "SIGUSR1": 75}


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_an_interrupt_knows_its_signal_and_is_handled_no_longer_than_asked(number):
    signal.signal(number, signal.SIG_IGN if number != signal.SIGHUP else lambda *_: 0)
    before = signal.getsignal(number)
    handled = stopping.handle(stopping.interrupt)
    with pytest.raises(KeyboardInterrupt) as raised:
        os.kill(os.getpid(), number)
    assert raised.value.args == (number,)
    stopping.restore(handled)
    assert signal.getsignal(number) == before


def test_a_hangup_that_is_ignored_stays_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopping.handle(stopping.interrupt)
    os.kill(os.getpid(), signal.SIGHUP)


def test_a_signal_at_the_very_end_leaves_the_exit_code_as_it_is():
    """As late as the interpreter's own end, when handlers are gone.

    A library's threads take the signals that the main thread does not want.
    """
    code = """
import ctypes, os, signal, sys, threading, time
from tflottery.core import stopping

# Without Python in it, as those of numerical libraries.
sleep = ctypes.CDLL(None).sleep
threading.Thread(target=sleep, args=(60,), daemon=True).start()
time.sleep(0.1)

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), hangup=signal.SIGHUP):
        kill(pid, hangup)

sys.late = Late()
stopping.handle(stopping.interrupt)
stopping.hold_back()
sys.exit(75)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode, done.stderr) == (75, b"")


def test_an_interrupt_in_an_exec_leaves_the_exit_code_as_it_is(tmp_path):
    """Dataclasses and their like make functions by `exec`; Python would note it there
    and end by SIGINT, though the interrupt was handled long since."""
    (tmp_path / "program.py").write_text("""
import sys
from tflottery.core import stopping

try:
    exec("raise KeyboardInterrupt(15)")
except KeyboardInterrupt:
    pass
stopping.hold_back()
sys.exit(75)
""")
    # As experiments are run; a script would end by the code.
    done = subprocess.run(
        [sys.executable, "-m", "program"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (75, b"")
