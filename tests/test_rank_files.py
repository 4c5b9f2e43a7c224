"""Rank files: what is written is read, whatever the file went through in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mteb_tasks.lareqa import XQUAD_R, load
from st_hybrid.bias import rank_distances
from st_hybrid.rank_files import (
    QueryRanks,
    RankFile,
    RankSource,
    SubsetRanks,
    find_rank_files,
    read_ranks,
    read_source,
)
from st_hybrid.ranking import Ranks, query_metrics

SOURCE = RankSource("me/model", "r1", "SetRetrievalCross", "test", "cross", "d1")
COLUMNS = {
    "subset": "string", "query": "string", "query_language": "string",
    "passage_language": "string", "cluster": "string", "rank": "int64", "mid_rank": "double",
    "grade": "int64",
}  # fmt: skip


def random_ranks(seed: int, n_queries: int = 6, pool_size: int = 40) -> Ranks:
    """Ranks with ties, grades and queries without relevant passages."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, n_queries)
    counts[0] = 1
    n = int(counts.sum())
    higher, tied = rng.integers(0, pool_size - 5, n), rng.integers(0, 4, n)
    before = rng.integers(0, tied + 1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Ranks(offsets, rng.integers(1, 4, n), higher, tied, before, pool_size)


def subset_of(ranks: Ranks, name: str = "q") -> SubsetRanks:
    ids = [f"{name}{n}" for n in range(len(ranks.counts))]
    clusters = [f"c{n // 2}" for n in range(len(ids))]
    return SubsetRanks(ids, clusters, "en", ["de"] * len(ranks.grades), ranks)


def rows(path: Path, subset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return [row for row in found if row["subset"] == subset]


def test_a_small_file_by_hand(tmp_path: Path) -> None:
    """One row a relevant passage, plain columns, and one JSON object for the rest."""
    path = tmp_path / "ranks" / "t.parquet"
    ranks = Ranks(*map(np.array, ([0, 2, 2, 3], [1, 2, 1], [0, 4, 7], [0, 3, 1], [0, 2, 0])), 9)
    found = SubsetRanks(["a", "b", "c"], ["p1", "p1", "p2"], "en", ["de", None, "el"], ranks)
    RankFile(path, SOURCE).add("en-de", found)

    file = pq.ParquetFile(path)
    assert {x.name: str(x.type) for x in file.schema_arrow} == {
        name: f"dictionary<values={kind}, indices=int32, ordered=0>" if kind == "string" else kind
        for name, kind in COLUMNS.items()
    }
    assert file.metadata.num_row_groups == 1
    assert json.loads(file.schema_arrow.metadata[b"st_hybrid.ranks"]) == {
        "schema_version": 1, "model": "me/model", "revision": "r1", "task": "SetRetrievalCross",
        "split": "test", "setting": "cross", "dataset_revision": "d1", "pool_sizes": {"en-de": 9},
    }  # fmt: skip
    assert [tuple(row.values()) for row in file.read().to_pylist()] == [
        ("en-de", "a", "en", "de", "p1", 1, 1.0, 1),
        ("en-de", "a", "en", None, "p1", 7, 6.5, 2),
        ("en-de", "c", "en", "el", "p2", 8, 8.5, 1),
    ]
    assert [x.name for x in path.parent.iterdir()] == ["t.parquet"]


@settings(deadline=None, max_examples=25)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=4), data=st.data())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], data: st.DataObject
) -> None:
    """Metrics and rank distances of every query come back, sorted, from any order of rows."""
    path = tmp_path_factory.mktemp("any") / "t.parquet"
    file, written = RankFile(path, SOURCE), {}
    for n, seed in enumerate(seeds):
        written[f"s{9 - n}"] = random_ranks(seed)
        file.add(f"s{9 - n}", subset_of(written[f"s{9 - n}"]))
    table = pq.ParquetFile(path).read()
    if data.draw(st.booleans()):  # another writer: other order of queries, other row groups
        keys = np.random.default_rng(seeds[0]).permutation(20)
        order = np.argsort([keys[int(x[1:])] for x in table["query"].to_pylist()], kind="stable")
        pq.write_table(table.take(pa.array(order)), path, row_group_size=3)
    found = read_ranks(path)
    assert found.source == SOURCE
    assert found.pool_sizes == {name: x.pool_size for name, x in written.items()}
    assert found.subset_names == tuple(sorted(written))
    metrics, distances = query_metrics(found.ranks, (3, 10)), rank_distances(found.ranks)
    for number, name in enumerate(found.subset_names):
        chosen, ranks = found.subsets == number, written[name]
        judged = ranks.counts > 0
        assert found.query_ids[chosen].tolist() == [f"q{n}" for n in np.flatnonzero(judged)]
        assert found.clusters[chosen].tolist() == [f"c{n // 2}" for n in np.flatnonzero(judged)]
        for metric, values in query_metrics(ranks, (3, 10)).items():
            np.testing.assert_array_equal(metrics[metric][chosen], values)
        np.testing.assert_array_equal(distances[chosen], rank_distances(ranks)[judged])


def test_subsets_are_added_and_replaced(tmp_path: Path) -> None:
    """In one process, in the next, and after somebody else wrote in between."""
    path = tmp_path / "t.parquet"
    first = RankFile(path, SOURCE)
    first.add("a", subset_of(random_ranks(1)))
    first.add("b", subset_of(random_ranks(2)))
    old = rows(path, "b")
    second = RankFile(path, SOURCE)
    second.add("a", subset_of(random_ranks(3)))
    second.add("c", subset_of(random_ranks(4)))
    assert rows(path, "b") == old
    first.add("d", subset_of(random_ranks(5)))  # knows a stale "a" and no "c"
    assert set(read_ranks(path).subset_names) == {"a", "b", "c", "d"}
    assert [x["rank"] for x in rows(path, "a")] == random_ranks(3).positions.tolist()
    assert [x["rank"] for x in rows(path, "d")] == random_ranks(5).positions.tolist()


@pytest.mark.parametrize("field", ["model", "revision", "task", "split", "dataset_revision"])
def test_sources_are_never_mixed(tmp_path: Path, field: str) -> None:
    """The file of another model, revision, task, split or data is replaced."""
    path = tmp_path / "t.parquet"
    RankFile(path, SOURCE).add("a", subset_of(random_ranks(1)))
    other = RankSource(**{**vars(SOURCE), field: "other"})
    RankFile(path, other).add("b", subset_of(random_ranks(2)))
    found = read_ranks(path)
    assert (found.source, found.subset_names) == (other, ("b",))


def test_a_broken_file_is_replaced(tmp_path: Path) -> None:
    """What a crash or another program left is no reason to lose an evaluation."""
    path = tmp_path / "t.parquet"
    for content in (b"", b"PAR1", b"x" * 1000):
        path.write_bytes(content)
        RankFile(path, SOURCE).add("a", subset_of(random_ranks(1)))
        assert read_ranks(path).subset_names == ("a",)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or nothing, and no temporary file."""
    path = tmp_path / "t.parquet"
    file = RankFile(path, SOURCE)
    file.add("a", subset_of(random_ranks(1)))
    before = path.read_bytes()

    def fail(table: pa.Table, where: Path, **_: Any) -> None:
        Path(where).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", fail)
        with pytest.raises(OSError, match="disk full"):
            file.add("b", subset_of(random_ranks(2)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_lengths_are_checked(tmp_path: Path) -> None:
    """An id too few would give queries the ranks of others."""
    good = subset_of(random_ranks(1))
    file = RankFile(tmp_path / "t.parquet", SOURCE)
    with pytest.raises(ValueError, match="query_ids has 5 entries, clusters 6 and ranks 6"):
        file.add("a", SubsetRanks(good.query_ids[:5], good.clusters, None, [], good.ranks))
    with pytest.raises(ValueError, match="passage_languages has 0 entries"):
        file.add("a", SubsetRanks(good.query_ids, good.clusters, None, [], good.ranks))
    assert not list(tmp_path.iterdir())


def test_files_that_are_none(tmp_path: Path) -> None:
    """Reading says what is wrong; finding passes them by, and hidden folders and experiments."""
    folder = tmp_path / "results" / "me__model" / "r1" / "ranks"
    good = folder / "good.parquet"
    RankFile(good, SOURCE).add("a", subset_of(random_ranks(1)))
    table = pq.ParquetFile(good).read()
    (folder / "text.parquet").write_text("no")
    pq.write_table(pa.table({"a": [1]}), folder / "other.parquet")
    about = json.loads(table.schema.metadata[b"st_hybrid.ranks"])
    newer = {b"st_hybrid.ranks": json.dumps({**about, "schema_version": 2})}
    pq.write_table(table.replace_schema_metadata(newer), folder / "newer.parquet")
    pq.write_table(table.drop_columns("rank"), folder / "lacks.parquet")
    holes = table.set_column(1, "query", pa.array([None] * len(table), pa.string()))
    pq.write_table(holes, folder / "holes.parquet")
    for name in ("text", "other"):
        with pytest.raises(ValueError, match=f"{name}.parquet' is no rank file of st-hybrid"):
            read_source(folder / f"{name}.parquet")
    with pytest.raises(ValueError, match="has version 2 of the schema: expected 1"):
        read_ranks(folder / "newer.parquet")
    for name in ("lacks", "holes"):
        with pytest.raises(ValueError, match="expected the columns subset, query, cluster, rank"):
            read_ranks(folder / f"{name}.parquet")
        (folder / f"{name}.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        read_ranks(folder / "none.parquet")
    for place in (".hidden", "me__model/r1/experiments/x"):
        RankFile(folder.parents[2] / place / "ranks/good.parquet", SOURCE).add(
            "a", subset_of(random_ranks(1))
        )
    RankFile(folder.parent / "good.parquet", SOURCE).add("a", subset_of(random_ranks(1)))
    assert list(find_rank_files([tmp_path, folder])) == [(good.resolve(), SOURCE)]


def test_damage_behind_the_metadata_is_named(tmp_path: Path) -> None:
    """The footer is whole, the rows are not."""
    path = tmp_path / "t.parquet"
    RankFile(path, SOURCE).add("a", subset_of(random_ranks(1, n_queries=300)))
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    assert read_source(path) == SOURCE
    with pytest.raises(ValueError, match="is a damaged rank file"):
        read_ranks(path)


def test_the_paragraphs_of_xquad_are_its_clusters(shared_data: Path) -> None:
    """1,190 questions in 240 paragraphs, the one that the answer is in; 11 languages share them."""
    collection = load(XQUAD_R)
    assert len(collection.clusters) == 1190
    assert len(set(collection.clusters.values())) == 240
    for relevant in collection.relevant.values():
        for query, passages in relevant.items():
            assert [x.split("-")[0] for x in passages] == [collection.clusters[query]]


def test_the_size_of_a_real_file(shared_data: Path, tmp_path: Path) -> None:
    """Ids are stored once for all 110 subsets: a relevant pair takes a few bytes."""
    collection = load(XQUAD_R)
    rng = np.random.default_rng(0)
    path, n_rows = tmp_path / "t.parquet", 0
    file = RankFile(path, SOURCE)
    for query_language in list(collection.queries)[:3]:
        ids = collection.queries[query_language].ids
        clusters = [collection.clusters[x] for x in ids]
        zeros, ones = np.zeros(len(ids), dtype=np.int64), np.ones(len(ids), dtype=np.int64)
        for language in collection.passages:
            ranks = Ranks(
                np.arange(len(ids) + 1), ones, rng.integers(0, 1183, len(ids)), zeros, zeros, 1183
            )
            found = SubsetRanks(ids, clusters, query_language, [language] * len(ids), ranks)
            file.add(f"{query_language}-{language}", found)
            n_rows += len(ids)
    assert path.stat().st_size / n_rows < 6
    found_again: QueryRanks = read_ranks(path)
    assert len(found_again.query_ids) == n_rows
