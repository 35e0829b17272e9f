"""The figure of telemetry shows what the tables say."""

import itertools

import numpy as np
import pandas
import pytest

from tflottery.figures import telemetry, timeline

_SETTING = {
    "model": "resnet20",
    "variant": "early_phase",
    "dataset": "cifar10",
    "task": "labels",
    "training_iterations": 62400,
    "config": "0123abcd",
}
_ITERATIONS = (0, 1, 10, 100, 400, 500, 1000, 2000, 4000)
_PANELS = [
    "Accuracy",
    "Loss",
    "Weight magnitude",
    "Signs unlike initialization",
    "Ten random weights",
    "Gradient norm",
    "Gradient magnitude",
    "Distance of weights",
    "Angle of weights",
]
_STATISTICS = {
    "test_error_at_start": 0.9,
    "test_error_at_end": 0.5,
    "fraction_of_signs_changed_at_start": 0.0,
    "fraction_of_signs_changed_at_end": 0.0345,
    "gradient_norm_at_start": 5.0,
    "gradient_norm_at_end": 1.0,
    "gradient_norm_minimum": 0.8,
    "gradient_norm_minimum_iteration": 7.0,
    "gradient_norm_rebound": 0.25,
}


def tables(*, iterations=_ITERATIONS, replicates=3, **setting):
    """Returns made-up tables telemetry and weights."""
    random = np.random.default_rng(0)
    readings, weights = [], []
    for replicate, k in itertools.product(range(1, replicates + 1), iterations):
        keys = {**_SETTING, "replicate": replicate, "iteration": k, **setting}
        left = np.exp(-k / 800) * random.uniform(0.9, 1.1)
        readings.append(
            {
                **keys,
                "final_iteration": 62400,
                "train_error": 0.9 * left,
                "test_error": 0.1 + 0.8 * left,
                "train_loss": 2 * left,
                "test_loss": 0.3 + 2 * left,
                "mean_weight_magnitude": 0.05 + 0.01 * (1 - left),
                "fraction_of_signs_changed": 0.2 * (1 - left),
                "gradient_examples": 1024,
                "gradient_norm": 0.5 + left,
                "mean_gradient_magnitude": (0.5 + left) / 1000,
                "l2_from_initial": 30 * (1 - left),
                "l2_from_final": 40 + 30 * left,
                "cosine_to_initial": 0.4 + 0.6 * left,
                "cosine_to_final": 0.5 - 0.3 * left,
            }
        )
        weights += [
            {**keys, "weight": number, "value": replicate + number / 10 + k / 10**5}
            for number in range(1, 11)
        ]
    return pandas.DataFrame(readings), pandas.DataFrame(weights), phases(())


@pytest.fixture(scope="module")
def usual():
    """The panels of the tables that `tables` makes, drawn once."""
    (block,) = panels(telemetry.draw(*tables()))
    return block


def phases(bounds=(0, 10, 500, 2000, 4000), **setting):
    """Returns a made-up table of phases."""
    keys = {**_SETTING, "final_iteration": 62400, "gradient_examples": 1024, **setting}
    rows = [
        {**keys, "phase_start": start, "phase_end": end, "statistic": name, "value": v}
        for start, end in itertools.pairwise(bounds)
        for name, v in _STATISTICS.items()
    ]
    columns = [*keys, "phase_start", "phase_end", "statistic", "value"]
    return pandas.DataFrame(rows, columns=columns)


def panels(figure):
    """Returns the panels of a figure by title, setting by setting."""
    return [
        {axes.get_title(): axes for axes in block.get_axes()}
        for block in figure.subfigs
    ]


def lines(axes):
    """Returns the lines of a panel with iterations on their x axis."""
    return [one for one in axes.lines if len(one.get_xdata()) == len(_ITERATIONS)]


def markers(axes):
    """Returns the places of the paper's numbers in a panel."""
    return [
        (float(x), float(y))
        for one in axes.lines
        if one.get_marker() == "D"
        for x, y in zip(*one.get_data(), strict=True)
    ]


def verticals(axes, style):
    """Returns where a panel has vertical lines of a style."""
    return [
        one.get_xdata()[0]
        for one in axes.lines
        if one.get_linestyle() == style and len(set(one.get_xdata())) == 1
    ]


@pytest.mark.parametrize(
    ("panel", "columns", "scale"),
    [
        ("Accuracy", ["train_error", "test_error"], -100),
        ("Loss", ["train_loss", "test_loss"], 1),
        ("Weight magnitude", ["mean_weight_magnitude"], 1),
        ("Signs unlike initialization", ["fraction_of_signs_changed"], 100),
        ("Gradient norm", ["gradient_norm"], 1),
        ("Gradient magnitude", ["mean_gradient_magnitude"], 1),
        ("Distance of weights", ["l2_from_initial", "l2_from_final"], 1),
        ("Angle of weights", ["cosine_to_initial", "cosine_to_final"], 1),
    ],
)
def test_lines_are_means_and_bands_a_standard_deviation(panel, columns, scale, usual):
    readings, _, _ = tables()
    axes = usual[panel]
    assert len(lines(axes)) == len(columns)
    for column, line, band in zip(columns, lines(axes), axes.collections, strict=True):
        values = readings[column] if scale > 0 else 1 - readings[column]
        groups = (abs(scale) * values).groupby(readings["iteration"])
        assert list(line.get_xdata()) == list(_ITERATIONS)
        np.testing.assert_allclose(line.get_ydata(), groups.mean())
        edges = band.get_paths()[0].vertices
        heights = edges[edges[:, 0] == 100][:, 1]
        mean, std = groups.mean()[100], groups.std(ddof=1)[100]
        assert heights.min() == pytest.approx(mean - std)
        assert heights.max() == pytest.approx(mean + std)


def test_ten_weights_are_those_of_the_first_replicate():
    readings, weights, none = tables()
    (block,) = panels(
        telemetry.draw(readings, weights.sample(frac=1, random_state=0), none)
    )
    drawn = lines(block["Ten random weights"])
    first = weights[weights["replicate"] == 1]
    assert len(drawn) == 10
    for number, line in enumerate(drawn, start=1):
        own = first[first["weight"] == number]
        assert list(line.get_xdata()) == list(own["iteration"])
        assert list(line.get_ydata()) == list(own["value"])


def test_the_papers_numbers_of_resnet20(usual):
    assert markers(usual["Accuracy"]) == [(400, 55), (2000, 80)]
    assert markers(usual["Signs unlike initialization"]) == [(10, 3)]
    assert verticals(usual["Gradient norm"], "--") == [200]
    assert verticals(usual["Gradient norm"], "-.") == [500]
    texts = usual["Accuracy"].get_legend_handles_labels()[1]
    assert texts == ["train", "test", "in the paper"]


def test_the_papers_numbers_of_resnet18():
    (block,) = panels(telemetry.draw(*tables(model="resnet18")))
    assert markers(block["Accuracy"]) == []
    assert markers(block["Signs unlike initialization"]) == [(10, 6)]
    assert verticals(block["Gradient norm"], "--") == []
    assert verticals(block["Gradient norm"], "-.") == [250]


@pytest.mark.parametrize(
    "setting", [{"model": "lenet"}, {"variant": "standard"}, {"dataset": "digits"}]
)
def test_other_networks_recipes_and_data_have_no_numbers(setting):
    (block,) = panels(telemetry.draw(*tables(**setting)))
    assert list(block) == _PANELS
    for axes in block.values():
        assert markers(axes) == verticals(axes, "--") == verticals(axes, "-.") == []


def test_numbers_beyond_the_last_iteration_are_left_out():
    (block,) = panels(telemetry.draw(*tables(iterations=(0, 100, 400, 450))))
    assert markers(block["Accuracy"]) == [(400, 55)]
    assert verticals(block["Gradient norm"], "-.") == []
    assert verticals(block["Loss"], ":") == [10]
    assert block["Loss"].get_xlim() == (0, 450)


def test_phases_end_where_lines_are_dotted(usual):
    for axes in usual.values():
        assert verticals(axes, ":") == [10, 500, 2000]


def test_each_setting_has_its_block():
    one, other = tables(), tables(model="lenet", variant="standard", config="4567")
    both = [pandas.concat(pair) for pair in zip(one, other, strict=True)]
    figure = telemetry.draw(*both)
    assert [list(block) for block in panels(figure)] == [_PANELS] * 2
    assert [block.get_suptitle() for block in figure.subfigs] == [
        "ResNet-20 on CIFAR-10\nearly_phase, 62,400 iterations, 3 replicates",
        "Lenet on CIFAR-10\nstandard, 62,400 iterations, 3 replicates",
    ]
    first = panels(figure)[0]["Loss"]
    np.testing.assert_allclose(
        lines(first)[0].get_ydata(), one[0].groupby("iteration")["train_loss"].mean()
    )


def test_a_replicate_that_diverged_belongs_to_its_setting():
    readings, weights, none = tables()
    names = list(readings.columns[readings.columns.get_loc("mean_weight_magnitude") :])
    lost = readings[readings["replicate"] == 3].assign(**dict.fromkeys(names, np.nan))
    rest = readings[readings["replicate"] < 3]
    (block,) = panels(telemetry.draw(pandas.concat([rest, lost]), weights, none))
    [line] = lines(block["Gradient norm"])
    expected = rest.groupby("iteration")["gradient_norm"].mean()
    np.testing.assert_allclose(line.get_ydata(), expected)
    # Its errors were measured.
    accuracy = lines(block["Accuracy"])[1].get_ydata()
    errors = readings.groupby("iteration")["test_error"].mean()
    np.testing.assert_allclose(accuracy, 100 * (1 - errors))


@pytest.mark.parametrize(
    "options",
    [{"iterations": (0,)}, pytest.param({"replicates": 1}, marks=pytest.mark.slow)],
)
def test_any_table_can_be_drawn(options, show):
    show(telemetry.draw(*tables(**options)))


def test_nothing_but_divergence_can_be_drawn(show):
    readings, weights, none = tables()
    measured = readings.columns[readings.columns.get_loc("train_error") :]
    nothing = readings.assign(**dict.fromkeys(measured, np.nan))
    show(telemetry.draw(nothing, weights[:0], none))


def test_an_empty_table_is_refused():
    readings, weights, none = tables()
    with pytest.raises(ValueError, match="'telemetry' has no rows"):
        telemetry.draw(readings[:0], weights, none)


def timeline_texts(figure):
    """Returns the texts of the panel below the others."""
    [axes] = [one for one in figure.axes if one.get_title().startswith("Timeline")]
    return [one.get_text().strip() for one in axes.texts if one.get_text()]


def test_the_timeline_says_what_each_phase_is_like():
    readings, weights, _ = tables()
    texts = timeline_texts(telemetry.draw(readings, weights, phases()))
    boxes = texts[:4]
    for box in boxes:
        assert "test accuracy 10% → 50%" in box
        assert "signs changed 0.0% → 3.5%" in box
        assert "gradient norm 5.00 → 1.00\n(lowest 0.80 at 7)" in box
    assert "(paper 3%)" in boxes[0]
    assert not any("paper" in box for box in boxes[1:])
    for bound in ("0", "10", "500", "2K", "4K"):
        assert bound in texts
    assert "200: gradient lowest (paper)" in texts
    assert "500: gradient settles; rewinding matches from here (paper)" in texts


def test_the_timeline_of_resnet18_has_the_events_of_its_figure():
    readings, weights, _ = tables(model="resnet18")
    texts = timeline_texts(telemetry.draw(readings, weights, phases(model="resnet18")))
    assert "(paper 6%)" in texts[0]
    assert "700: eigenvalues of the Hessian separate (paper)" in texts
    # Beyond the last iteration shown.
    assert not any("critical period" in text for text in texts)


def test_other_networks_have_a_timeline_of_their_own_numbers():
    readings, weights, _ = tables(model="lenet")
    own = phases((0, 10, 40), model="lenet")
    texts = timeline_texts(telemetry.draw(readings, weights, own))
    assert len(texts) == 2 + 3 and not any("paper" in text for text in texts)
    # There is no blank strip where the paper says nothing.
    assert timeline.height(own) < 0.75 * timeline.height(phases())
    elsewhere = telemetry.draw(readings, weights, phases())
    assert not any("Timeline" in one.get_title() for one in elsewhere.axes)
