"""Translations of files: what comes out, stopping and going on, several processes, the command."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

from st_hybrid.commands.translate import translate as command
from st_hybrid.corpora.texts import read_parallel_texts
from st_hybrid.languages import UnknownLanguageError
from st_hybrid.quality import mark_pairs
from st_hybrid.translate import (
    Decoding,
    TranslationError,
    TranslationReport,
    Translator,
    load_translator,
    merge_translations,
    translate,
)
from st_hybrid.translation import sharing

GREEDY = Decoding(beams=1, max_new_tokens=6)
TALE = "the cat sat on a mat near an old red house in town while rain fell. Then it left."
WORDS = TALE.split()
SCRIPT = "from st_hybrid.commands.translate import translate\ntranslate()\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny NLLB-200 model with a vocabulary of characters."""
    folder = tmp_path_factory.mktemp("tiny-nllb")
    letters = "▁abcdefghijklmnopqrstuvwxyz.äöüабвгд字词句"
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters]
    tokenizer = NllbTokenizer(vocab={x: n for n, x in enumerate(tokens)}, merges=[])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(tokenizer), max_position_embeddings=48, init_std=0.5, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def translator(model: Path) -> Translator:
    """The model, loaded."""
    return load_translator(model, decoding=GREEDY, device="cpu")


def write_table(path: Path, rows: int) -> Path:
    """Write a wide table with gaps in English and some German already."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id\tde\ten\n")
        for row in range(rows):
            english = " ".join(WORDS[(row + n) % len(WORDS)] for n in range(1 + row % 23))
            german = "Schon da." if row % 10 == 3 else ""
            file.write(f"row-{row}\t{german}\t{'' if row % 25 == 7 else english}\n")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A wide table of 100 rows, which are two windows."""
    return write_table(tmp_path / "texts.tsv", 100)


def run(
    source: Path, output: Path, model: Any, to: Sequence[str], **options: Any
) -> TranslationReport:
    """Translate from English in this process, which is the first."""
    settings: dict[str, Any] = {"source_language": "en", "batch_tokens": 500, **options}
    report = translate(source, output, model=model, to=to, **settings)
    assert report is not None
    return report


def count_calls(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of pieces of every batch that the model translates."""
    calls: list[int] = []
    generate = translator.generate

    def counted(ids: Sequence[Sequence[int]], direction: Any) -> Any:
        calls.append(len(ids))
        return generate(ids, direction)

    monkeypatch.setattr(translator, "generate", counted)
    return calls


def test_a_wide_table_gets_columns(tmp_path: Path, translator: Translator) -> None:
    """Ids, order and what was there stay; gaps are filled with the model's translations alone."""
    table = write_table(tmp_path / "small.tsv", 24)
    report = run(table, tmp_path / "out.tsv.xz", translator, ["zh", "de"], batch_tokens=1)
    before, after = read_parallel_texts(table), read_parallel_texts(report.output)
    assert after.ids == before.ids
    assert after.languages == ("de", "en", "zh")
    assert after.column("en") == before.column("en")
    english = before.column("en").to_pylist()
    for code, there in (("de", before.column("de").to_pylist()), ("zh", [None] * 24)):
        made = translator.translate([text or "" for text in english], "en", code, batch_tokens=1)
        expected = [old or new or None for old, new in zip(there, made, strict=True)]
        assert after.column(code).to_pylist() == expected
    german = report.languages[0]
    assert (german.language, german.without_text) == ("de", 1)
    assert (german.translated, german.kept) == (20, 3)


def test_documents_with_titles(tmp_path: Path, translator: Translator) -> None:
    """Every column of a document is translated, each with its own translations."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "title": "red", "text": "the cat"}\n{"id": 2, "text": "a mat"}\n')
    report = run(path, tmp_path / "out", translator, ["de"], batch_tokens=1)
    made = [json.loads(line) for line in report.files[0].read_text().splitlines()]
    title, *texts = translator.translate(["red", "the cat", "a mat"], "en", "de", batch_tokens=1)
    assert made == [{"id": 1, "title": title, "text": texts[0]}, {"id": 2, "text": texts[1]}]
    assert report.languages[0].translated == 3


def test_the_sidecar_says_what_was_done(
    table: Path, tmp_path: Path, translator: Translator
) -> None:
    """Source, model, decoding, versions and counts, each so that it can be checked."""
    report = run(table, tmp_path / "out.tsv", translator, ["zh"])
    about = json.loads((tmp_path / "out.tsv.translation.json").read_text())
    assert about["machine_translated"] is True
    assert about["source"]["files"] == {"texts.tsv": hashlib.sha256(table.read_bytes()).hexdigest()}
    written = hashlib.sha256(report.output.read_bytes()).hexdigest()
    assert about["files"] == {"out.tsv": written}
    assert about["model"]["revision"] == translator.revision
    assert about["model"]["family"] == "NLLB-200"
    assert about["decoding"]["beams"] == 1
    assert about["decoding"]["max_source_tokens"] == 48
    assert about["decoding"]["dtype"] == "float32"
    assert about["runs"][0]["versions"]["torch"] == torch.__version__
    assert about["languages"]["zh"]["translated"] == 96


def test_marks_and_drops(table: Path, tmp_path: Path, translator: Translator) -> None:
    """Marks are those of the gates, row by row; dropping takes exactly the marked cells out."""
    kept = run(table, tmp_path / "kept.tsv", translator, ["zh"])
    dropped = run(table, tmp_path / "dropped.tsv", translator, ["zh"], drop_bad=True)
    english = read_parallel_texts(table).column("en")
    texts = read_parallel_texts(kept.output).column("zh")
    marks = mark_pairs(english, texts, "en", "zh")
    with kept.marks.open(encoding="utf-8") as file:
        said = {
            line["id"]: line["marks"].split(",") for line in csv.DictReader(file, delimiter="\t")
        }
    counts = kept.languages[0]
    for name, mask in marks.items():
        rows = {f"row-{row}" for row in range(100) if mask[row]}
        assert {row for row, names in said.items() if name in names} == rows
        assert counts.marked[name] == len(rows)
    assert 0 < counts.bad == len(said) == dropped.languages[0].dropped
    left = read_parallel_texts(dropped.output).column("zh").to_pylist()
    assert left == [
        None if f"row-{row}" in said else text for row, text in enumerate(texts.to_pylist())
    ]


def test_stopped_anywhere_it_goes_on(
    table: Path, tmp_path: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after any number of batches, with a torn line too, nothing is done twice or lost."""
    calls = count_calls(translator, monkeypatch)
    whole = run(table, tmp_path / "whole.tsv", translator, ["de", "zh"])
    batches, total = list(calls), sum(calls)
    generate = translator.generate
    for stop in (0, len(batches) // 2, len(batches) - 1):
        output = tmp_path / f"stopped-{stop}.tsv"
        calls.clear()

        def stopping(ids: Any, direction: Any, stop: int = stop) -> Any:
            if len(calls) == stop:
                raise KeyboardInterrupt
            return generate(ids, direction)

        monkeypatch.setattr(translator, "generate", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(table, output, translator, ["de", "zh"])
        assert not output.exists()
        monkeypatch.setattr(translator, "generate", generate)
        for journal in output.with_name(f"{output.name}.work").rglob("journals/*/text/*.jsonl"):
            with journal.open("ab") as file:
                file.write(b'[[3,0,1,"","half a li')
        again = run(table, output, translator, ["de", "zh"])
        assert calls == batches
        assert sum(calls) == total
        assert again.output.read_bytes() == whole.output.read_bytes()
        assert again.marks.read_bytes() == whole.marks.read_bytes()


def test_languages_are_added_later(
    table: Path, tmp_path: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One language after the other gives the file of all at once, and none is done again."""
    calls = count_calls(translator, monkeypatch)
    together = run(table, tmp_path / "together.tsv", translator, ["zh", "de"])
    total = list(calls)
    run(table, tmp_path / "later.tsv", translator, ["zh"])
    calls.clear()
    later = run(table, tmp_path / "later.tsv", translator, ["de"])
    assert 0 < len(calls) < len(total)
    assert later.output.read_bytes() == together.output.read_bytes()
    assert [x.language for x in later.languages] == ["de", "zh"]
    calls.clear()
    run(table, tmp_path / "later.tsv", translator, ["de", "zh"], batch_tokens=5000, drop_bad=True)
    assert calls == []  # batches and gates may change without a translation being made again


def test_changes_are_noticed(table: Path, tmp_path: Path, model: Path) -> None:
    """Another setting or source is never mixed in: the error says what changed."""
    output = tmp_path / "out.tsv"
    first = load_translator(model, decoding=GREEDY, device="cpu")
    run(table, output, first, ["zh"])
    other = load_translator(model, decoding=Decoding(beams=2, max_new_tokens=6), device="cpu")
    with pytest.raises(TranslationError, match=r"decoding\.beams was 1, is 2"):
        run(table, output, other, ["zh"])
    before = output.read_bytes()
    table.write_text(table.read_text().replace("Schon", "Bereits"))
    run(table, output, first, ["zh"])  # German is not what is translated
    table.write_text(table.read_text().replace("cat", "dog"))
    with pytest.raises(TranslationError, match=r"source\.content was '\w+', is '\w+'"):
        run(table, output, first, ["zh"])
    with pytest.raises(TranslationError, match="changed since it was translated"):
        merge_translations(table, output)
    run(table, output, first, ["zh"], overwrite=True)
    assert output.read_bytes() != before
    assert len(list((tmp_path / "out.tsv.work").iterdir())) == 1
    (tmp_path / "bare.tsv").write_text("id\tzh\n")
    with pytest.raises(TranslationError, match=r"bare\.tsv exists, but its work folder"):
        run(table, tmp_path / "bare.tsv", first, ["zh"])


def test_processes_share(
    table: Path, tmp_path: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process does its windows alone; a dead one is told of, and nothing is lost."""
    one = run(table, tmp_path / "one.tsv", translator, ["de", "zh"])
    output = tmp_path / "shared.tsv"
    calls = count_calls(translator, monkeypatch)
    monkeypatch.setattr(sharing, "_GRACE_SECONDS", 0.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(TranslationError, match=r"translations lack: another of the 2 processes"):
        run(table, output, translator, ["de", "zh"])
    assert not output.exists()
    with pytest.raises(TranslationError, match="none of the languages de, zh is complete"):
        merge_translations(table, output)
    first = len(calls)
    monkeypatch.setenv("RANK", "1")
    arguments: dict[str, Any] = {"model": translator, "source_language": "en", "batch_tokens": 500}
    assert translate(table, output, to=["de", "zh"], **arguments) is None
    assert 0 < first < len(calls)
    done = len(calls)
    assert merge_translations(table, output).output.read_bytes() == one.output.read_bytes()
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(TranslationError, match="RANK=2 and WORLD_SIZE=2"):
        run(table, output, translator, ["de", "zh"])
    monkeypatch.setenv("RANK", "0")
    assert run(table, output, translator, ["de", "zh"]).files == (output,)
    assert len(calls) == done


def test_arguments_are_checked(table: Path, tmp_path: Path, translator: Translator) -> None:
    """What is not allowed is refused before anything is translated."""
    output = tmp_path / "out.tsv"
    for to, message in (([], "to is empty"), (["en"], "to has 'en'")):
        with pytest.raises(ValueError, match=message):
            run(table, output, translator, to)
    with pytest.raises(UnknownLanguageError, match="did you mean 'zh'"):
        run(table, output, translator, ["zho_Hans"])
    with pytest.raises(TranslationError, match="does not translate to Latin"):
        run(table, output, translator, ["de", "la"])
    with pytest.raises(ValueError, match="batch_tokens is 0"):
        run(table, output, translator, ["de"], batch_tokens=0)
    with pytest.raises(ValueError, match="decoding is given twice"):
        run(table, output, translator, ["de"], decoding=GREEDY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts.tsv"]


def options(source: Path, output: Path, model: Path) -> list[str]:
    """Arguments of the command."""
    given = "--from en --to de --to zh --beams 1 --device cpu --max-new-tokens 6 --batch-tokens 500"
    return [str(source), "--output", str(output), "--model", str(model), *given.split()]


def invoke(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(command, [str(x) for x in arguments])


def test_the_command(table: Path, tmp_path: Path, model: Path, translator: Translator) -> None:
    """It writes what the function writes and prints the counts; merging alone needs no model."""
    expected = run(table, tmp_path / "function.tsv", translator, ["de", "zh"])
    result = invoke(*options(table, tmp_path / "command.tsv", model))
    assert result.exit_code == 0, result.output
    assert expected.table() in result.output
    assert (tmp_path / "command.tsv").read_bytes() == expected.output.read_bytes()
    (tmp_path / "command.tsv").unlink()
    merged = invoke(table, "--output", tmp_path / "command.tsv", "--merge-only")
    assert merged.exit_code == 0, merged.output
    assert (tmp_path / "command.tsv").read_bytes() == expected.output.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--to", "xx"], "Unknown language code 'xx'"),
        (["--to", "la"], "does not translate to Latin"),
        (["--from", "fr"], "holds texts in de, en, and 'fr' is none of them"),
        (["--model", "no/such"], "no/such cannot be loaded"),
        (["--max-source-tokens", "500"], "the model takes 48 tokens at most"),
        (["--output", "out.parquet"], "expected a .tsv file"),
        (["--merge-only"], "holds 0 translations"),
    ],
)
def test_errors_are_one_line(
    table: Path, tmp_path: Path, model: Path, change: list[str], message: str
) -> None:
    """No traceback, and an exit code that scripts see."""
    result = invoke(*options(table, tmp_path / "out.tsv", model), *change)
    assert result.exit_code == 1
    lines = result.output.strip().splitlines()
    assert message in lines[-1]
    assert [line for line in lines if line.startswith("Error: ")] == lines[-1:]
    assert invoke(table, "--output", tmp_path / "out.tsv").exit_code == 2


def start(script: Path, launcher: Sequence[str], arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, str(script), *arguments],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_it_goes_on(
    table: Path, tmp_path: Path, model: Path, translator: Translator
) -> None:
    """Killed by ``kill -9`` in the middle, the next run keeps every batch and ends the same."""
    expected = run(table, tmp_path / "whole.tsv", translator, ["de", "zh"])
    output = tmp_path / "killed.tsv"
    process = start(tmp_path / "run.py", [], options(table, output, model))
    journals: list[Path] = []
    kept = b""
    deadline = time.monotonic() + 120
    while kept.count(b"\n") < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
        journals = list(tmp_path.glob("killed.tsv.work/*/journals/de/text/*.jsonl"))
        kept = b"".join(path.read_bytes() for path in journals)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    assert not output.exists()
    again = run(table, output, translator, ["de", "zh"])
    assert again.output.read_bytes() == expected.output.read_bytes()
    whole_lines = kept[: kept.rindex(b"\n") + 1]
    assert journals[0].read_bytes().startswith(whole_lines)


@pytest.mark.slow
def test_torchrun(table: Path, tmp_path: Path, model: Path, translator: Translator) -> None:
    """Two processes write the file of one; both did their part, and the first wrote the output."""
    expected = run(table, tmp_path / "one.tsv", translator, ["de", "zh"])
    output = tmp_path / "two.tsv"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = start(tmp_path / "run.py", launcher, options(table, output, model))
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert output.read_bytes() == expected.output.read_bytes()
    about = json.loads((tmp_path / "two.tsv.translation.json").read_text())
    assert [x["processes"] for x in about["runs"]] == [2]
    sizes = [x.stat().st_size for x in tmp_path.glob("two.tsv.work/*/journals/*/text/*.jsonl")]
    assert len(sizes) == 4
    assert all(sizes)
    assert len(re.findall(r"^\| language ", said, re.MULTILINE)) == 1
