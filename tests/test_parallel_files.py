"""Tables and pairs read from files: plain and packed, malformed, and the real ones."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest

from st_hybrid.parallel import (
    ParallelTexts,
    build_parallel_dataset,
    read_pairs,
    read_parallel_texts,
)


@pytest.mark.parametrize("suffix", [".tsv", ".tsv.xz"])
def test_read_tables_and_pairs(tmp_path: Path, suffix: str) -> None:
    """Plain and packed files read alike; quotes are text, an empty cell is a gap."""
    write = lzma.open if suffix.endswith("xz") else open
    contents = {
        "queries": 'id\tde\tzh\nq1\t"Wer?\t谁\nq2\tWo?\t\n',
        "passages": "id\tde\tzh\np1\tIch.\t我。\n",
        "pairs": "query_id\tpassage_id\nq2\tp1\nq1\tp1\n",
    }
    for name, content in contents.items():
        with write(tmp_path / f"{name}{suffix}", "wt", encoding="utf-8", newline="") as file:
            file.write(content)
    queries = read_parallel_texts(tmp_path / f"queries{suffix}")
    passages = read_parallel_texts(tmp_path / f"passages{suffix}")
    assert queries.ids == ("q1", "q2")
    assert queries.column("de").to_pylist() == ['"Wer?', "Wo?"]
    assert queries.column("zh").to_pylist() == ["谁", None]
    pairs = read_pairs(tmp_path / f"pairs{suffix}", queries, passages)
    assert pairs.tolist() == [[1, 0], [0, 0]]
    assert len(build_parallel_dataset(queries, passages, pairs, gates=None)) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"de\ten\na\tb\n", "expected 'id' and language codes"),
        (b"id\n1\n", "expected 'id' and language codes"),
        (b"id\tde\n1\ta\n2\ta\tb\n", "line 3: 3 fields, but the header has 2"),
        (b"id\tde\n1\ta\n1\tb\n", "'1' occurs more than once"),
        (b"id\tde\n1\t\xff\n", "UTF-8"),
        (b"id\txx\n1\ta\n", "'xx'"),
        (b"id\tde\n1\ta\n2\t" + b"a" * 200_000, "line 3: field larger than field limit"),
    ],
    ids=["empty", "no id", "no language", "width", "ids", "encoding", "language", "huge field"],
)
def test_malformed_table_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    """What is wrong with a table is said with its path, and its line where there is one."""
    path = tmp_path / "broken.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_parallel_texts(path)
    assert str(path) in str(caught.value)


def test_repeated_language_is_refused(tmp_path: Path) -> None:
    """Two columns of one language are an error, not a column lost."""
    path = tmp_path / "twice.tsv"
    path.write_text("id\tde\tde\n1\ta\tb\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"twice\.tsv.*'de'"):
        read_parallel_texts(path)


@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_truncated_xz_is_refused(tmp_path: Path, kept: float) -> None:
    """A download cut short is an error that names the file, not a shorter table."""
    path = tmp_path / "cut.tsv.xz"
    whole = lzma.compress(b"id\tde\n" + b"".join(b"%d\tText %d\n" % (n, n) for n in range(999)))
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ValueError, match=r"cut\.tsv\.xz"):
        read_parallel_texts(path)


def test_missing_and_wrong_pairs_files(tmp_path: Path) -> None:
    """Missing files, other headers and unknown ids are named."""
    texts = ParallelTexts.from_columns({"de": ["a"]}, ids=["known"])
    path = tmp_path / "pairs.tsv"
    with pytest.raises(FileNotFoundError, match=r"pairs\.tsv"):
        read_pairs(path, texts, texts)
    path.write_text("query\tpassage\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"pairs\.tsv.*expected query_id and passage_id"):
        read_pairs(path, texts, texts)
    path.write_text("query_id\tpassage_id\nknown\tknown\nknown\tlost\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"pairs\.tsv, line 3: passage_id 'lost' is unknown"):
        read_pairs(path, texts, texts)


def test_real_counts(shared_data: Path) -> None:
    """The question and answer tables hold the counts their description gives."""
    folder = shared_data / "parallel" / "qa"
    queries = read_parallel_texts(folder / "queries.tsv.xz")
    passages = read_parallel_texts(folder / "passages.tsv.xz")
    pairs = read_pairs(folder / "pairs.tsv.xz", queries, passages)
    assert (len(queries), len(passages), pairs.shape) == (14_325, 9_325, (14_325, 2))
    assert np.bincount(pairs[:, 1]).max() <= 3
    dataset = build_parallel_dataset(queries, passages, pairs, languages=["de", "zh"], gates=None)
    query, passage = queries.select_languages(["de", "zh"]), passages.select_languages(["de", "zh"])
    has_query, has_passage = query.present()[:, pairs[:, 0]], passage.present()[:, pairs[:, 1]]
    assert len(dataset) == sum(int((q & p).sum()) for q in has_query for p in has_passage)
    row = dataset[len(dataset) // 2]
    assert row["anchor"] in query.texts.to_pylist()
