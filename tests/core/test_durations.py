"""Durations: their forms, turned into iterations without losing a batch."""

import pytest

from tflottery.core import durations


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0, 0),
        (500, 500),
        ("500", 500),
        ("500it", 500),
        ("0ep", 0),
        ("1ep", 24),
        ("3ep", 72),
        ("3ep2it", 74),
        (" 4ep ", 96),
    ],
)
def test_forms(duration, expected):
    # 1,437 examples in batches of 60 are 23.95 batches.
    durations.validate(duration)
    found = durations.iterations(duration, num_examples=1437, batch_size=60)
    assert found == expected


def test_epochs_run_on_across_their_ends():
    # ceil(n * 10 / 4), not n * ceil(10 / 4).
    found = [
        durations.iterations(f"{n}ep", num_examples=10, batch_size=4) for n in range(5)
    ]
    assert found == [0, 3, 5, 8, 10]


def test_percentages_are_of_a_training_and_rounded_up():
    options = {"num_examples": 10, "batch_size": 4}
    for duration, expected in (("3.3%", 1101), ("0.625%", 209), ("0%", 0)):
        durations.validate(duration)
        found = durations.iterations(duration, training_iterations=33_334, **options)
        assert found == expected
        assert durations.iterations_alone(duration) is None
    # Without an error of floats: 7% of 100 is 7.
    assert durations.iterations("7%", training_iterations=100, **options) == 7
    with pytest.raises(ValueError, match="'5%' is part of a training whose length"):
        durations.iterations("5%", **options)


def test_batch_larger_than_the_data():
    assert durations.iterations("3ep", num_examples=10, batch_size=16) == 2


def test_the_papers_length_in_epochs():
    # 62,500 iterations of 128 over 50,000 images are exactly 160 epochs.
    assert durations.iterations("160ep", num_examples=50_000, batch_size=128) == 62_500


def test_nothing_is_longer_than_addresses_have_digits_for():
    assert durations.iterations(99_999_999, num_examples=10, batch_size=5) == 10**8 - 1
    for duration, text in ((10**20, "iterations"), ("100000000ep", "epochs")):
        with pytest.raises(ValueError, match=f"{text}, and .* 99,999,999 at most"):
            durations.validate(duration)
    # How long an epoch is, data alone tell.
    durations.validate("60000000ep")
    with pytest.raises(ValueError, match="'60000000ep' is 120,000,000 iterations"):
        durations.iterations("60000000ep", num_examples=10, batch_size=5)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(500, 500), ("500it", 500), ("0ep", 0), ("1ep", None), ("3ep50it", None)],
)
def test_iterations_that_no_data_decide(duration, expected):
    assert durations.iterations_alone(duration) == expected


@pytest.mark.parametrize(
    "duration",
    [
        "",
        " ",
        "ep",
        "it",
        "-5",
        -5,
        "4.5",
        4.5,
        "5it3ep",
        "3 ep",
        "4epochs",
        "0x10",
        "%",
        "5%it",
    ],
)
def test_anything_else_is_refused_with_the_forms(duration):
    for read in (
        durations.validate,
        lambda d: durations.iterations(d, num_examples=10, batch_size=5),
    ):
        with pytest.raises(ValueError, match=r"not a duration\. Write .*3ep50it") as e:
            read(duration)
        assert repr(duration) in str(e.value)
