"""Read the texts of a figure."""


def legend_texts(figure):
    """Return the texts of all legends of a figure."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]
