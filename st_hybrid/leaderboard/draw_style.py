"""How figures look: colours that colour-blind people can tell apart, shapes, hatches, short names.

Every difference of colour is one of shape, hatch or number as well. The colours are those of Okabe
and Ito (Color Universal Design, 2008); heat maps use cividis (Nuñez et al., PLOS ONE 13(7), 2018).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.legend import Legend

__all__ = ["COLOURS", "HATCHES", "SHAPES", "ink", "set_texts", "shorten", "style"]

# Without yellow, which is too pale for marks on white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Colours of marks, in order."""

SHAPES: Final = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "h")
"""Shapes of marks. Their number and that of colours have no common divisor, so that the pairs
repeat only after 77."""

HATCHES: Final = ("", "///", "...", "\\\\\\", "xxx", "ooo")
"""Hatches of bars, in order."""

_LONGEST: Final = 48


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw with settings of our own, whatever a user's matplotlibrc says.

    Text is never parsed as mathematics, it stays text in SVG, and the same data give the same
    bytes.
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # The bundled font lacks some scripts: a box in a picture is no reason to warn of it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": "DejaVu Sans",
                "font.size": 9,
                "axes.titlesize": 10,
                "text.parse_math": False,
                "svg.fonttype": "none",
                "svg.hashsalt": "st-hybrid",
                "hatch.linewidth": 0.6,
            }
        )
        yield


def shorten(text: str, longest: int = _LONGEST) -> str:
    """Cut a name in the middle, since models of one maker differ at their ends.

    Args:
        text: The name.
        longest: The most characters to keep.

    Returns:
        The name, with ``…`` for what is left out.
    """
    if len(text) <= longest:
        return text
    start = longest // 3
    return f"{text[:start]}…{text[-(longest - start - 1) :]}"


def ink(colour: Sequence[float]) -> str:
    """Return black or white, whichever contrasts more with a background (WCAG 2.2).

    Args:
        colour: Red, green and blue of the background, each 0 to 1.

    Returns:
        The name of the colour of text; its contrast is at least 4.58 to 1 on any background.
    """
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def set_texts(legend: Legend, texts: Sequence[str]) -> None:
    """Name the entries of a legend: one made with a name that begins with ``_`` lacks its entry.

    Args:
        legend: The legend, made with as many other names.
        texts: The names.
    """
    for entry, text in zip(legend.get_texts(), texts, strict=True):
        entry.set_text(text)
