"""The environment of processes: what decides bits is set whatever the user's says."""

import os

from tflottery.core import environment


def test_what_decides_bits_is_set_whatever_the_user_set(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    environment.fix()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"


def test_for_other_processes_it_is_put_back(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("OTHER", "kept")
    before = dict(os.environ)
    with environment.fixed():
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
        assert os.environ["OTHER"] == "kept"
    assert dict(os.environ) == before
