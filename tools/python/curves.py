"""A small picture of curves, as selection_plot.py and g2p_length_plot.py draw."""
import contextlib


@contextlib.contextmanager
def picture(path):
    """Axes to draw on; the picture is written to `path` at the end."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(6, 3.2), dpi=120)
    yield axes
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
