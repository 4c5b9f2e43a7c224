"""The settings of ``st-hybrid train``: how files are read, and what a mistake is told."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from st_hybrid.config_files import merge_settings, parse_value, read_config, read_settings
from st_hybrid.parallel import PROMPTS
from st_hybrid.training_config import EvaluationConfig, LossConfig, StaticConfig, TrainingConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "train-command.md").read_text(encoding="utf-8")
BASE: dict[str, Any] = {"model": "m", "data": ["d"], "output": "o"}


def test_what_is_not_given() -> None:
    """The paper's alpha and prompts, one epoch, absolute paths."""
    config = read_config(BASE).resolved()
    assert config.batching == (0.5, "hybrid", "all")
    assert config.prompts == PROMPTS
    assert (config.steps, config.epochs) == (None, 1.0)
    assert (config.data, config.model) == ((str(Path.cwd() / "d"),), "m")


@pytest.mark.parametrize(
    ("method", "batching"),
    [
        ("mono", (1.0, "hybrid", "monolingual")),
        ("cross", (0.0, "hybrid", "cross-lingual")),
        ("mixed-mono", (1.0, "mixed-monolingual", "monolingual")),
        ("row-wise", (0.5, "row-wise", "all")),
    ],
)
def test_methods(method: str, batching: tuple[float, str, str]) -> None:
    config = read_config(BASE | {"method": method})
    assert config.batching == batching
    assert read_config(yaml.safe_load(config.resolved().to_yaml())).batching == batching


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("[no, de]", ["no", "de"]),
        ("on", "on"),
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("12:30", "12:30"),
        ("012", 12),
        ("-3", -3),
        ("1.0.0", "1.0.0"),
        ("e5", "e5"),
        ("true", True),
        ("~", None),
        ("", None),
        ("2001-01-01", "2001-01-01"),
        ("'5'", "5"),
        ("{en-de: 2}", {"en-de": 2}),
    ],
)
def test_values_are_read_as_yaml_1_2(text: str, value: object) -> None:
    """Norwegian is no truth value, and a learning rate needs no dot."""
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "model: m\ndata: d\noutput: o\nlanguages: [no, DEU, zho_Hans]\nloss: {scale: 30}\n"
    )
    (tmp_path / "a.toml").write_text(
        'model = "m"\ndata = ["d"]\noutput = "o"\nlanguages = ["no", "de", "zh"]\n'
        "[loss]\nscale = 30.0\n"
    )
    one, other = (read_config(read_settings(tmp_path / f"a.{x}")) for x in ("yaml", "toml"))
    assert one == other
    assert one.languages == ("no", "de", "zh")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "model: m\nalpha: [1\n", "a.yaml, line 3: "),
        ("a.yaml", "model: m\nalpha: 1\nalpha: 0\n", "a.yaml, line 3: the key 'alpha' comes twice"),
        ("a.yaml", "- 1\n", "a.yaml: expected keys and values"),
        ("a.yaml", "model: \0\n", "a.yaml: "),
        ("a.toml", "model = \n", "a.toml: .*line 1"),
        ("a.json", "{}", "ends in .yaml, .yml or .toml"),
    ],
)
def test_malformed_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_settings(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_settings(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alhpa": 1}, "f: unknown key 'alhpa': did you mean 'alpha'?"),
        ({"loss": {"scael": 3}}, "f: unknown key 'loss.scael': did you mean 'loss.scale'?"),
        ({"loss": {"scale": -3}}, "f: loss.scale is -3: expected a number above 0.0"),
        ({"loss": 5}, "f: loss is 5: expected a section of keys"),
        ({"batch_size": "64"}, "f: batch_size is '64': expected a whole number"),
        ({"seed": True}, "f: seed is True: expected a whole number"),
        ({"bf16": 1}, "f: bf16 is 1: expected true or false"),
        ({"learning_rate": float("inf")}, "f: learning_rate is inf: expected a finite number"),
        ({"data": []}, "f: data is []: expected at least one"),
        ({"languages": [True]}, "f: languages is True: expected text"),
        ({"evaluation": {"share": 2}}, "f: evaluation.share is 2: expected a number below 1.0"),
        (
            {"steps": 0, "keep": 0},
            "f: steps is 0: expected a number above 0; keep is 0: expected a number above 0",
        ),
        (
            {"method": "hybird"},
            "f: method is 'hybird': expected 'hybrid', 'mono', 'cross', 'mixed-mono' or "
            "'row-wise'; did you mean 'hybrid'?",
        ),
        (
            {"prompts": {"qury": "a"}},
            "f: prompts is {'qury': 'a'}: expected 'model' (its own), 'none', or a mapping with "
            "'query' and 'document'",
        ),
        (
            {"pair_weights": -1},
            "f: pair_weights is -1: expected 'uniform', 'size', a temperature above 0, or a "
            "mapping from code to weight",
        ),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_config(BASE | settings, "f")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"static": {}}, "model and static: give one"),
        ({"model": None}, "model and static: give one"),
        ({"model": None, "static": {}, "revision": "v1"}, "revision is 'v1', but model is not"),
        ({"steps": 3, "epochs": 1}, "steps and epochs are both given"),
        ({"alpha": 1.5}, "alpha is 1.5: expected a number from 0 to 1"),
        ({"method": "mono", "alpha": 0.5}, "alpha is 0.5, but method is 'mono'"),
        ({"languages": ["de"]}, "needs two languages"),
        ({"languages": ["de", "en"], "held_out": ["deu"]}, "both name ['de']"),
        ({"languages": ["gremlin"]}, "'gremlin'"),
        ({"method": "cross", "monolingual": "x"}, "no monolingual data"),
        ({"passes": 2}, "partners is not given"),
        ({"prompts": {"query": "Q: "}}, "both 'query' and 'document'"),
        ({"evaluation": {}}, "evaluation: give one of share"),
        ({"evaluation": {"share": 0.1, "data": "x"}}, "evaluation: give one of share"),
        ({"evaluation": {"share": 0.1, "best": True}}, "evaluation.every is not given"),
        (
            {"evaluation": {"share": 0.1, "best": True, "every": 7}, "save_every": 10},
            "save_every is 10: evaluation.best needs a multiple of evaluation.every, 7",
        ),
        ({"loss": {"directions": ["doc_to_query"]}}, "expected 'query_to_doc' among them"),
        ({"loss": {"hardness_strength": 2}}, "loss.hardness_mode is None"),
        ({"model": None, "static": {}, "loss": {"mini_batch_size": 2}}, "gradient caching"),
        ({"model": None, "static": {"sparse": True}}, "device is 'auto': expected 'cpu'"),
    ],
)
def test_contradictions(settings: dict[str, Any], words: str) -> None:
    """In a file, and in Python alike where the record is made directly."""
    with pytest.raises(ValueError, match=re.escape(words)):
        read_config(BASE | settings)


def test_the_record_checks_itself() -> None:
    with pytest.raises(ValueError, match="steps and epochs"):
        TrainingConfig(model="m", data=("d",), output="o", steps=1, epochs=1)


@pytest.mark.parametrize("key", ["data", "output"])
def test_what_is_required(key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key} is missing$"):
        read_config({name: value for name, value in BASE.items() if name != key})


def test_options_take_the_place_of_keys() -> None:
    """Sections are entered, and one of two alternatives takes the other away."""
    settings = BASE | {"epochs": 2, "loss": {"scale": 30}, "evaluation": None}
    changes = {"steps": 5, "loss.mini_batch_size": 8, "evaluation.share": 0.1, "static.dropout": 0}
    merged = merge_settings(settings, changes)
    assert merged == {
        "data": ["d"],
        "output": "o",
        "steps": 5,
        "loss": {"scale": 30, "mini_batch_size": 8},
        "evaluation": {"share": 0.1},
        "static": {"dropout": 0},
    }
    assert settings["loss"] == {"scale": 30}
    with pytest.raises(ValueError, match="model is 'm', not a section"):
        merge_settings(settings, {"model.x": 1})


@hypothesis.settings(max_examples=40)
@given(
    alpha=st.floats(0, 1),
    rate=st.floats(1e-12, 1e3),
    weights=st.sampled_from(["size", 2.5, {"no": 1.0, "de": 0.5}]),
    prompts=st.one_of(
        st.sampled_from(["model", "none"]),
        st.fixed_dictionaries({"query": st.text(), "document": st.text()}),
    ),
)
@hypothesis.example(
    alpha=0.5, rate=1e-5, weights="size", prompts={"query": "\x85", "document": "a\u2028\r\n\t b "}
)
def test_what_is_written_is_read_back(
    alpha: float, rate: float, weights: Any, prompts: Any
) -> None:
    """By our reader, and by a reader of YAML 1.1 as far as numbers have a dot."""
    changes = {"alpha": alpha, "learning_rate": rate, "prompts": prompts, "held_out": ["no"]}
    config = read_config(BASE | changes | {"language_weights": weights}).resolved()
    text = config.to_yaml()
    assert read_config(typing.cast("dict[str, Any]", parse_value(text))) == config
    assert read_config(yaml.safe_load(text)) == config


@pytest.mark.parametrize(
    ("warmup", "expected"), [(0, 0), (0.1, 11), (0.5, 51), (1, 1), (30, 30), (1e-9, 1)]
)
def test_warmup(warmup: float, expected: int) -> None:
    assert read_config(BASE | {"warmup": warmup}).warmup_steps(101) == expected


def test_the_page_names_every_key() -> None:
    """Keys of the table are the record's; so are those of its sections."""
    table = PAGE.split("## Keys")[1]
    first = " ".join(row.split("|")[1] for row in table.splitlines() if "`" in row)
    keys = sorted(field.name for field in dataclasses.fields(TrainingConfig))
    assert sorted(re.findall(r"`(\w+)`", first)) == keys
    for section, kind in (
        ("static", StaticConfig),
        ("loss", LossConfig),
        ("evaluation", EvaluationConfig),
    ):
        (row,) = re.findall(rf"^\| `{section}` .*$", table, re.M)
        named = set(re.findall(r"`(\w+)`", row))
        assert {field.name for field in dataclasses.fields(kind)} <= named


def test_the_examples_are_right() -> None:
    """The file, and the YAML of the page."""
    config = read_config(read_settings(ROOT / "examples" / "train.yaml"))
    assert (config.held_out, config.learning_rate, config.bf16) == (("el", "vi"), 3e-5, True)
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    scratch = read_config(typing.cast("dict[str, Any]", parse_value(block)))
    assert scratch.static == StaticConfig(vocabulary=80_000, sparse=True)


def test_reading_settings_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom st_hybrid.config_files import read_config\n"
        f"read_config({BASE!r})\n"
        "print([x for x in ('torch', 'transformers', 'datasets') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
