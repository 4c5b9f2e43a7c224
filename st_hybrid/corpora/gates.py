"""Quality gates over parallel tables: which texts are bad, and the same data without them.

:mod:`st_hybrid.quality` judges a translation by its source. In a table no column is the source:
here a text is judged by the same row's texts in all other languages.
"""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from st_hybrid.characters import as_array, letter_counts, relative_length
from st_hybrid.corpora.records import Finding, ParallelData
from st_hybrid.corpora.texts import ParallelTexts
from st_hybrid.quality import MARKS, QualityLimits, is_empty, is_in_wrong_script, is_repetitive

__all__ = ["apply_gates", "comparable_texts", "judge_texts", "pairs_with_rows"]

_TEXTS: Final = 1 << 17  # that all gates look at together: they make copies of them
_MOST_THREADS: Final = 8
_PAIRS: Final = 1 << 20
_SMOOTHING: Final = 10.0  # as in quality.length_ratios: short texts vary more


def judge_texts(
    texts: ParallelTexts, limits: QualityLimits | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Try all gates on a table. A row's verdicts depend on that row alone.

    ``"empty"``
        There is a text, and it is nothing but whitespace. No other gate looks at it.
    ``"copied"``
        It equals, but for case, spaces and compatibility forms, the row's text in another language
        and has ``copied_letters`` letters or more. Of equal texts the original is the first, in the
        order of the table's languages, that is in the right script, or the first if none is; all
        others are copies.
    ``"script"``
        Most of its letters are in a script that its language is not written in.
    ``"length"``
        Its length, in characters of English, is more than ``length_factor`` times off the median
        of the row, which is taken over logarithms. Lengths are smoothed by 10 characters. Of two
        texts nobody can say which is wrong: if they differ by more than the factor, both are
        marked. A row's only text is not judged.
    ``"repeats"``
        It says the same again and again.

    Args:
        texts: The table.
        limits: From where on a text is bad; the defaults where not given.

    Returns:
        Gate -> mask, shape ``(languages, rows)``, true where a text exists and is bad; the gates
        are those of :data:`st_hybrid.quality.MARKS`, in their order.

    Raises:
        ValueError: If a language is unknown.
    """
    limits = limits or QualityLimits()
    marks = {name: np.zeros((len(texts.languages), len(texts)), np.bool_) for name in MARKS}
    step = max(1, _TEXTS // len(texts.languages))
    bar = tqdm(
        total=len(texts),
        desc="judging texts",
        unit="row",
        unit_scale=True,
        delay=2,
        disable=None,
        leave=False,
    )

    def judge(first: int) -> None:
        columns = [texts.column(code)[first : first + step] for code in texts.languages]
        for name, mask in _judge_block(columns, texts.languages, limits).items():
            marks[name][:, first : first + step] = mask
        bar.update(min(step, len(texts) - first))

    # Arrow and most of numpy let go of the interpreter's lock.
    with bar, ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as threads:
        list(threads.map(judge, range(0, len(texts), step)))
    return marks


def apply_gates(data: ParallelData, limits: QualityLimits | None = None) -> ParallelData:
    """Leave out the texts that a gate marks, and say how many.

    Rows, row numbers, groups and pairs stay. A pair that had training rows and now has none is
    counted under ``"pair without texts"`` and stays too: it gives no rows. One table that serves
    as queries and passages is judged once, stays one, and is reported as queries.

    Args:
        data: The corpus.
        limits: From where on a text is bad; the defaults where not given.

    Returns:
        The corpus without the texts. Each gate adds a finding a language; a text that several
        gates mark counts for each of them. The example is the first such row's id.
    """
    findings: list[Finding] = []
    queries = _filtered(data.queries, "queries", limits, findings)
    passages = queries
    if data.passages is not data.queries:
        passages = _filtered(data.passages, "passages", limits, findings)
    kept = dataclasses.replace(data, queries=queries, passages=passages)
    if findings:
        lost = pairs_with_rows(data) & ~pairs_with_rows(kept)
        if lost.any():
            example = data.queries.id_array[int(data.pairs[lost.argmax(), 0])].as_py()
            findings.append(Finding("pair without texts", "pairs", "", int(lost.sum()), example))
    return kept.with_findings(findings)


def pairs_with_rows(data: ParallelData) -> NDArray[np.bool_]:
    """Which pairs give a training row in some language pair.

    A pair does where its query exists in any language and its passages, hard negatives included,
    all exist in one.

    Args:
        data: The corpus.

    Returns:
        A mask, one boolean a pair.
    """
    has_query, has_passage = data.queries.present().any(axis=0), data.passages.present()
    parts = []
    for first in range(0, len(data.pairs), _PAIRS):
        links = data.pairs[first : first + _PAIRS]
        both = np.zeros(len(links), dtype=np.bool_)
        for place in range(len(has_passage)):
            both |= np.all(has_passage[place, links[:, 1:]], axis=1)
        parts.append(both & np.take(has_query, links[:, 0]))
    return np.concatenate(parts)


def comparable_texts(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Texts in a form in which case, spaces and compatibility forms make no difference.

    Args:
        texts: The texts.

    Returns:
        The forms, one a text; gaps stay gaps.
    """
    folded = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(folded, r"\s+", " "))


def _filtered(
    texts: ParallelTexts, role: str, limits: QualityLimits | None, findings: list[Finding]
) -> ParallelTexts:
    bad = np.zeros((len(texts.languages), len(texts)), dtype=np.bool_)
    for gate, mask in judge_texts(texts, limits).items():
        bad |= mask
        for code, marked in zip(texts.languages, mask, strict=True):
            if marked.any():
                example = texts.id_array[int(marked.argmax())].as_py()
                findings.append(Finding(gate, role, code, int(marked.sum()), example))
    return texts.filter_texts(~bad) if bad.any() else texts


def _judge_block(
    columns: list[pa.LargeStringArray], codes: tuple[str, ...], limits: QualityLimits
) -> dict[str, NDArray[np.bool_]]:
    """Masks of shape ``(languages, rows)`` for some rows of a table."""
    present = np.stack([x.is_valid().to_numpy(zero_copy_only=False) for x in columns])
    filled = [as_array(column) for column in columns]
    empty = np.stack([is_empty(column) for column in filled])
    judged = present & ~empty
    least = limits.script_share
    script = np.stack(
        [
            is_in_wrong_script(column, code, least_share=least)
            for column, code in zip(filled, codes, strict=True)
        ]
    )
    repeats = np.stack([is_repetitive(x, most=limits.repeated_share) for x in filled])
    return {
        "empty": present & empty,
        "copied": _copied(filled, judged, script, limits.copied_letters),
        "script": script & judged,
        "length": _odd_length(filled, judged, codes, limits.length_factor),
        "repeats": repeats & judged,
    }


def _copied(
    columns: list[pa.LargeStringArray],
    judged: NDArray[np.bool_],
    script: NDArray[np.bool_],
    least_letters: int,
) -> NDArray[np.bool_]:
    """Which texts are copies; masks have shape ``(languages, rows)``."""
    languages, rows = judged.shape
    texts = comparable_texts(pa.concat_arrays(columns))  # columns after one another
    numbers = texts.dictionary_encode().indices.to_numpy().astype(np.int64)  # equal for equal texts
    again = (np.bincount(numbers)[numbers] > 1).reshape(languages, rows) & judged
    copied = np.zeros_like(judged)
    some = np.flatnonzero(again.sum(axis=0) > 1)  # few rows hold a text that occurs twice
    if not len(some):
        return copied
    # Sorted by text, then right script first, then the languages' order, the original comes first.
    places = np.arange(languages)[:, None]
    keys = numbers.reshape(languages, rows)[:, some] * 2 + script[:, some]
    keys = np.where(judged[:, some], keys * languages, -2 * languages * (places + 1)) + places
    keys.sort(axis=0)
    same = keys[1:] // (2 * languages) == keys[:-1] // (2 * languages)
    later, row = np.nonzero(same)
    copied[keys[later + 1, row] % languages, some[row]] = True
    marked = np.flatnonzero(copied)
    copied.flat[marked] = letter_counts(texts.take(pa.array(marked))) >= least_letters
    return copied


def _odd_length(
    columns: list[pa.LargeStringArray],
    judged: NDArray[np.bool_],
    codes: tuple[str, ...],
    factor: float,
) -> NDArray[np.bool_]:
    """Which texts are far longer or shorter than their row, shape ``(languages, rows)``."""
    expected = np.array([relative_length(code) for code in codes])[:, None]
    characters = np.stack([pc.utf8_length(column).to_numpy() for column in columns])
    lengths = np.log(characters / expected + _SMOOTHING)
    count = judged.sum(axis=0)
    # The median of those that are judged: all others are sorted to the end.
    ordered = np.sort(np.where(judged, lengths, np.inf), axis=0)
    every = np.arange(judged.shape[1])
    low = ordered[np.maximum(count - 1, 0) // 2, every]
    high = ordered[np.minimum(count // 2, len(codes) - 1), every]
    median = np.where(count > 0, (low + high) / 2, 0.0)
    off = np.abs(lengths - median)
    off = np.where(count == 2, 2 * off, off)  # the median of two is half way: compare the two
    return np.asarray(judged & (count > 1) & (off > np.log(factor)), dtype=np.bool_)
