"""Summaries, lines and their colours."""

import numpy as np
import pandas
from matplotlib.figure import Figure

from tflottery.figures import lines


def axes():
    return Figure().subplots()


def test_summary_by_hand():
    frame = pandas.DataFrame(
        {"k": [5, 5, 0, 0, 0, 9], "v": [1.0, 3.0, 2.0, np.nan, 2.0, np.nan]}
    )
    table = lines.summary(frame, by="k", value="v")
    assert list(table["k"]) == [0, 5]
    assert list(table["mean"]) == [2.0, 2.0]
    assert np.allclose(table["std"], [0.0, np.sqrt(2)])
    assert np.allclose(table["stderr"], [0.0, 1.0])
    assert list(table["count"]) == [2, 2]


def test_summary_of_one_row_has_no_deviation():
    table = lines.summary(pandas.DataFrame({"k": [1], "v": [4.0]}), by="k", value="v")
    assert (list(table["std"]), list(table["stderr"])) == ([0.0], [0.0])


def test_nothing_is_drawn_of_an_empty_table():
    table = lines.summary(
        pandas.DataFrame({"k": [1], "v": [np.nan]}), by="k", value="v"
    )
    panel = axes()
    assert lines.draw(panel, table, color="k") is None
    assert not panel.lines


def test_colors_differ():
    colors = lines.iteration_colors([2000, 0, 50, 0])
    assert list(colors) == [0, 50, 2000]
    assert len(set(colors.values())) == 3


def test_kinds_have_their_colors_whichever_others_there_are():
    alone = lines.kind_colors(["random_pruning"])
    several = lines.kind_colors(["snip", "random_pruning", "imp", "dense", "imp"])
    assert list(several) == ["dense", "imp", "random_pruning", "snip"]
    assert several["random_pruning"] == alone["random_pruning"]
    assert several["dense"] == lines.UNPRUNED_COLOR
    assert len(set(several.values())) == 4
    assert lines.kind_name("small_first") == "small first"


def test_controls_look_like_their_criterion():
    colors = lines.kind_colors(
        ["snip_reinit", "mine", "mine_shuffled", "random_reinit"]
    )
    assert list(colors) == ["random_reinit", "snip_reinit", "mine", "mine_shuffled"]
    assert colors["snip_reinit"] == lines.kind_colors(["snip"])["snip"]
    assert colors["mine_shuffled"] == colors["mine"] != colors["random_reinit"]
    assert lines.kind_name("snip_shuffled") == "SNIP, shuffled within layers"
    assert lines.kind_name("random_reinit") == "random reinitialization"
    kinds = ("snip", "random_reinit", "snip_shuffled", "snip_reinit")
    looks = [tuple(lines.kind_look(kind, 0).values()) for kind in kinds]
    assert looks == [("-", "s"), ("--", "s"), (":", "^"), (":", "v")]
    styles = {lines.kind_look("snip_reinit", index)["style"] for index in range(3)}
    assert len(styles) == 3
