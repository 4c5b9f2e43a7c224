"""Translated queries: original, away, and away and back, side by side; and what is missing."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mteb
import pytest
from click.testing import CliRunner
from sentence_transformers import SentenceTransformer

from mteb_tasks.download import ChecksumError
from mteb_tasks.miracl.data import LANGUAGES
from mteb_tasks.miracl.tasks import MIRACLRetrievalCross, MIRACLRetrievalPooled
from mteb_tasks.miracl.translations import MissingTranslationError, available, find_folder
from st_hybrid.commands.translate import translate

pytestmark = pytest.mark.usefixtures("data")

Write = Callable[..., Path]


def cross(*subsets: str) -> MIRACLRetrievalCross:
    task = MIRACLRetrievalCross()
    task.hf_subsets = list(subsets)
    return task


def run(model: Any, task: Any, **options: Any) -> dict[str, Any]:
    (result,) = mteb.evaluate(model, task, cache=None, **options).task_results
    return {scores["hf_subset"]: scores for split in result.scores.values() for scores in split}


def test_names_of_subsets() -> None:
    """18 languages as they are, 306 pairs, and 306 ways away and back; those of a pool together."""
    metadata = MIRACLRetrievalCross.metadata
    names = metadata.hf_subsets
    assert len(names) == len(set(names)) == 18 + 306 + 306
    assert metadata.hf_subsets_to_langscripts["en-de"] == ["eng-Latn", "deu-Latn"]
    assert metadata.hf_subsets_to_langscripts["de-de"] == ["deu-Latn"]
    assert metadata.hf_subsets_to_langscripts["de-en-de"] == ["deu-Latn"]
    pools = [name.rpartition("-")[2] for name in names]
    assert [x for n, x in enumerate(pools) if n == 0 or pools[n - 1] != x] == list(LANGUAGES)


def test_three_kinds_side_by_side(
    made: dict[str, Any], encoder: SentenceTransformer, translations: Write
) -> None:
    """Each is scored with its own queries on the same passages and judgments, and says which."""
    away, back = translations(("de", "en")), translations(("de", "en", "de"))
    scores = run(encoder, cross("de-de", "en-de", "de-en-de"))
    assert list(scores) == ["de-de", "en-de", "de-en-de"]
    pooled = MIRACLRetrievalPooled().filter_languages(None, hf_subsets=["de"])
    upper = run(encoder, pooled)["de"]["ndcg_at_10_monolingual"]
    assert scores["de-de"]["ndcg_at_10"] == upper
    ids = list(made["de"].passages)
    texts = [f"{title} {text}".strip() for title, text in made["de"].passages.values()]
    for name, path in (("en-de", away), ("de-en-de", back)):
        rows = dict(line.split("\t") for line in path.read_text().splitlines()[1:])
        found = encoder.similarity(encoder.encode(list(rows.values())), encoder.encode(texts))
        recalls = []
        for query, line in zip(rows, found.tolist(), strict=True):
            relevant = {x for x, grade in made["de"].judged[query].items() if grade}
            best = [ids[n] for n in sorted(range(len(ids)), key=lambda n: -line[n])[:10]]
            recalls.append(len(relevant & set(best)) / len(relevant))
        assert scores[name]["recall_at_10"] == pytest.approx(sum(recalls) / len(recalls), abs=1e-5)
    facts = {name: {x: y for x, y in s.items() if "at" not in x} for name, s in scores.items()}
    assert {name: s["queries"] for name, s in facts.items()} == {
        "de-de": "original", "en-de": "translated", "de-en-de": "translated back"
    }  # fmt: skip
    assert [s["query_language"] for s in facts.values()] == ["de", "en", "de"]
    assert {s["passage_language"] for s in facts.values()} == {"de"}
    assert {s["n_queries"] for s in facts.values()} == {len(made["de"].queries)}
    assert facts["de-en-de"]["pivot_language"] == "en"
    assert "pivot_language" not in facts["en-de"]
    assert MIRACLRetrievalCross.metadata.sample_creation == "machine-translated"


def test_scores_tell_their_translation(encoder: SentenceTransformer, translations: Write) -> None:
    """SHA-256 of the queries, and file, model and decoding of every step, told apart by files."""
    model = {"name": "m2m", "revision": "abc", "family": "M2M-100"}
    away = translations(("de", "en"), model=model, decoding={"beams": 2, "dtype": "float32"})
    back = translations(("de", "en", "de"))
    scores = run(encoder, cross("de-de", "en-de", "de-en-de"))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (away, back)]
    first = {
        "file": "de/en.tsv",
        "sha256": digests[0],
        "model": model,
        "decoding": {"beams": 2, "dtype": "float32"},
    }
    assert scores["en-de"]["query_sha256"] == digests[0]
    assert scores["en-de"]["translation"] == [first]
    assert scores["de-en-de"]["query_sha256"] == digests[1]
    assert scores["de-en-de"]["translation"][0] == first
    assert scores["de-en-de"]["translation"][1]["file"] == "de/en/de.tsv"
    assert not {"query_sha256", "translation"} & set(scores["de-de"])
    translations(("de", "en"), {str(n): "w1 w2" for n in range(9)})
    again = run(encoder, cross("en-de"))
    assert again["en-de"]["query_sha256"] != digests[0]


def test_subsets_without_queries_are_left_out(
    encoder: SentenceTransformer, translations: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever translated two pairs gets these and the originals, and is told of the rest."""
    translations(("de", "en"))
    translations(("sw", "fr"))
    task = MIRACLRetrievalCross()
    assert task.hf_subsets == [
        name for x in LANGUAGES for name in (f"{x}-{x}", {"de": "en-de", "sw": "fr-sw"}.get(x))
        if name
    ]  # fmt: skip
    assert MIRACLRetrievalCross().filter_languages(["fra"]).hf_subsets == ["fr-fr", "fr-sw"]
    task = cross("de-de", "en-de", "fr-de", "de-en-de")
    with caplog.at_level(logging.WARNING, "mteb_tasks.miracl.cross"):
        scores = run(encoder, task)
    assert list(scores) == ["de-de", "en-de"]
    (message,) = [x.getMessage() for x in caplog.records if x.name == "mteb_tasks.miracl.cross"]
    assert "2 subsets are left out" in message
    assert "the first is fr-de: st-hybrid data translate" in message


def test_without_translations_the_error_gives_the_commands(
    made: dict[str, Any], translations: Write
) -> None:
    """Folder, variable and a command that has its input ready: the file with the queries."""
    task = cross("en-de")
    with pytest.raises(MissingTranslationError) as caught:
        task.load_data()
    message = str(caught.value)
    folder = find_folder()
    assert (
        f"ST_HYBRID_MIRACL_QUERIES names (now {folder}): {folder / 'de' / 'en.tsv'} does" in message
    )
    command = shlex.split(message.rpartition("Make them with: ")[2])
    source = Path(command[3])
    assert command == [
        *("st-hybrid", "data", "translate", str(source), "--from", "de", "--to", "en"),
        *("--model", "facebook/nllb-200-distilled-600M", "--output", str(folder / "de")),
    ]
    lines = source.read_text(encoding="utf-8").splitlines()
    assert lines == ["id\tde", *(f"{x}\t{text}" for x, text in made["de"].queries.items())]
    with pytest.raises(MissingTranslationError, match=r"--output \S*de && st-hybrid .*/de/en$"):
        cross("de-en-de").load_data()
    translations(("de", "en"))
    with pytest.raises(MissingTranslationError) as caught:
        cross("de-en-de").load_data()
    assert re.search(r"translate \S*/de/en.tsv --from en --to de", str(caught.value))
    assert "&&" not in str(caught.value)


def test_originals_alone_need_no_translation(encoder: SentenceTransformer) -> None:
    """Monolingual subsets can always be evaluated."""
    assert list(run(encoder, cross("yo-yo", "sw-sw"))) == ["yo-yo", "sw-sw"]


def test_empty_translations_are_asked_and_counted(
    encoder: SentenceTransformer, translations: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """A system's failure is a part of what it does, and the number of queries stays the same."""
    translations(("de", "en"), {str(n): "w1 w2" if n else "" for n in range(6)})
    scores = run(encoder, cross("en-de"))["en-de"]
    assert (scores["n_queries"], scores["n_empty_queries"]) == (6, 1)
    assert "1 of 6 translations are empty" in caplog.text


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["id\ten", "0\ta"], r"en.tsv lacks 5 of 6 queries: 1, 2, 3 \.\.\."),
        (["id\ten", "0\ta", "0\tb"], "line 3: the id repeats"),
        (["id\ten", "0\ta\tb"], "line 2: 3 fields"),
        (["id\tfr", *(f"{n}\ta" for n in range(5))], "lacks 1 of 6 queries: 5"),
    ],
)
def test_malformed_files(
    lines: list[str], error: str, translations: Write, made: dict[str, Any]
) -> None:
    """What lacks, repeats or has too many fields is named, with its line."""
    path = translations(("de", "en"))
    path.write_text("\n".join(lines) + "\n")
    sidecar = path.with_name("translation.json")
    about = json.loads(sidecar.read_text())
    about["files"]["de/en.tsv"] = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar.write_text(json.dumps(about))
    with pytest.raises((ValueError, MissingTranslationError), match=error):
        cross("en-de").load_data()


def test_files_and_sidecars_that_do_not_fit(translations: Write) -> None:
    """An edited file, a missing or broken sidecar, and a way back from another translation."""
    path = translations(("de", "en"))
    sidecar, content = path.with_name("translation.json"), path.read_text()
    path.write_text(content + "99\tmore\n")
    with pytest.raises(ChecksumError, match=r"de/en.tsv is not the file that .* is about"):
        cross("en-de").load_data()
    path.write_text(content)
    about = sidecar.read_text()
    for broken, error in (("{", "is not JSON"), ('{"files": {}}', "objects under model, decoding")):
        sidecar.write_text(broken)
        with pytest.raises(ValueError, match=error):
            cross("en-de").load_data()
    sidecar.unlink()
    with pytest.raises(ValueError, match=r"translation.json does not exist: without it nobody"):
        cross("en-de").load_data()
    sidecar.write_text(about)
    translations(("de", "en", "de"))
    cross("de-en-de").load_data()
    translations(("de", "en"), {str(n): "other" for n in range(9)})
    with pytest.raises(ChecksumError, match=r"about a translation of another file than de/en.tsv"):
        cross("de-en-de").load_data()


def test_where_translations_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, then the folder of the data, then the cache; one on the hub at a commit."""
    monkeypatch.setenv("ST_HYBRID_DATA", str(tmp_path))
    monkeypatch.setenv("ST_HYBRID_CACHE", str(tmp_path / "cache"))
    assert find_folder() == tmp_path / "cache" / "miracl" / "queries"
    own = tmp_path / "miracl" / "queries"
    own.mkdir(parents=True)
    assert find_folder() == own
    monkeypatch.setenv("ST_HYBRID_MIRACL_QUERIES", f"me/queries@{'0' * 40}")
    with pytest.raises(FileNotFoundError, match="not in the hub's cache, and HF_HUB_OFFLINE"):
        find_folder()
    snapshot = tmp_path / "hub" / "datasets--me--queries" / "snapshots" / ("0" * 40)
    (snapshot / "de" / "en").mkdir(parents=True)
    for name in ("de/en.tsv", "de/en/de.tsv", "de/marks.tsv"):
        (snapshot / name).touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert available(find_folder()) >= {("de", "en"), ("de", "en", "de")}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_with_the_real_command(encoder: SentenceTransformer, translator: Path) -> None:
    """What the error asks for makes what the task reads, files, sidecars and all."""
    with pytest.raises(MissingTranslationError) as caught:
        cross("de-en-de").load_data()
    for command in str(caught.value).rpartition("Make them with: ")[2].split(" && "):
        words = shlex.split(command.replace("facebook/nllb-200-distilled-600M", str(translator)))
        assert words[:3] == ["st-hybrid", "data", "translate"]
        done = CliRunner().invoke(
            translate, [*words[3:], "--beams", "1", "--max-new-tokens", "6", "--device", "cpu"]
        )
        assert done.exit_code == 0, done.output
    scores = run(encoder, cross("de-de", "en-de", "de-en-de"))
    assert len(scores) == 3
    away, back = scores["de-en-de"]["translation"]
    assert scores["en-de"]["translation"] == [away]
    assert (away["file"], back["file"]) == ("de/en.tsv", "de/en/de.tsv")
    assert away["model"]["architecture"] == "M2M100ForConditionalGeneration"
    assert away["decoding"]["beams"] == 1
    assert scores["de-en-de"]["n_empty_queries"] < scores["de-en-de"]["n_queries"]
