"""The layout of figures: legends stay inside."""

from tflottery.figures import panels


def test_a_legend_of_long_and_short_labels_fits_the_figure():
    labels = [*"abc", *(f"{letter * 40}" for letter in "defg"), "h"]

    def draw(axes):
        for label in labels:
            axes.plot([0, 1], [0, 1], label=label)

    figure = panels.drawn([panels.Block("title", [[draw]])], inches=(5.4, 3.9))
    figure.draw_without_rendering()
    [legend] = figure.subfigs[0].legends
    extent = legend.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width
    [axes] = figure.axes
    assert extent.y1 <= axes.get_tightbbox().y0
