"""Tests of the leaderboard's figures: their data, and files that really hold them."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from st_hybrid.commands import leaderboard_plot
from st_hybrid.commands.leaderboard import leaderboard
from st_hybrid.leaderboard import (
    Column,
    Options,
    build_table,
    read_results,
)
from st_hybrid.leaderboard.choose import choose
from st_hybrid.leaderboard.draw_style import COLOURS, HATCHES, SHAPES, ink, shorten
from st_hybrid.leaderboard.figure_data import heatmaps, scatters, share_bars
from st_hybrid.leaderboard.figure_names import file_stems, slug
from st_hybrid.leaderboard.figure_text import describe, heading
from st_hybrid.leaderboard.figures import (
    Bars,
    Figure,
    Heatmap,
    Point,
    Scatter,
    Shares,
)
from st_hybrid.leaderboard.plot import IMAGES, KINDS, draw, make_figures, plot

LANGUAGES: Final = ("de", "en", "es")
SVG: Final = "{http://www.w3.org/2000/svg}"
HOSTILE: Final = [
    "</title></desc><script>alert(1)</script>",
    r"$\frac{1}{$ $x^2$ \input{/etc/passwd}",
    "_hidden from legends",
    "../../../etc/passwd",
    "a & b \" ' < >",
    "模型/名前",
]


def column(measure: str, better: str = "higher", unit: str = "mAP", scale: float = 1.0) -> Column:
    return Column(
        f"XQuAD:{measure}", measure, unit, better, 4, "XQuAD", measure, "m.", scale  # type: ignore[arg-type]
    )  # fmt: skip


def heatmap(values: list[list[float | None]], model: str = "a/b") -> Heatmap:
    names = tuple(f"l{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(len(values)))
    return Heatmap(
        model, "r1", "XQuAD", "XQuAD-R", "map", "mAP", names, names,
        tuple(map(tuple, values)), 0.0, 1.0,
    )  # fmt: skip


def scatter(*points: Point) -> Scatter:
    x = column("rank_distance", "lower", "ranks")
    return Scatter("XQuAD", "XQuAD-R", x, column("multi"), points)


def shares(*models: Bars) -> Shares:
    return Shares("XQuAD", "XQuAD-R", 10, LANGUAGES, models)


SQUARE: Final[list[list[float | None]]] = [[0.11, 0.22, 0.33], [0.44, None, 0.66], [0.77, 0.88, 1]]
EXAMPLES: Final[dict[str, Figure]] = {
    "heatmap": heatmap(SQUARE),
    "scatter": scatter(Point("a/b", 30.5, 0.9, True), Point("c/d", 900.0, 0.4, False)),
    "shares": shares(Bars("a/b", (0.5, 0.3, 0.2)), Bars("c/d", (0.1, 0.2, None))),
}


def pixels(figure: Figure) -> np.ndarray:
    with Image.open(io.BytesIO(draw(figure, "png", 60))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def tree(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(draw(figure, "svg"))


def texts(figure: Figure) -> list[str]:
    return [x.text or "" for x in tree(figure).iter(f"{SVG}text")]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on MLQARetrieval, whose subsets are named passage-query, and on XQuAD-R."""
    top = tmp_path_factory.mktemp("plots") / "results"
    for number, model in enumerate(("me/first", "me/second")):
        folder = top / model.replace("/", "__") / "rev"
        folder.mkdir(parents=True)
        (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": "rev"}))
        pairs = itertools.product(enumerate(("deu", "eng", "spa")), repeat=2)
        entries = [
            {"hf_subset": f"{a}-{b}", "languages": [a, b], "ndcg_at_10": 0.9,
             "map_at_1000": (3 * n + k + number) / 10}
            for (n, a), (k, b) in pairs if number or a != "spa"
        ]  # fmt: skip
        multi = [
            {"hf_subset": x, "map": 0.4 + number / 10, "rank_distance": 50.0 * (1 + number)}
            for x in LANGUAGES
        ]
        mono = [{"hf_subset": "en-en", "map": 0.5}]
        for task, found in (("MLQARetrieval", entries), ("XQuADRetrievalMulti", multi),
                            ("XQuADRetrievalMono", mono)):  # fmt: skip
            content = {"task_name": task, "scores": {"test": found}}
            (folder / f"{task}.json").write_text(json.dumps(content))
    return top


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(leaderboard, ["plot", *map(str, words)])


def test_a_heat_map_has_queries_in_rows_and_every_value(results: Path) -> None:
    """By hand: subset deu-eng has German passages and English queries."""
    table = build_table(read_results(results), Options(breakdown="pair"))
    found, left_out = heatmaps(table, every_metric=False)
    first, second = found
    assert (first.model, first.set, first.measure, first.unit) == (
        "me/first", "MLQARetrieval", "map", "mAP@1000",
    )  # fmt: skip
    assert (first.queries, first.passages) == (LANGUAGES, ("de", "en"))
    assert first.values == ((0.0, 0.3), (0.1, 0.4), (0.2, 0.5))
    assert second.values == ((0.1, 0.4, 0.7), (0.2, 0.5, 0.8), (0.3, 0.6, 0.9))
    assert {(x.low, x.high) for x in found} == {(0.0, 0.9)}
    assert left_out == ["heat maps of XQuAD-R: no result is of two languages"]
    assert [x.measure for x in heatmaps(table)[0]] == ["map", "map", "ndcg_at_10", "ndcg_at_10"]


def test_a_scatter_takes_rank_distance_else_the_ratio(results: Path) -> None:
    """Best quality first; the ratio where a set has no rank distance."""
    ours, theirs = scatters(build_table(read_results(results)))[0]
    assert (ours.set, ours.x.measure, ours.y.measure) == ("XQuAD", "rank_distance", "multi")
    assert [(p.model, p.x) for p in ours.points] == [("me/second", 100.0), ("me/first", 50.0)]
    assert [p.y for p in ours.points] == pytest.approx([0.5, 0.4])
    assert not any(p.complete for p in ours.points)  # 3 of 11 languages
    assert (theirs.set, theirs.x.measure, theirs.y.measure) == ("MLQARetrieval", "ratio", "cross")


def test_shares_are_means_over_query_languages(tmp_path: Path) -> None:
    """By hand, in Multi alone; a key that merely looks like one is none."""
    shared = {"de": (0.7, 0.1), "en": (0.3, 0.6)}
    for model in ("a/a", "b/b"):
        entries = [
            {"hf_subset": query, "map": 0.5, "same_language_share_at_10": 0.9,
             **{f"language_share_at_10_{x}": y[n] for x, y in shared.items() if n or model < "b"}}
            for n, query in enumerate(shared)
        ]  # fmt: skip
        folder = tmp_path / model.replace("/", "__") / "r"
        folder.mkdir(parents=True)
        content = {"task_name": "XQuADRetrievalMulti", "scores": {"test": entries}}
        (folder / "XQuADRetrievalMulti.json").write_text(json.dumps(content))
    report = read_results(tmp_path)
    found, left_out = make_figures(report, ["shares"])
    (chart,) = found
    assert isinstance(chart, Shares)
    assert (chart.set, chart.cutoff, chart.languages) == ("XQuAD", 10, ("de", "en"))
    assert {x.model: x.values for x in chart.models} == {
        "a/a": pytest.approx((0.4, 0.45)),
        "b/b": (0.1, 0.6),
    }
    assert not left_out
    with pytest.raises(ValueError, match=r"is 'language', allowed is 'none'"):
        share_bars(
            build_table(report, Options(breakdown="language")), choose(report.scores, Options())
        )


def test_an_unknown_direction_and_a_wrong_breakdown(results: Path) -> None:
    """No direction is made up, and the error says how to build the table."""
    table = build_table(read_results(results), Options(breakdown="pair"))
    groups = tuple(dataclasses.replace(x, direction="") for x in table.groups)
    found, left_out = heatmaps(dataclasses.replace(table, groups=groups))
    assert not found
    assert any("which language is the query's is not known" in x for x in left_out)
    with pytest.raises(ValueError, match=r"allowed is 'none'. Build it with Options"):
        scatters(table)
    with pytest.raises(ValueError, match=r"is 'none', allowed is 'pair'"):
        heatmaps(build_table(read_results(results)))


def test_more_models_than_hatches_are_several_charts() -> None:
    """No two bars of a chart look the same; a page number stands in the file's name."""
    assert len(set(HATCHES)) == len(HATCHES) <= len(COLOURS)
    marks = [(SHAPES[n % len(SHAPES)], COLOURS[n % len(COLOURS)]) for n in range(77)]
    assert len(set(marks)) == 77
    pages = [shares(Bars("a", (1, 0, 0))), dataclasses.replace(shares(), page=2)]
    assert file_stems(pages) == ["shares-XQuAD-at-10", "shares-XQuAD-at-10-2"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image", IMAGES)
def test_the_same_data_give_the_same_bytes(kind: str, image: str) -> None:
    """Whatever a user's matplotlibrc says; and no date is in the file."""
    first = draw(EXAMPLES[kind], image, 60)
    with mpl.rc_context({"font.size": 20, "image.cmap": "jet", "text.usetex": True,
                         "svg.fonttype": "path", "svg.hashsalt": None}):  # fmt: skip
        assert draw(EXAMPLES[kind], image, 60) == first
        assert mpl.rcParams["font.size"] == 20
    assert b"<dc:date>" not in first


def test_one_other_value_changes_one_cell_of_the_picture() -> None:
    """The pixels that differ lie in the ninth of the map where the value is."""
    other = [row[:] for row in SQUARE]
    other[0][1] = 0.95
    before, after = pixels(heatmap(SQUARE)), pixels(heatmap(other))
    assert before.shape == after.shape
    ys, xs = np.nonzero(np.abs(before - after).sum(axis=2))
    height, width = before.shape[:2]
    assert 10 < np.ptp(ys) < height / 3
    assert 10 < np.ptp(xs) < width / 3
    assert ys.mean() < height / 2  # queries go down from the top


def test_the_colour_of_a_cell_is_that_of_its_value() -> None:
    """Cividis from the lowest to the highest value of the set; missing ones are hatched white."""
    image = pixels(heatmap(SQUARE))
    for value in (0.11, 1.0):
        colour = np.array(mpl.colormaps["cividis"](value)[:3]) * 255
        assert (np.abs(image - colour).max(axis=2) < 2).sum() > 100


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (scatter(Point("a", 30.0, 0.9, True)), scatter(Point("a", 30.0, 0.9, False))),
        (scatter(Point("a", 30.0, 0.9, True), Point("b", 90.0, 0.4, True)),
         scatter(Point("a", 70.0, 0.9, True), Point("b", 90.0, 0.4, True))),
        (EXAMPLES["shares"], shares(Bars("a/b", (0.4, 0.4, 0.2)), Bars("c/d", (0.1, 0.2, None)))),
        (shares(Bars("a", (0.6, 0.4, None))), shares(Bars("a", (0.6, 0.4, 0.0)))),
    ],
    ids=["complete", "bias", "share", "missing"],
)  # fmt: skip
def test_pictures_differ_with_the_data(before: Figure, after: Figure) -> None:
    """Also where only completeness differs, or a missing value from none."""
    one, other = pixels(before), pixels(after)
    assert one.std() > 10
    assert one.shape != other.shape or (one != other).any()


def test_svg_has_its_values_as_text_and_in_words() -> None:
    """Numbers in cells, names of languages, a title, and all of it in the description."""
    root = tree(EXAMPLES["heatmap"])
    written = texts(EXAMPLES["heatmap"])
    values = [f"{x:.2f}" for row in SQUARE for x in row if x is not None]
    assert set(values) <= set(written)
    assert {"laa", "lab", "lac", "Query language", "Passage language"} <= set(written)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "a/b: mAP on XQuAD-R"
    said = root.findtext(f"{SVG}desc") or ""
    assert "Lowest: 0.1100 (laa → laa). Highest: 1.0000 (lac → lac)" in said
    assert "lab → laa 0.4400" in said
    assert "lab → lab" not in said
    assert "c/d: 900, 0.4" in describe(EXAMPLES["scatter"])
    assert "a/b: de 0.500, en 0.300, es 0.200; c/d: de 0.100, en 0.200, es —" in describe(
        EXAMPLES["shares"]
    )


def test_numbers_are_left_out_where_cells_are_too_small() -> None:
    """Twenty languages have them, one more has not; the SVG of many stays small."""
    for size, there in ((20, True), (21, False)):
        rows = tuple((0.25,) for _ in range(size))
        one = dataclasses.replace(
            heatmap([[0.25]] * size), passages=("en",), values=rows
        )  # one column of many languages
        assert ("0.25" in texts(one)) == there
    big = heatmap([[n / 60] * 60 for n in range(60)])
    assert len(draw(big, "svg")) < 150_000
    assert len(describe(big)) < 300


@pytest.mark.parametrize(
    "figure",
    [
        scatter(*(Point(name, 1.0 + n, 0.5, True) for n, name in enumerate(HOSTILE))),
        shares(*(Bars(name, (0.5, 0.3, 0.2)) for name in HOSTILE)),
        *(heatmap([[0.5]], name) for name in HOSTILE),
    ],
    ids=["scatter", "shares", *(f"heatmap{n}" for n in range(len(HOSTILE)))],
)
def test_hostile_names_are_text(figure: Figure) -> None:
    """No markup, no mathematics, no entry that a legend hides."""
    names = [figure.model] if isinstance(figure, Heatmap) else HOSTILE
    root = tree(figure)
    tags = {x.tag.rpartition("}")[2] for x in root.iter()}
    assert not tags & {"script", "a", "foreignObject", "iframe"}
    written = [x.text or "" for x in root.iter(f"{SVG}text")]
    said = f"{root.findtext(f'{SVG}title')} {root.findtext(f'{SVG}desc')}"
    for name in names:
        assert any(shorten(name) in text for text in written)
        assert name in said
        assert name in heading(figure) + describe(figure)


def test_hostile_names_are_written_to_png_too() -> None:
    """Where letters are drawn, and where the font lacks them."""
    assert pixels(shares(*(Bars(name, (0.5, 0.3, 0.2)) for name in HOSTILE))).std() > 10


def test_powers_on_an_axis_are_plain_numbers() -> None:
    """The usual labels of such a scale are mathematics, which is not parsed here."""
    written = texts(scatter(Point("a", 20.0, 0.5, True), Point("b", 9000.0, 0.4, True)))
    assert {"100", "1000"} <= set(written)
    assert not [x for x in written if "$" in x]


def test_a_wild_ratio_stands_at_the_edge_with_its_value() -> None:
    """A model that finds nothing does not squeeze the others."""
    figure = dataclasses.replace(
        scatter(Point("a", 0.9, 0.5, True), Point("b", 40.0, 0.01, True)), x=column("ratio")
    )
    written = texts(figure)
    assert "2  b (at 40.00)" in written
    assert "30" not in written


@given(st.floats(0, 1))
def test_numbers_in_cells_contrast(value: float) -> None:
    """At least 4.5 to 1 (WCAG 2.2), by the formula of the standard."""
    colour = mpl.colormaps["cividis"](value)[:3]

    def luminance(rgb: tuple[float, ...]) -> float:
        parts = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb]
        return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))

    pair = sorted(
        (luminance(colour), luminance((1, 1, 1) if ink(colour) == "white" else (0, 0, 0)))
    )
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


@given(
    st.lists(st.text(max_size=20) | st.sampled_from([*HOSTILE, "a/b", "a-b", "A b"]), max_size=6)
)
def test_file_names_are_plain_and_different(names: list[str]) -> None:
    """Also where case does not count; and each figure's name is the same in any order."""
    figures = [heatmap(SQUARE, name) for name in dict.fromkeys(names)]
    stems = file_stems(figures)
    assert len({stem.casefold() for stem in stems}) == len(figures)
    assert all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", stem, re.A) for stem in stems)
    assert not any(".." in stem or len(stem) > 140 for stem in stems)
    assert file_stems(figures[::-1]) == stems[::-1]
    assert slug("") == slug("..") == slug("模型") == "unnamed"


def test_files_stay_in_the_folder_and_links_are_replaced(results: Path, tmp_path: Path) -> None:
    """What a link leads to is not written to; nothing but the figures is left."""
    out = tmp_path / "out"
    out.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (out / "scatter-XQuAD.svg").symlink_to(victim)
    plotted = plot(results, out, images=("svg", "svg"))
    assert victim.read_text() == "mine"
    assert not (out / "scatter-XQuAD.svg").is_symlink()
    assert [x.name for x in plotted.files] == [
        "heatmap-MLQARetrieval-map-me-first.svg",
        "heatmap-MLQARetrieval-map-me-second.svg",
        "scatter-XQuAD.svg",
        "scatter-MLQARetrieval.svg",
    ]
    assert sorted(out.iterdir()) == sorted(plotted.files)
    assert set(plotted.left_out) == {
        "heat maps of XQuAD-R: no result is of two languages",
        "language shares of XQuAD-R: no result has them",
        "language shares of MLQARetrieval (mteb, paragraphs): no result has them",
    }
    assert len(list(tmp_path.iterdir())) == 2


def test_hostile_models_become_no_paths(tmp_path: Path) -> None:
    """Names with the same letters get a digest; none leaves the folder."""
    for number, name in enumerate(("../../evil", "..\\..\\evil", "/etc/evil", "$x$")):
        folder = tmp_path / "results" / f"m{number}" / "rev"
        folder.mkdir(parents=True)
        (folder / "model_meta.json").write_text(json.dumps({"name": name, "revision": "r"}))
        entry = {"hf_subset": "deu-eng", "languages": ["deu", "eng"], "map_at_1000": 0.5}
        content = {"task_name": "MLQARetrieval", "scores": {"test": [entry]}}
        (folder / "MLQARetrieval.json").write_text(json.dumps(content))
    before = set(tmp_path.rglob("*"))
    plotted = plot(tmp_path / "results", tmp_path / "out", ["heatmap"], ["svg"])
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "out", *plotted.files}
    names = sorted(x.name for x in plotted.files)
    assert len(names) == 4
    assert (
        len([x for x in names if re.fullmatch(r"heatmap-MLQARetrieval-map-evil-\w{8}\.svg", x)])
        == 2
    )


def test_every_option_reaches_the_figures(results: Path, tmp_path: Path) -> None:
    """Filters, metric, kind, formats and resolution."""
    out = tmp_path / "out"
    words = ("--figure", "heatmap", "--format", "png", "--format", "svg", "-t", "MLQARetrieval",
             "-l", "de", "-l", "en", "--model", "second", "-m", "ndcg_at_10",
             "--dpi", "50")  # fmt: skip
    done = invoke("--results", results, "--output", out, *words)
    assert (done.exit_code, done.stdout) == (0, ""), done.output
    stem = "heatmap-MLQARetrieval-ndcg_at_10-me-second"
    assert sorted(x.name for x in out.iterdir()) == [f"{stem}.png", f"{stem}.svg"]
    assert done.stderr.splitlines() == [f"wrote {out / stem}.png", f"wrote {out / stem}.svg"]
    labels = {x.text for x in ElementTree.parse(out / f"{stem}.svg").iter(f"{SVG}text")}
    assert {"0.90", "nDCG@10", "de", "en"} <= labels
    assert "es" not in labels
    with Image.open(out / f"{stem}.png") as image:
        small = image.size
        assert image.text["Title"].startswith("me/second: nDCG@10")
    invoke("--results", results, "--output", out, *words[:-1], "100")
    with Image.open(out / f"{stem}.png") as image:
        assert image.size == (small[0] * 2, small[1] * 2)


def test_a_metric_reaches_the_scatter(results: Path) -> None:
    """Quality in the metric asked for, beside the same bias."""
    options = Options(metrics=("ndcg_at_10",), tasks=("MLQARetrieval",))
    (figure,) = make_figures(read_results(results), ["scatter"], options)[0]
    assert isinstance(figure, Scatter)
    assert (figure.x.measure, figure.y.measure) == ("ratio", "cross_ndcg_at_10")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--figure", "shares"), "there is nothing to draw. language shares of XQuAD-R"),
        (("-t", "Nothing"), "task: no result is of 'Nothing'"),
        (("-m", "f1"), "metric: 'f1' is unknown"),
        (("--figure", "pie"), "'pie' is not one of"),
        (("--format", "pdf"), "'pdf' is not one of"),
        (("--dpi", "9999"), "9999 is not in the range"),
    ],
)
def test_an_error_is_one_line_and_makes_no_folder(
    results: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """Whether an option is wrong or there is nothing to draw."""
    done = invoke("--results", results, "--output", tmp_path / "out", *words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_wrong_outputs_and_arguments_are_refused(results: Path, tmp_path: Path) -> None:
    """Before anything is read."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"output: .*file' is a file. Give a folder"):
        plot(tmp_path, tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"output: the folder that .* does not exist"):
        plot(tmp_path, tmp_path / "no" / "out")
    with pytest.raises(ValueError, match=r"kinds: 'pie' is unknown. Allowed: heatmap, scatter"):
        plot(results, tmp_path, ["pie"])
    with pytest.raises(ValueError, match=r"images: none was given"):
        plot(results, tmp_path, images=())


def test_without_matplotlib_the_error_says_what_to_install(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the command, and nothing written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = invoke("--results", results, "--output", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: figures need matplotlib, which is not installed: pip install 'st-hybrid[plots]'.\n"
    )
    assert not list(tmp_path.iterdir())


def test_help_is_cheap_and_choices_are_the_librarys() -> None:
    """They are written down twice so that help loads nothing."""
    choices = {x.name: x.type for x in leaderboard_plot.plot.params}
    assert list(choices["figure"].choices) == [*KINDS, "all"]  # type: ignore[attr-defined]
    assert list(choices["images"].choices) == list(IMAGES)  # type: ignore[attr-defined]
    code = (
        "import sys, st_hybrid.cli, st_hybrid.commands.leaderboard, st_hybrid.leaderboard.plot;"
        "print([x for x in ('matplotlib', 'torch', 'mteb', 'pandas') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
