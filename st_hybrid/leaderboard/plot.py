"""Figures as PNG and SVG files, drawn with matplotlib, which is an extra."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from st_hybrid.leaderboard.build import build_table
from st_hybrid.leaderboard.choose import choose
from st_hybrid.leaderboard.draw_heatmap import draw_heatmap
from st_hybrid.leaderboard.draw_scatter import draw_scatter
from st_hybrid.leaderboard.draw_shares import draw_shares
from st_hybrid.leaderboard.draw_style import HATCHES, style
from st_hybrid.leaderboard.figure_data import BIAS_MEASURES, heatmaps, scatters, share_bars
from st_hybrid.leaderboard.figure_names import file_stems
from st_hybrid.leaderboard.figure_text import describe, heading
from st_hybrid.leaderboard.figures import Figure, Heatmap, Scatter, Shares
from st_hybrid.leaderboard.measures import DEFAULT
from st_hybrid.leaderboard.options import Options
from st_hybrid.leaderboard.read import read_results
from st_hybrid.leaderboard.scores import ReadReport
from st_hybrid.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["IMAGES", "KINDS", "Plotted", "draw", "make_figures", "plot"]

KINDS: Final = ("heatmap", "scatter", "shares")
"""Kinds of figures."""

IMAGES: Final = ("png", "svg")
"""Formats of files."""

_DPI: Final = 150


@dataclass(frozen=True)
class Plotted:
    """What was written.

    Attributes:
        files: The files, in order.
        left_out: What could not be drawn and why, a sentence each.
    """

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def plot(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    kinds: Sequence[str] = KINDS,
    images: Sequence[str] = ("png",),
    options: Options | None = None,
    dpi: int = _DPI,
) -> Plotted:
    """Read result folders and write their figures.

    Args:
        paths: Folders of mteb results, see :func:`~st_hybrid.leaderboard.read.read_results`.
        output: The folder to write to, made where it is missing. Files of the same names in it are
            replaced, each as a whole; no name leads out of it.
        kinds: Which of :data:`KINDS` to draw.
        images: Which of :data:`IMAGES` to write.
        options: What to show; its breakdown does not count.
        dpi: Dots per inch of PNG files.

    Returns:
        The files.

    Raises:
        ValueError: If a kind or format is unknown, matplotlib is missing, or nothing can be drawn.
        FileNotFoundError: If a result folder or the output's parent does not exist.
        NotADirectoryError: If the output is a file.
    """
    from tqdm import tqdm

    _check("kinds", kinds, KINDS)
    _check("images", images, IMAGES)
    _need_matplotlib()
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"output: '{folder}' is a file. Give a folder.")
    if not folder.resolve().parent.is_dir():
        raise FileNotFoundError(f"output: the folder that '{folder}' is in does not exist.")
    figures, left_out = make_figures(read_results(paths), kinds, options)
    if not figures:
        reasons = "; ".join(left_out) or "no result has the metrics asked for"
        raise ValueError(f"figures: there is nothing to draw. {reasons}.")
    folder.mkdir(exist_ok=True)
    files: list[Path] = []
    named = list(zip(figures, file_stems(figures), strict=True))
    for figure, stem in tqdm(named, desc="Drawing", unit="figure", leave=False, disable=None):
        for image in dict.fromkeys(images):
            target = folder / f"{stem}.{image}"
            write_atomically(target, draw(figure, image, dpi))
            files.append(target)
    return Plotted(tuple(files), tuple(left_out))


def make_figures(
    report: ReadReport, kinds: Sequence[str] = KINDS, options: Options | None = None
) -> tuple[list[Figure], list[str]]:
    """Make the data of all figures.

    Args:
        report: What :func:`~st_hybrid.leaderboard.read.read_results` found.
        kinds: Which of :data:`KINDS` to make.
        options: What to show; its breakdown does not count. Without a metric, heat maps show the
            first one of each set.

    Returns:
        The figures, bar charts in parts of as many models as can be told apart, and what was left
        out and why.
    """
    options = options or Options()
    plain = options.metrics == DEFAULT
    figures: list[Figure] = []
    left_out: list[str] = []
    if "heatmap" in kinds:
        table = build_table(report, dataclasses.replace(options, breakdown="pair", sort="model"))
        maps, reasons = heatmaps(table, every_metric=not plain)
        figures += maps
        left_out += reasons
    if "scatter" in kinds:
        metrics = options.metrics if plain else (*options.metrics, *BIAS_MEASURES)
        table = build_table(report, dataclasses.replace(options, breakdown="none", metrics=metrics))
        points, reasons = scatters(table)
        figures += points
        left_out += reasons
    if "shares" in kinds:
        every = dataclasses.replace(options, breakdown="none", metrics=DEFAULT)
        results = choose(report.scores, every)
        bars, reasons = share_bars(build_table(report, every), results)
        figures += (part for one in bars for part in _parts(one))
        left_out += reasons
    return figures, left_out


def _parts(shares: Shares) -> Iterator[Shares]:
    for page, first in enumerate(range(0, len(shares.models), len(HATCHES)), 1):
        models = shares.models[first : first + len(HATCHES)]
        yield dataclasses.replace(shares, models=models, page=page)


def draw(figure: Figure, image: str, dpi: int = _DPI) -> bytes:
    """Draw one figure.

    Args:
        figure: Its data.
        image: One of :data:`IMAGES`.
        dpi: Dots per inch of a PNG.

    Returns:
        The content of a file, the same for the same data: without date, with a title and all values
        in words as its text alternative.

    Raises:
        ValueError: If the format is unknown or matplotlib is missing.
    """
    _check("image", [image], IMAGES)
    _need_matplotlib()
    from matplotlib.figure import Figure as Canvas

    title, words = heading(figure), describe(figure)
    out = io.BytesIO()
    with style():
        canvas = Canvas(layout="constrained")
        _draw_on(canvas, figure)
        if image == "svg":
            canvas.savefig(
                out, format="svg", metadata={"Title": title, "Date": None, "Creator": "st-hybrid"}
            )
        else:
            about = {"Title": title, "Description": words, "Software": "st-hybrid"}
            canvas.savefig(out, format="png", dpi=dpi, metadata=about)
    return _with_words(out.getvalue(), words) if image == "svg" else out.getvalue()


def _draw_on(canvas: Canvas, figure: Figure) -> None:
    if isinstance(figure, Heatmap):
        draw_heatmap(canvas, figure)
    elif isinstance(figure, Scatter):
        draw_scatter(canvas, figure)
    else:
        draw_shares(canvas, figure)


def _with_words(svg: bytes, words: str) -> bytes:
    """Put a description behind the title, where screen readers look for it."""
    title = b"</title>"
    if svg.count(title) != 1:
        raise ValueError("draw: this version of matplotlib writes an SVG without one title.")
    described = f"</title>\n <desc>{escape(words)}</desc>".encode()
    return svg.replace(title, described).replace(b"<svg ", b'<svg role="img" ', 1)


def _check(name: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    unknown = [x for x in given if x not in allowed]
    if unknown or not given:
        wrong = f"'{unknown[0]}' is unknown" if unknown else "none was given"
        raise ValueError(f"{name}: {wrong}. Allowed: {', '.join(allowed)}.")


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "figures need matplotlib, which is not installed: pip install 'st-hybrid[plots]'."
        ) from error
