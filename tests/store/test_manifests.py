"""A manifest says what an artifact is and which code made it."""

import subprocess

import pytest

from tflottery.store import manifests


@pytest.fixture
def commit_of(tmp_path, monkeypatch):
    """Returns what manifests say of the commit of a checkout in a given state."""
    source = tmp_path / "checkout" / "manifests.py"
    source.parent.mkdir()
    source.write_text("first")
    monkeypatch.setattr(manifests, "__file__", str(source))

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        ran = subprocess.run(
            command, cwd=source.parent, check=True, capture_output=True, text=True
        )
        return ran.stdout.strip()

    def commit(*, added=True, changed=False):
        git("init", "--quiet")
        git("commit", "--quiet", "--allow-empty", "--message=empty")
        if added:
            git("add", ".")
            git("commit", "--quiet", "--message=first")
        if changed:
            source.write_text("second")
        return manifests._git_commit(), git("rev-parse", "HEAD")

    return commit


def test_a_commit_is_named_in_full(commit_of):
    found, head = commit_of()
    assert found == head and len(head) == 40


def test_local_changes_show_beside_the_commit(commit_of):
    found, head = commit_of(changed=True)
    assert found == f"{head}-dirty"


def test_the_checkout_of_something_else_is_no_commit_of_ours(commit_of):
    found, _ = commit_of(added=False)
    assert found is None


def test_no_checkout_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "__file__", str(tmp_path / "manifests.py"))
    assert manifests._git_commit() is None


def sealed(**changes):
    body = manifests.body("runs/a", {"x": 1}, files={}, seconds=0.0)
    return manifests.sealed(body | changes)


def test_what_was_sealed_is_unsealed_where_it_belongs():
    assert manifests.unsealed(sealed(), "runs/a")["x"] == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (sealed(format=2), "has format 2, 1 was expected"),
        (sealed(address="runs/b"), "it is 'runs/b' in the wrong place"),
        (sealed()[:-1], "cut short or changed"),
        (b"", "cut short or changed"),
    ],
)
def test_what_is_not_ours_is_unsound(data, reason):
    with pytest.raises(manifests.UnsoundManifest, match=reason):
        manifests.unsealed(data, "runs/a")
