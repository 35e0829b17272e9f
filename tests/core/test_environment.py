"""The environment of processes: nothing of the user's decides bits."""

import os
import threading

import pytest

from tflottery.core import environment


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """An environment of this test's own, with little in it."""
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "TFLOTTERY_STORE": "/store"})


@pytest.mark.parametrize("name", ["TF_ENABLE_ONEDNN_OPTS", "OMP_NUM_THREADS"])
def test_what_decides_bits_is_set_whatever_the_user_set(name):
    os.environ[name] = "7"
    assert environment.fix() == [name]
    assert os.environ[name] == "1"
    assert environment.fix() == []


@pytest.mark.parametrize(
    "name",
    [
        "XLA_FLAGS",
        "TF_XLA_FLAGS",
        "TF_CONFIG",
        "ONEDNN_MAX_CPU_ISA",
        "DNNL_DEFAULT_FPMATH_MODE",
        "CUDNN_ERRATA_JSON_FILE",
        "CUBLAS_WORKSPACE_CONFIG",
        "KERAS_MAX_EPOCHS",
        "KMP_AFFINITY",
        "OPENBLAS_VERBOSE",
        "NPY_DISABLE_CPU_FEATURES",
        "MPLBACKEND",
        "PYTHONWARNINGS",
    ],
)
def test_what_decides_bits_or_start_is_removed(name):
    os.environ[name] = "something"
    assert name not in environment.cleaned()
    assert os.environ[name] == "something"
    assert environment.fix() == [name]
    assert name not in os.environ


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "LD_LIBRARY_PATH",
        "TFLOTTERY_STORE",
        "TFDS_DATA_DIR",
        "TPU_NAME",
        "CUDA_VISIBLE_DEVICES",
        "CUDA_HOME",
        "CUDNN_PATH",
        "NCCL_SOCKET_IFNAME",
        "TF_CPP_MIN_LOG_LEVEL",
        "TF_CLI_CONFIG_FILE",
        "ONEDNN_VERBOSE",
        "MPLCONFIGDIR",
        "MALLOC_TOP_PAD_",
        "PYTHONHASHSEED",
        "OPENBLAS_CORETYPE",
        "TF_CLI_CONFIG_FILE",
    ],
)
def test_the_rest_is_left_to_the_user(name):
    os.environ[name] = "something"
    assert environment.fix() == []
    assert os.environ[name] == "something"


def test_defaults_are_set_where_the_user_has_not():
    environment.fix()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert os.environ["MALLOC_TOP_PAD_"] == "268435456"


def test_no_file_of_keras_is_read():
    """Below a device there is none, and none can be made there."""
    home = environment.cleaned()["KERAS_HOME"]
    with pytest.raises(OSError):
        os.makedirs(home)


def test_for_other_processes_it_is_put_back():
    os.environ |= {"TF_ENABLE_ONEDNN_OPTS": "0", "XLA_FLAGS": "--some", "MY": "own"}
    before = dict(os.environ)
    with environment.fixed({"CUDA_VISIBLE_DEVICES": "3", "XLA_FLAGS": "--ours"}):
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        assert os.environ["XLA_FLAGS"] == "--ours"
        assert os.environ["MY"] == "own"
    assert os.environ == before


def test_threads_that_start_processes_do_not_put_back_one_anothers_environment():
    before = dict(os.environ)
    entered, left = threading.Event(), threading.Event()

    def start():
        entered.wait()
        with environment.fixed({"XLA_FLAGS": "--of the thread"}):
            left.wait()

    other = threading.Thread(target=start)
    other.start()
    with environment.fixed({"XLA_FLAGS": "--ours"}):
        entered.set()
        other.join(0.05)
        assert os.environ["XLA_FLAGS"] == "--ours"
    left.set()
    other.join()
    assert os.environ == before


def test_what_the_framework_reads_is_told_from_the_rest():
    assert environment.decides_framework("XLA_FLAGS")
    assert environment.decides_framework("TF_NUM_INTRAOP_THREADS")
    assert not environment.decides_framework("MPLBACKEND")
    # Set by us, read later or asked about afterwards.
    assert not environment.decides_framework("TF_ENABLE_ONEDNN_OPTS")


def test_what_scikit_learn_leaves_behind_is_not_told_as_the_users():
    os.environ["KMP_INIT_AT_FORK"] = "FALSE"
    os.environ["KMP_BLOCKTIME"] = "1"
    assert environment.fix() == ["KMP_BLOCKTIME"]
    assert "KMP_INIT_AT_FORK" not in os.environ


def test_hosts_are_called_directly_where_the_web_is_behind_a_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.delenv("grpc_proxy", raising=False)
    found = environment.cleaned()
    assert (found["grpc_proxy"], found["http_proxy"]) == ("", "http://proxy:3128")
    monkeypatch.setenv("grpc_proxy", "http://own:1")
    assert environment.cleaned()["grpc_proxy"] == "http://own:1"
