"""Results of different translated queries are never compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from st_hybrid.leaderboard import build_table, read_results

OLD, NEW = "a" * 64, "b" * 64


def write(results: Path, model: str, digests: dict[str, str], ndcg: float) -> None:
    """A result of MIRACLRetrievalCross and one of MIRACLRetrievalPooled."""
    folder = results / model.replace("/", "__") / "rev"
    folder.mkdir(parents=True)
    (folder / "model_meta.json").write_text(json.dumps({"name": model, "revision": "rev"}))
    pooled = [{"hf_subset": "de", "ndcg_at_10": ndcg, "map": ndcg}]
    cross = [
        {"hf_subset": name, "ndcg_at_10": ndcg, "map": ndcg}
        | ({"query_sha256": digest} if digest else {})
        for name, digest in digests.items()
    ]
    for kind, entries in (("Pooled", pooled), ("Cross", cross)):
        task = f"MIRACLRetrieval{kind}"
        content = {"task_name": task, "mteb_version": "2.26.0", "scores": {"dev": entries}}
        (folder / f"{task}.json").write_text(json.dumps(content))


def test_one_file_of_queries_makes_one_set(tmp_path: Path) -> None:
    """Nothing changes where all results agree, each with some of the subsets."""
    write(tmp_path, "a/one", {"de-de": "", "en-de": OLD}, 0.5)
    write(tmp_path, "b/two", {"fr-de": NEW, "en-de": OLD}, 0.6)
    table = build_table(read_results(tmp_path))
    assert [group.key for group in table.groups] == ["MIRACL"]
    assert len(table.rows) == 2


@pytest.mark.parametrize("reverse", [False, True])
def test_different_files_make_sets_of_their_own(tmp_path: Path, reverse: bool) -> None:
    """Each set has its own best; what has no translated queries stays together."""
    models = {"a/one": OLD, "b/two": NEW, "c/three": OLD}
    for n, (model, digest) in enumerate(sorted(models.items(), reverse=reverse)):
        write(tmp_path, model, {"en-de": digest, "fr-de": "c" * 64}, 0.5 + n / 10)
    table = build_table(read_results(tmp_path))
    pooled, *cross = table.groups
    assert (pooled.key, pooled.tasks) == ("MIRACL", ("MIRACLRetrievalPooled",))
    assert len(cross) == 2
    assert all(group.key.startswith("MIRACL@") for group in cross)
    assert all("translated queries " in group.title for group in cross)
    sizes = []
    for group in cross:
        assert group.tasks == ("MIRACLRetrievalCross",)
        rows = table.rows_of(group.key)
        sizes.append(len(rows))
        places = [
            n for n, column in table.columns_of(group.key) if column.measure == "cross_ndcg_at_10"
        ]
        marks = {row.cells[places[0]].place for row in rows}
        assert ("best" in marks) == (len(rows) > 1)  # nobody is the best of one
    assert sorted(sizes) == [1, 2]
    assert len(table.rows_of("MIRACL")) == 3


def test_a_digest_that_is_none_is_ignored(tmp_path: Path) -> None:
    """Foreign text never gets into a set's name."""
    write(tmp_path, "a/one", {"en-de": "<script>"}, 0.5)
    write(tmp_path, "b/two", {"en-de": "../x"}, 0.5)
    assert [group.key for group in build_table(read_results(tmp_path)).groups] == ["MIRACL"]
