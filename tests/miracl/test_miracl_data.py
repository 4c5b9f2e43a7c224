"""One language and the pool of all: ids, counts, texts on the disk, and the published files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mteb_tasks.download import ChecksumError
from mteb_tasks.miracl import published
from mteb_tasks.miracl.data import (
    FULL,
    HARD_NEGATIVES,
    LANGUAGES,
    load_language,
    passage_texts,
    published_counts,
)
from mteb_tasks.miracl.pool import Pool
from st_hybrid.ranking import trec_tie_order


def test_one_language(made: dict[str, Any], data: Path) -> None:
    """Queries and judgments with MIRACL's ids, passages with pooled ones, title and text joined."""
    loaded, expected = load_language(HARD_NEGATIVES, "sw"), made["sw"]
    assert dict(zip(loaded.queries.ids, loaded.queries.texts, strict=True)) == expected.queries
    assert loaded.judged == expected.judged
    texts = passage_texts(loaded.passages, np.arange(len(loaded.passages)))
    assert texts.ids == tuple(f"{name}-sw" for name in expected.passages)
    joined = [f"{title} {text}" if title else text for title, text in expected.passages.values()]
    assert texts.texts == tuple(joined)
    relevant = {x for found in expected.judged.values() for x, grade in found.items() if grade}
    assert set(loaded.rows) == relevant
    assert all(loaded.passages[row]["id"] == f"{x}-sw" for x, row in loaded.rows.items())
    assert loaded.relevant_rows.tolist() == sorted(loaded.rows.values())
    assert load_language(HARD_NEGATIVES, "sw") is loaded


def test_passages_stay_on_the_disk(data: Path) -> None:
    """Titles and texts are mapped into memory from the cache of datasets; only ids are not."""
    table = load_language(HARD_NEGATIVES, "zh").passages.with_format("arrow")[:]
    before = pa.total_allocated_bytes()
    columns = table["title"], table["text"]
    assert sum(column.nbytes for column in columns) > 0
    assert pa.total_allocated_bytes() == before
    assert table["id"].nbytes < 2 * 32 * len(table)


def test_ids_that_recur_are_told_apart(made: dict[str, Any], data: Path) -> None:
    """Every language has a passage 0#0; the pool has 18 ids of it."""
    pool = Pool([load_language(HARD_NEGATIVES, x) for x in LANGUAGES])
    ids = pool.ids(np.arange(len(pool)))
    assert len(set(ids)) == len(pool) == sum(len(x.passages) for x in made.values())
    assert {name for name in ids if name.startswith("0#0-")} == {f"0#0-{x}" for x in LANGUAGES}
    assert pool.tie_order.tolist() == trec_tie_order(ids).tolist()
    numbers = pool.language_numbers(np.arange(len(pool)))
    assert [LANGUAGES[n] for n in numbers] == [name.rpartition("-")[2] for name in ids]


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_blocks_make_up_the_pool(size: int, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each passage is in one block, of one language; relevant ones are in blocks of their own."""
    monkeypatch.setattr("mteb_tasks.miracl.pool.BLOCK_SIZE", size)
    parts = [load_language(HARD_NEGATIVES, x) for x in ("ar", "de", "yo")]
    pool = Pool(parts)
    first, rest = list(pool.relevant_blocks()), list(pool.other_blocks())
    rows = np.concatenate([rows for _, rows in (*first, *rest)])
    assert sorted(rows.tolist()) == list(range(len(pool)))
    assert max(len(rows) for _, rows in (*first, *rest)) <= size
    assert sum(len(rows) for _, rows in first) == sum(len(x.relevant_rows) for x in parts)
    for language, some in (*first, *rest):
        texts = pool.texts(some)
        assert all(name.endswith(f"-{language}") for name in texts.ids)
        assert list(texts.ids) == pool.ids(some)


def write(folder: Path, config: str, **columns: list[Any]) -> None:
    target = folder / config / "dev-00000-of-00001.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), target)


@pytest.fixture
def yoruba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with one small language, to be changed."""
    monkeypatch.setenv("ST_HYBRID_DATA", str(tmp_path))
    folder = tmp_path / "miracl" / "MIRACLRetrievalHardNegatives"
    write(folder, "yo-corpus", _id=["1#0", "2#0"], title=[None, "T"], text=["a ", "b"])
    write(folder, "yo-queries", _id=["7", "8"], text=["q", "r"])
    qrels = {"query-id": ["7", "8"], "corpus-id": ["2#0", "1#0"], "score": [1, 0]}
    write(folder, "yo-qrels", **qrels)
    return folder


def test_other_names_of_columns(yoruba: Path) -> None:
    """``_id`` as in older repositories, no title, and queries without a relevant passage."""
    loaded = load_language(HARD_NEGATIVES, "yo")
    assert loaded.queries.ids == ("7",)
    assert passage_texts(loaded.passages, np.array([0, 1])).texts == ("a", "T b")
    write(yoruba, "yo-corpus", docid=["1#0", "2#0"], text=["a", "b"])
    assert load_language(HARD_NEGATIVES, "yo").passages["title"][:] == ["", ""]


def test_rows_that_do_not_fit(yoruba: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ids that repeat, queries and columns that are not there, and passages that are missing."""
    write(yoruba, "yo-corpus", id=["2#0", "2#0"], text=["a", "b"])
    with pytest.raises(ValueError, match=r"parquet: the passage id '2#0' occurs twice"):
        load_language(HARD_NEGATIVES, "yo")
    write(yoruba, "yo-corpus", id=["1#0", "3#0"], body=["a", "b"])
    with pytest.raises(ValueError, match="has the columns id, body, but none of text"):
        load_language(HARD_NEGATIVES, "yo")
    write(yoruba, "yo-corpus", id=["1#0", "3#0"], text=["a", "b"])
    assert load_language(HARD_NEGATIVES, "yo").rows == {}
    assert "1 of 1 relevant passages are not among the passages" in caplog.text
    assert "1 queries, 1 relevant pairs and 2 passages, where 119, 144 and 49043" in caplog.text
    write(yoruba, "yo-queries", id=["8"], text=["r"])
    with pytest.raises(ValueError, match="judges passages for query '7', which"):
        load_language(HARD_NEGATIVES, "yo")
    with pytest.raises(ValueError, match="language is 'el': MIRACL has ar, bn"):
        load_language(HARD_NEGATIVES, "el")


def test_published_counts() -> None:
    """Sums over the languages: dev queries, relevant pairs, passages."""
    for hub, sums in ((FULL, (13495, 31119, 106332152)), (HARD_NEGATIVES, (11076, 26187, 2449382))):
        counts = published_counts(hub).values()
        assert (
            sum(x.queries for x in counts),
            sum(x.relevant for x in counts),
            sum(x.passages for x in counts),
        ) == sums


def test_published_counts_are_mtebs() -> None:
    """What mteb counted in the very repositories that are loaded here."""
    import mteb

    for hub, task in (
        (FULL, "MIRACLRetrieval"),
        (HARD_NEGATIVES, "MIRACLRetrievalHardNegatives.v2"),
    ):
        metadata = mteb.get_task(task).metadata
        assert metadata.dataset == {"path": hub.repository, "revision": hub.revision}
        counted: Any = metadata.descriptive_stats
        for language, counts in published_counts(hub).items():
            found = counted["dev"]["hf_subset_descriptive_stats"][language]
            assert (counts.queries, counts.passages) == (
                found["num_queries"], found["num_documents"]
            )  # fmt: skip
            assert counts.relevant == found["relevant_docs_statistics"]["num_relevant_docs"]


# The real topics and judgments.


@pytest.fixture
def real(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the published topics and qrels, to which passages can be added."""
    folder = tmp_path / "miracl"
    folder.mkdir()
    for file in (shared_data / "miracl").glob("*.tsv"):
        (folder / file.name).symlink_to(file)
    monkeypatch.setenv("ST_HYBRID_DATA", str(tmp_path))
    return folder


def test_real_topics_and_qrels_have_the_published_counts(real: Path) -> None:
    """Per language; and 670 passage ids and 2,609 of 9,372 query ids recur across languages."""
    passages: Counter[str] = Counter()
    queries: Counter[str] = Counter()
    for language, counts in published_counts(FULL).items():
        topics = published.read_topics(published.find_topics(language)[0])
        judged = published.read_qrels(published.find_qrels(language)[0])
        assert len(topics) == counts.queries
        assert set(judged) == set(topics)
        assert (
            sum(grade for found in judged.values() for grade in found.values()) == counts.relevant
        )
        queries.update(list(topics))
        passages.update({name for found in judged.values() for name in found})
    assert queries.total() == 13495
    assert (len(queries), sum(n > 1 for n in queries.values())) == (9372, 2609)
    assert sum(n > 1 for n in passages.values()) == 670


def test_changed_topics_are_refused(real: Path) -> None:
    """A file that is not the published one is named."""
    file = real / "topics.miracl-v1.0-yo-dev.tsv"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content + b"99\tmore\n")
    with pytest.raises(ChecksumError, match=r"topics.miracl-v1.0-yo-dev.tsv is not the published"):
        load_language(FULL, "yo")


def test_full_set_as_its_authors_publish_it(real: Path) -> None:
    """Real topics and qrels with made-up passages of every judged id, in packed JSON lines."""
    judged = published.read_qrels(published.find_qrels("te")[0])
    names = sorted({name for found in judged.values() for name in found})
    folder = real / "miracl-corpus-v1.0-te"
    folder.mkdir()
    for part in range(2):
        with gzip.open(folder / f"docs-{part}.jsonl.gz", "wt", encoding="utf-8") as file:
            for name in names[part::2]:
                line = {"docid": name, "title": f"T{name}", "text": "పాఠం"}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    loaded = load_language(FULL, "te")
    assert len(loaded.queries) == 828
    assert len(loaded.passages) == len(names) == 1457
    assert passage_texts(loaded.passages, np.array([0])).texts == (f"T{names[0]} పాఠం",)
    pool = Pool([loaded])
    entries = pool.entries("te", loaded.judged, loaded.queries.ids)
    assert len(entries.rows) == 854
    wanted = [
        f"{name}-te" for query in loaded.queries.ids
        for name, grade in loaded.judged[query].items() if grade
    ]  # fmt: skip
    assert pool.ids(entries.rows) == wanted
    (folder / "docs-0.jsonl.gz").unlink()
    assert published.find_passages("te") == ()
