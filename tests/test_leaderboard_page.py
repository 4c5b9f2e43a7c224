"""Tests of the leaderboard's page in a real Chromium: what a reader sees, does and hears of it."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from st_hybrid.leaderboard import (
    ModelInfo,
    Options,
    ReadReport,
    Skipped,
    SubsetScores,
    TaskScores,
    build_table,
    export,
    render,
)
from st_hybrid.leaderboard.html_charts import make_charts

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

LANGUAGES: Final = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
HOSTILE: Final = (
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 2'>",
    "evil/\"><svg onload='window.hit = 3'>",
    "javascript:window.hit=4",
    "{{datum.x}} ${window.hit=5} \\u003cb\\u003e",
    "<!--<script>",
)
METRICS: Final = (
    "map", "ndcg_at_10", "recall_at_1", "recall_at_10", "recall_at_100", "mrr_at_10",
)  # fmt: skip


def scores(
    model: str, name: str, rng: random.Random, languages: Sequence[str], missing: float
) -> list[TaskScores]:
    """Mono, Cross and Multi of a model on one set, as real results have them."""
    quality = rng.uniform(0.3, 0.8)

    def subset(kind: Any, query: str, passage: str | None) -> SubsetScores:
        base = quality * (1.0 if query == passage else 0.8) * rng.uniform(0.9, 1.1)
        values = {key: min(base * rng.uniform(0.9, 1.1), 1.0) for key in METRICS}
        second = passage or query
        if kind == "multi":
            values |= {"rank_distance": 10 ** rng.uniform(1, 3.5)}
            values |= {"map_low": values["map"] * 0.95, "map_high": values["map"] * 1.05}
            shares = [rng.uniform(0.5, 1.5) + 3 * (x == query) for x in languages]
            for language, share in zip(languages, shares, strict=True):
                values[f"language_share_at_20_{language}"] = share / sum(shares)
        label = query if kind == "multi" else f"{query}-{second}"
        return SubsetScores(label, kind, query, passage, query, second, "query-passage", values)

    pairs = {
        "mono": [(x, x) for x in languages],
        "cross": [(x, y) for x in languages for y in languages if x != y],
        "multi": [(x, None) for x in languages],
    }
    return [
        TaskScores(
            ModelInfo(model, "rev", parameters=10 ** rng.uniform(7, 10)),
            f"{name}Retrieval{kind.capitalize()}",
            name,
            kind,  # type: ignore[arg-type]
            {"test": tuple(subset(kind, *x) for x in chosen)},
            Path("/data/x.json"),
        )
        for kind, chosen in pairs.items()
        if rng.random() >= missing
    ]


def page(
    models: Sequence[str],
    sets: Sequence[str],
    options: Options,
    languages: Sequence[str] = LANGUAGES,
    missing: float = 0.0,
) -> str:
    """The page of some models with random scores."""
    rng = random.Random(0)
    found = [
        one
        for model in models
        for name in sets
        for one in scores(model, name, rng, languages, missing)
    ]
    skipped = (Skipped(Path("/r/org__m/rev", "Task.json"), HOSTILE[0]),)
    report = ReadReport(tuple(found), skipped)
    return render(build_table(report, options), "html", make_charts(report, options))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    """Chromium without a window, with logs of its console and of its network."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    server = shutil.which("chromedriver")
    if browser is None or server is None:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu",
                     "disable-background-networking", "window-size=1280,900",
                     f"user-data-dir={profile}"):  # fmt: skip
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=server)
    found = webdriver.Chrome(options=options, service=service)
    yield found
    found.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of few models with hostile names, one in pages, and one of 500 models."""
    folder = tmp_path_factory.mktemp("pages")
    few = [*HOSTILE, "intfloat/multilingual-e5-small", "sentence-transformers/LaBSE"]
    many = [f"org{n % 40}/model-{n:03}" for n in range(500)]
    made = {
        "paged": page(many[:120], ("XQuAD", "Demo"), Options(), ("de", "en")),
        "few": page(few, ("XQuAD", "MLQA"), Options(), missing=0.1),
        "many": page(
            many, ("XQuAD", "MLQA", "Demo"), Options(metrics=("default", "mrr_at_10")), ("de", "en")
        ),
        "language": page(few[-2:], ("XQuAD",), Options(breakdown="language")),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


Open = Callable[..., "WebDriver"]


@pytest.fixture
def opened(driver: WebDriver, files: dict[str, Path]) -> Iterator[Open]:
    """Opens a page of a width and colour scheme; afterwards nothing may have gone wrong in it."""

    def show(name: str | Path, width: int = 1280, scheme: str = "light") -> WebDriver:
        driver.get("about:blank")
        driver.get_log("browser")
        driver.get_log("performance")
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        path = name if isinstance(name, Path) else files[name]
        driver.get(path.as_uri())
        wait(driver, "document.documentElement.dataset.ready === 'yes'")
        return driver

    yield show
    assert driver.get_log("browser") == []
    assert [
        url for url in requests(driver) if not url.startswith(("file:", "about:", "data:"))
    ] == []


def requests(driver: WebDriver) -> list[str]:
    """The addresses that the browser asked for since the log was read last."""
    messages = (json.loads(x["message"])["message"] for x in driver.get_log("performance"))
    return [
        x["params"]["request"]["url"]
        for x in messages
        if x["method"] == "Network.requestWillBeSent"
    ]


def wait(driver: WebDriver, condition: str, seconds: float = 30) -> None:
    """Wait until an expression holds in the page."""
    end = time.monotonic() + seconds
    while not driver.execute_script(f"return Boolean({condition})"):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def column(driver: WebDriver, place: int) -> list[str]:
    """The texts of a column of the table, counted from 0, as the rows stand."""
    return driver.execute_script(
        "return [...document.querySelectorAll('#table tbody tr')].map("
        "(row) => row.children[arguments[0]].textContent)",
        place,
    )


def button(driver: WebDriver, text: str) -> Any:
    """What sorts by the first column whose head has a text."""
    return driver.execute_script(
        "return [...document.querySelectorAll('#table thead th')].find("
        "(head) => head.textContent.includes(arguments[0])).querySelector('[role=button]')",
        text,
    )


def numbers(texts: Sequence[str]) -> list[float]:
    """The numbers of some cells, without missing ones."""
    return [float(text.rstrip("*").split()[0]) for text in texts if text != "—"]


def test_a_click_and_the_enter_key_sort(opened: Open) -> None:
    """Best first at the first time, the other way at the second; missing values last both times."""
    driver = opened("few")
    head = button(driver, "Cross (mAP")
    place = int(driver.execute_script("return arguments[0].closest('th').dataset.dtColumn", head))
    before = column(driver, place)
    assert before.count("—") == 1  # a model lacks it
    head.click()
    wait(driver, "document.querySelector('th.dt-ordering-desc')")
    down = column(driver, place)
    assert numbers(down) == sorted(numbers(before), reverse=True)
    assert down[-1] == "—"
    head.send_keys("\ue007")  # the Enter key
    wait(driver, "document.querySelector('th.dt-ordering-asc')")
    assert numbers(column(driver, place)) == sorted(numbers(before))
    assert column(driver, place)[-1] == "—"
    sort = "return document.querySelector('th.dt-ordering-asc').getAttribute('aria-sort')"
    assert driver.execute_script(sort) == "ascending"
    button(driver, "Language bias").click()
    wait(driver, "document.querySelector('th.dt-ordering-asc')?.textContent.includes('bias')")


def test_search_filters_names_alone(opened: Open) -> None:
    """Part of a name in any case; digits of values match nothing; the number of rows is told."""
    driver = opened("few")
    box = driver.find_element("id", "search")
    box.send_keys("LABSE")
    assert column(driver, 0) == ["sentence-transformers/LaBSE"]
    assert driver.find_element("id", "count").text == "1 of 8 rows"
    box.clear()
    box.send_keys("0.4")
    assert driver.find_element("id", "count").text == "0 of 8 rows"
    driver.execute_script(
        "arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", box
    )
    assert driver.find_element("id", "count").text == "8 of 8 rows"


def test_columns_and_sets_can_be_hidden_by_keyboard(opened: Open) -> None:
    """The space key on their boxes; the set's box tells whether all, some or none are shown."""
    driver = opened("few")
    heads = "return document.querySelectorAll('#table thead tr:last-child th').length"
    all_heads = driver.execute_script(heads)
    driver.find_element("css selector", "#controls summary").send_keys(" ")
    driver.find_element("css selector", ".column").send_keys(" ")
    assert driver.execute_script(heads) == all_heads - 1
    group = driver.find_element("css selector", ".group")
    assert driver.execute_script("return arguments[0].indeterminate", group) is True
    boxes = "return document.querySelector('#columns fieldset').querySelectorAll('.column').length"
    set_size = driver.execute_script(boxes)
    group.send_keys(" ")
    if group.is_selected():  # from some to all
        assert driver.execute_script(heads) == all_heads
        group.send_keys(" ")
    assert driver.execute_script(heads) == all_heads - set_size
    assert "XQuAD" not in driver.execute_script(
        "return document.querySelector('#table thead').textContent"
    )
    group.send_keys(" ")
    assert driver.execute_script(heads) == all_heads


def test_dark_and_light(opened: Open) -> None:
    """As the system has it, until the button says otherwise."""
    luminance = (
        "const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g);"
        "return Number(r) + Number(g) + Number(b)"
    )
    for scheme, is_dark in (("dark", True), ("light", False)):
        driver = opened("few", scheme=scheme)
        theme = driver.find_element("id", "theme")
        for expected in (is_dark, not is_dark, is_dark):
            assert (driver.execute_script(luminance) < 200) == expected
            assert theme.text == ("Light" if expected else "Dark")
            theme.send_keys(" ")


@pytest.mark.parametrize("name", ["few", "paged", "language"])
def test_a_phone_scrolls_the_table_and_not_the_page(opened: Open, name: str) -> None:
    """At 360 pixels the page is as wide as the screen, the table wider than its box."""
    driver = opened(name, width=360)
    width = driver.execute_script("return document.documentElement.scrollWidth")
    assert width == driver.execute_script("return window.innerWidth") == 360
    assert driver.execute_script("return document.querySelector('.scroll').scrollWidth") > 360
    driver.execute_script("document.querySelector('#controls details').open = true")
    driver.execute_script("document.querySelectorAll('details').forEach((x) => { x.open = true; })")
    assert driver.execute_script("return document.documentElement.scrollWidth") == 360


def test_hostile_names_run_nothing(opened: Open) -> None:
    """They are text in the table, the charts and the lists, also after the table was redrawn."""
    driver = opened("few")
    for _ in range(2):
        button(driver, "Model").click()
    driver.find_element("id", "search").send_keys("<")
    assert sorted(column(driver, 0)) == sorted(x for x in HOSTILE if "<" in x)
    for index in range(len(HOSTILE)):
        choose(driver, "heat", 1, index)
    assert driver.execute_script("return window.hit === undefined")
    assert (
        driver.execute_script("return document.querySelectorAll('img, table svg, iframe').length")
        == 0
    )
    sources = "return [...document.querySelectorAll('a')].map((x) => x.getAttribute('href'))"
    assert {x[:1] for x in driver.execute_script(sources)} == {"#"}
    texts = driver.execute_script("return document.querySelector('#scatter svg').textContent")
    assert "<!--<script>" in texts


def choose(driver: WebDriver, chart: str, select: int, index: int) -> str:
    """Choose an entry of a chart's list and return the caption once it is drawn."""
    driver.execute_script(
        "const made = document.querySelectorAll(`#${arguments[0]} select`)[arguments[1]];"
        "made.value = arguments[2]; made.dispatchEvent(new Event('change'))",
        chart, select, index,
    )  # fmt: skip
    caption = f"document.querySelector('#{chart} figcaption').textContent"
    wait(
        driver, f"document.querySelector('#{chart} .plot').getAttribute('aria-label') === {caption}"
    )
    return str(driver.execute_script(f"return {caption}"))


def chart_rows(driver: WebDriver, chart: str) -> list[list[str]]:
    """The table that stands for a chart."""
    return driver.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map("
        "(row) => [...row.children].map((cell) => cell.textContent))",
        chart,
    )


def test_the_heat_map_follows_the_model(opened: Open) -> None:
    """Each cell has its number, the caption its ends, the table its values; all change together."""
    driver = opened("few")
    found = {}
    for index in (0, 1):
        caption = choose(driver, "heat", 1, index)
        rows = chart_rows(driver, "heat")
        values = [float(value) for _, _, value in rows]
        assert len(rows) in {11, 110, 121}
        assert values == sorted(values, reverse=True)
        assert f"{len(rows)} pairs" in caption
        assert f"best {rows[0][0]} → {rows[0][1]} ({rows[0][2]})" in caption
        cells = driver.execute_script(
            "return [...document.querySelectorAll('#heat .role-mark.mark-text text')]"
            ".map((x) => x.textContent)"
        )
        drawn = sorted(float(x) for x in cells if x[0] in "01")
        assert drawn == pytest.approx(sorted(values), abs=0.0051)
        labels = driver.execute_script(
            "return [...document.querySelectorAll('#heat svg [aria-label]')].map("
            "(x) => x.getAttribute('aria-label'))"
        )
        assert sum(
            re.fullmatch(r"[a-z]{2} to [a-z]{2}: [\d.]+", x) is not None for x in labels
        ) == len(rows)
        found[index] = values
    assert found[0] != found[1]


def test_the_scatter_names_the_models_that_none_beats(opened: Open) -> None:
    """The caption's models are exactly those of a slow search; few models have a shape each."""
    driver = opened("few")
    caption = choose(driver, "scatter", 0, 0)
    points = [
        (name, float(up), float(across)) for name, up, across in chart_rows(driver, "scatter")
    ]
    best = [
        name
        for name, up, across in points
        if not any(u >= up and a <= across and (u, a) != (up, across) for _, u, a in points)
    ]
    assert 0 < len(best) < len(points)
    assert caption.split("better in both than: ")[1] == ", ".join(best) + "."
    shapes = driver.execute_script(
        "return [...document.querySelectorAll('#scatter .mark-symbol path')]"
        ".map((x) => x.getAttribute('d'))"
    )
    assert len(set(shapes)) == len(shapes) == len(points)


def test_the_bars_show_who_is_shown(opened: Open) -> None:
    """Shares of a query language add up to one, and its own bar is named, not only coloured."""
    driver = opened("few")
    caption = choose(driver, "bars", 2, 1 + LANGUAGES.index("de"))
    assert "query language de" in caption
    rows = chart_rows(driver, "bars")
    assert [name for name, _ in rows] == list(LANGUAGES)
    assert sum(float(share) for _, share in rows) == pytest.approx(1, abs=0.001)
    assert max(rows, key=lambda row: float(row[1]))[0] == "de"
    texts = driver.execute_script("return document.querySelector('#bars svg').textContent")
    assert texts.count("the query's own") == 1


def test_marks_of_the_table_are_told_to_every_reader(opened: Open) -> None:
    """Heads have scopes, the box that scrolls can be reached by keyboard, controls have names."""
    driver = opened("few")
    driver.execute_cdp_cmd("Accessibility.enable", {})
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names: dict[str, list[str]] = {}
    for node in tree:
        role = node.get("role", {}).get("value", "")
        names.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    for role in ("button", "combobox", "checkbox", "searchbox", "graphics-document", "region"):
        assert all(names.get(role, [""])) or role == "checkbox", (role, names.get(role))
    assert len(names["graphics-document"]) == 3
    assert "rowheader" in names
    assert driver.execute_script("return document.documentElement.lang") == "en"
    first = driver.execute_script("return document.querySelector('a').getAttribute('href')")
    assert driver.execute_script("return document.querySelector(arguments[0]) !== null", first)


def test_five_hundred_models_stay_smooth(opened: Open) -> None:
    """500 rows of 40 columns and more: a sort, a search or a toggle takes less than two seconds."""
    driver = opened("many")
    assert driver.find_element("id", "count").text == "500 of 500 rows"
    assert (
        driver.execute_script("return document.querySelector('#table tbody tr').children.length")
        >= 40
    )
    frame = "requestAnimationFrame(() => setTimeout("
    after = f"; {frame}() => {frame}done))))"
    steps = {
        "sort": "document.querySelectorAll('#table thead tr:last-child [role=button]')[5].click()",
        "search": "search.value = 'org3/'; search.dispatchEvent(new Event('input'))",
        "clear": "search.value = ''; search.dispatchEvent(new Event('input'))",
        "hide": "document.querySelector('.group').click()",
        "next page": "document.querySelector('.dt-paging-button.next').click()",
    }
    start = "const done = arguments[0], search = document.getElementById('search'); "
    for name, step in steps.items():
        begin = time.monotonic()
        driver.execute_async_script(start + step + after)
        assert time.monotonic() - begin < 2, name
    assert (
        driver.execute_script("return document.querySelectorAll('#table tbody tr').length") == 100
    )


def test_paper_has_all_rows_and_a_table_a_set(opened: Open) -> None:
    """Printing writes a PDF with every row in every set; afterwards the page is as before."""
    driver = opened("paged", scheme="dark")
    assert driver.find_element("id", "count").text == "120 of 120 rows"
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    tables = (
        "return [...document.querySelectorAll('#printed table')]"
        ".map((x) => x.tBodies[0].rows.length)"
    )
    assert driver.execute_script(tables) == [120, 120]
    widths = (
        "return [...document.querySelectorAll('#printed table')].map("
        "(x) => [x.tHead.rows[1].cells.length + 2, x.tBodies[0].rows[0].cells.length])"
    )
    assert all(head == body > 10 for head, body in driver.execute_script(widths))
    driver.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert driver.execute_script(tables) == []
    driver = opened("few", scheme="dark")
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")
    assert driver.execute_script("return document.querySelectorAll('#printed table').length") == 0


def test_the_table_is_there_without_script(driver: WebDriver, files: dict[str, Path]) -> None:
    """All rows and values, no dead control, and a word on what is missing."""
    driver.get("about:blank")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(files["few"].as_uri())
        text = driver.find_element("tag name", "body").text
        rows = [row.text for row in driver.find_elements("css selector", "#table tbody tr")]
        assert len(rows) == 8
        assert rows[0].startswith("sentence-transformers/LaBSE 566 ")
        assert "Without JavaScript" in text
        assert "Search models" not in text
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_public_results_make_a_page(opened: Open, tmp_path: Path, shared_data: Path) -> None:
    """The export of mteb's own results: pairs of 122 languages, below three megabytes."""
    archive = shared_data / "mteb_results.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not there")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "public", filter="data")
    path = tmp_path / "board.html"
    export([tmp_path / "public"], "html", path)
    assert path.stat().st_size < 3e6
    driver = opened(path)
    assert driver.find_element("id", "count").text == "57 of 57 rows"
    assert "376 pairs" in choose(driver, "heat", 0, 0)
    assert "No other model is better in both" in choose(driver, "scatter", 0, 1)
    assert "no result has language shares" in driver.find_element("tag name", "main").text
