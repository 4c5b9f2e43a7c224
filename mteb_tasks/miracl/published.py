"""MIRACL as its authors publish it: topics, judgments and passages in files of a folder.

``ST_HYBRID_DATA`` may hold, in its folder ``miracl``, a part or all of

* ``topics.miracl-v1.0-<language>-dev.tsv`` and ``qrels.miracl-v1.0-<language>-dev.tsv``, from
  ``miracl/miracl`` on the hub or ``castorini/anserini-tools`` on GitHub;
* ``miracl-corpus-v1.0-<language>/docs-<n>.jsonl.gz``, from ``miracl/miracl-corpus`` on the hub.

They hold the full data, of which the set with hard negatives is a sample.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mteb_tasks.download import ChecksumError, sha256_of
from mteb_tasks.miracl.files import SPLIT, own_folder

__all__ = ["find_passages", "find_qrels", "find_topics", "read_qrels", "read_topics"]

logger = logging.getLogger(__name__)

# SHA-256 of the files.
_TOPICS: Final = """
ar 10b534b889ec46e23df478eee09410ef2880d90d419644dfed5d05d39b57ece0
bn 46fbf50f1f3972b6908543bad6b6dfc60a75eec80d54aae603efd884ba608d2f
de 6b66ec2cfb4af383e6fe18a08899bfa3a0deeb5e6010758743fa93ab598321c9
en 25d9e6d17656674fd7aa3b67ee912c71545e664a842b147bfc17e9ff391db3da
es 5e93b5a1cea22a44912e6ad242147c58719dd8ce4bb6304264a53876b70e65ac
fa df0ece36ab8048f765aa0bb2dde948f5c764cc25bdfc09fb1f5317ef24ff8b49
fi 71766986e9bef80118d60b989bdbd3ed965a845db6986847cbfd791fa00990b3
fr dd471f3a0a594d212b30495f8b1d9759451aea399b44e02de6ca9c5550930106
hi 94bed8e649806246f59edfb6434ea0c59920a44f2f60a56e01d205c6bf58ef60
id c5d9d5de2913beeb003ee0ef63e4537c2f632940ed077bfb2e9e8a3b5943096d
ja 1904b9bf0fc52e1b684daa7539b2bcfdd90122e603ffbcf6b5065a0e210525b0
ko a365552cfc997a8915e948a3b5994883f641e7c3f12b6af87bbfaf89729e32a8
ru 91a7c3b6d21f79a12b5330f0a62811962f9370a0bf539cba8b3fecaa095f0616
sw 15cde3f614cb75b3106fb4606a16162140ee157da22c4a57aae756571788b722
te 3ac8a9a20bdf93ffcc36d554a5fff76ec4435131ae995010814df5881fff07d6
th 6ef23316d1224d9fef9e3f8bc2fdf527dad1a3bba98657617398c226503f5a46
yo b24558e43e1965d5cfe7440a5bf3bf66d70529474ff76e64bfa72026129b2d2e
zh 5b284a9aabf08bb2d1c88ed7ea276025c9d23846457c5350dc8d391b5e0d0a13
"""
_QRELS: Final = """
ar 3670a7804dedd5a602dad0661f6adb1e65b197829d5571f428e0af7fc46aa313
bn 0aab3bcb0bbc5d3e5ed1566a9e3965800239438b5b5f68d5b6bb4acb7f0fec0e
de 5d4a0d7ac42c7839a0513ba6deb6b27fc62803f318be8a7c411e10dbbde7578c
en a0af836c300e85088c4d73449492e2378280f967cac032853c9e11f3bc8a8d81
es 2d9441de1e25d7d2faf54f757db618ad5a2927337862a367f1a60e87ef7e40b2
fa 3cec8ea8fb1f056110e5282df3aa37e14fb5f44c6f885528b6072c0243c1efc4
fi 4e534e96878729bd2566233d7499c991463052d91d34738dfe84d79f110255cd
fr 823e8f6fd297064d67efe37991cd3953414dc040c290f249b0895925f03509ad
hi 4cec99e7012ffca7fd129eeea01f37984bb21702706a8398208e8fba1c14e963
id 6270863499b1be946be0883e8815b52ffb21e56181e9dc67596eaeb61494a61c
ja 1e2a60ba96b889bd076adea950e7e83a2d083f671955a5ab3e9bdc332b492e5f
ko 88827ccc5b64e531b25f70eef30202d33daa9bfa3ac8cceadf5cdbd5ca5034df
ru f877b43c7f53b76aab25e406e5a607ef1c5adba4ffaa11e1b252a4326735a19b
sw a1e6438ac732dabd9a24fd5c8dfc0c64168aea81ff477d8b1986fde5ad193a63
te 576a7ded402697a7bb521b4b8bb1a27806b927556001450405d3a5b85590a0c9
th 81097e891775f67a9b98d41309f9c452dc4e09572b0cbf4952d4107ed0fe1407
yo 39a219ef0b593f6056e4ad1d65b9c03345730efa5107f0abd4a4a44ef2f6f0d2
zh 5546474d3dc8139014e6571e9f4041848bb0a314ca6d2d4bac708174d71c59eb
"""


def find_topics(language: str) -> tuple[Path, ...]:
    """Find the published dev queries of a language.

    Args:
        language: Short code.

    Returns:
        The file; empty if it is not there.

    Raises:
        ChecksumError: If it is not the published file.
    """
    return _find(f"topics.miracl-v1.0-{language}-{SPLIT}.tsv", _digest(_TOPICS, language))


def find_qrels(language: str) -> tuple[Path, ...]:
    """Find the published judgments of a language.

    Args:
        language: Short code.

    Returns:
        The file; empty if it is not there.

    Raises:
        ChecksumError: If it is not the published file.
    """
    return _find(f"qrels.miracl-v1.0-{language}-{SPLIT}.tsv", _digest(_QRELS, language))


def find_passages(language: str) -> tuple[Path, ...]:
    """Find the published passages of a language.

    Args:
        language: Short code.

    Returns:
        The files in order; empty if they are not there, or one between them is missing.
    """
    root = own_folder()
    folder = root and root / "miracl" / f"miracl-corpus-v1.0-{language}"
    if not folder or not folder.is_dir():
        return ()
    files = {int(file.name.split("-")[1].split(".")[0]): file for file in folder.glob("docs-*")}
    if set(files) != set(range(len(files))) or not files:
        logger.warning("%s lacks files between docs-0 and docs-%d.", folder, max(files, default=0))
        return ()
    return tuple(files[number] for number in range(len(files)))


def _digest(table: str, language: str) -> str:
    """The digest of a language's file."""
    return dict(line.split() for line in table.strip().splitlines())[language]


def _find(name: str, sha256: str) -> tuple[Path, ...]:
    root = own_folder()
    path = root and root / "miracl" / name
    if not path or not path.is_file():
        return ()
    actual = sha256_of(path)
    if actual != sha256:
        raise ChecksumError(
            f"{path} is not the published file: its SHA-256 is {actual}, expected {sha256}. "
            "Replace it, or take it away to use the hub's data."
        )
    return (path,)


def read_topics(path: Path) -> dict[str, str]:
    """Read queries.

    Args:
        path: A file of lines ``id``, tab, text.

    Returns:
        Query id -> text, in the file's order.
    """
    return {row[0]: row[1] for row in _rows(path)}


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read judgments.

    Args:
        path: A file in TREC's form, tabs between the fields.

    Returns:
        Query id -> passage id -> grade.
    """
    judged: dict[str, dict[str, int]] = {}
    for query, _, passage, grade in _rows(path):
        judged.setdefault(query, {})[passage] = int(grade)
    return judged


def _rows(path: Path) -> Iterator[tuple[str, ...]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield tuple(line.rstrip("\n").split("\t"))
