"""Which training rows a parallel corpus gives, and the table of text numbers and labels they make.

Rows are counted before anything is allocated: there can be hundreds of millions, and a column of
such a size then goes to a temporary file rather than to memory (:mod:`st_hybrid.columns`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from st_hybrid.columns import allocate
from st_hybrid.corpora.records import ParallelData, label_array
from st_hybrid.corpora.store import ResolveTexts
from st_hybrid.languages import pair_code

__all__ = ["KINDS", "RowChoice", "RowKinds", "build_rows"]

RowKinds = Literal["all", "monolingual", "cross-lingual"]

KINDS: Final[tuple[RowKinds, ...]] = ("all", "monolingual", "cross-lingual")

_BLOCK: Final = 1 << 18  # pairs whose languages are drawn together
_NONE: Final = np.iinfo(np.uint8).max  # no language was drawn


@dataclass(frozen=True)
class RowChoice:
    """Which rows of a corpus to build.

    Attributes:
        kinds: Monolingual rows, cross-lingual rows or both.
        partners: How many passage languages other than its own an example, that is a pair in one
            query language, meets in a pass; ``None``: all.
        passes: How many passes to draw. A language is drawn again only when all were.
        translations: Whether every row gets its positive passage in another language.
        seed: Seed of all that is drawn.
        copies: Whether there are rows whose query and positive passage are one text in one
            language, as parallel sentences give them.
    """

    kinds: RowKinds = "all"
    partners: int | None = None
    passes: int = 1
    translations: bool = False
    seed: int = 0
    copies: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is out of range, or passes are asked for where nothing is drawn.
        """
        if self.kinds not in KINDS:
            raise ValueError(f"kinds={self.kinds!r}: expected one of {KINDS}")
        if self.partners is not None and self.partners < 1:
            raise ValueError(
                f"partners={self.partners}: expected 1 or more languages, or None for all; rows "
                "of one language alone are kinds='monolingual'"
            )
        if self.passes < 1:
            raise ValueError(f"passes={self.passes}: expected 1 or more")
        if self.passes > 1 and self.partners is None:
            raise ValueError(
                f"passes={self.passes}: without partners every pass would be the same; give "
                "partners=, or let the trainer run more epochs"
            )


@dataclass(frozen=True)
class _Block:
    """The rows of one language pair in one pass."""

    query: int  # position of the language in its table
    passage: int
    rows: NDArray[np.bool_]  # which pairs, shape (pairs,)


def build_rows(
    data: ParallelData,
    resolver: ResolveTexts,
    choice: RowChoice,
    negatives: Mapping[str, NDArray[np.int64]] | None = None,
) -> pa.Table:
    """Make the rows.

    Args:
        data: The corpus.
        resolver: The stores of its two tables.
        choice: Which rows.
        negatives: Passage language -> row numbers of hard negatives mined in that language, shape
            ``(pairs, negatives)``, -1 where there are too few: such a pair gives no row there.
            Where not given, those of the pairs, in every language.

    Returns:
        Columns ``anchor``, ``positive``, ``negative_1`` ..., ``translation``, ``label``.

    Raises:
        ValueError: If there are none.
    """
    links = _Links(data, negatives)
    counts = [int(block.rows.sum()) for block in _blocks(data, links, choice)]
    total = sum(counts)
    if not total:
        raise ValueError(
            "no pair has its query and its passages in languages that give rows of "
            f"kinds={choice.kinds!r} and copies={choice.copies}: queries are in "
            f"{data.queries.languages}, passages in {data.passages.languages}"
        )
    width = links.width
    names = ["anchor", "positive", *(f"negative_{n}" for n in range(1, width - 1))]
    names += ["translation"] * choice.translations
    columns = [allocate((total,), np.dtype(np.int64)) for _ in names]
    label = allocate((total, 1 + len(names)), np.dtype(np.int32))
    first_query = int(resolver.queries.first_text[0])
    first_passage = int(resolver.passages.first_text[0])
    present = data.passages.present()
    generator = np.random.default_rng(choice.seed)
    start = 0
    for block, count in zip(_blocks(data, links, choice), counts, strict=True):
        own = slice(start, start + count)
        start += count
        rows = links.of(block.passage)[block.rows]  # (rows, 2 + negatives)
        columns[0][own] = first_query + block.query * len(data.queries) + rows[:, 0]
        first = first_passage + block.passage * len(data.passages)
        for place in range(1, width):
            columns[place][own] = first + rows[:, place]
        codes = data.queries.languages[block.query], data.passages.languages[block.passage]
        label[own, 0] = pair_code(*codes)
        label[own, 1 : 1 + width] = rows
        if choice.translations:
            others = _other_languages(present, block.passage, rows[:, 1], generator)
            columns[-1][own] = first_passage + others * len(data.passages) + rows[:, 1]
            label[own, -1] = rows[:, 1]
    arrays = [*(pa.array(column) for column in columns), label_array(label)]
    return pa.table(arrays, names=[*names, "label"])


class _Links:
    """Row numbers of query, positive and negatives, in each passage language."""

    def __init__(
        self, data: ParallelData, negatives: Mapping[str, NDArray[np.int64]] | None
    ) -> None:
        self._languages = data.passages.languages
        self._pairs = data.pairs
        self._negatives = None if negatives is None else dict(negatives)
        self.width = data.pairs.shape[1]
        if self._negatives is not None:
            self._check(len(data.passages))
            self.width = 2 + next(iter(self._negatives.values())).shape[1]

    def of(self, passage: int) -> NDArray[np.int64]:
        """Those of a passage language, shape ``(pairs, 2 + negatives)``."""
        if self._negatives is None:
            return self._pairs
        return np.hstack([self._pairs, self._negatives[self._languages[passage]]])

    def present(self, passage: int, exists: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pairs have all their passages in a language, shape ``(pairs,)``.

        Args:
            passage: Position of the language.
            exists: Which passages exist in it, shape ``(passages,)``.
        """
        links = self.of(passage)
        found = exists[links[:, 1]]
        for column in links.T[2:]:
            found &= exists[column] & (column >= 0)
        return found

    def _check(self, passages: int) -> None:
        if self._pairs.shape[1] > 2:
            raise ValueError(
                f"pairs have {self._pairs.shape[1] - 2} hard negatives and negatives= gives others:"
                " give pairs of a query and a passage alone"
            )
        given = self._negatives or {}
        if missing := [code for code in self._languages if code not in given]:
            raise ValueError(
                f"negatives has no rows for the languages {missing} of the passages: give all, or "
                "leave these languages out with languages="
            )
        shapes = {code: given[code].shape for code in self._languages}
        wrong = [x for x in shapes.values() if len(x) != 2 or x[0] != len(self._pairs)]
        if wrong or len(set(shapes.values())) > 1:
            raise ValueError(
                f"negatives have the shapes {shapes}: expected ({len(self._pairs)}, negatives), "
                "the same in each language"
            )
        for code in self._languages:
            if (given[code] >= passages).any() or (given[code] < -1).any():
                raise ValueError(
                    f"negatives in {code!r} name passage rows outside 0 .. {passages - 1}; -1 "
                    "stands for none"
                )


def _blocks(data: ParallelData, links: _Links, choice: RowChoice) -> Iterator[_Block]:
    """The rows of each language pair in turn: twice the same, for whoever counts first."""
    has_query, has_passage = data.queries.present(), data.passages.present()
    passages = [links.present(p, exists) for p, exists in enumerate(has_passage)]
    codes = data.passages.languages
    for q, language in enumerate(data.queries.languages):
        queries = has_query[q, data.pairs[:, 0]]
        own = codes.index(language) if language in codes else None
        others = [p for p in range(len(codes)) if p != own]
        drawn = None
        order = [(p, 0) for p in range(len(codes))]
        if choice.partners is not None:
            drawn = _draw_partners(queries, passages, others, choice, choice.partners, q)
            whole = [own] if own is not None else []
            order = [(p, turn) for turn in range(choice.passes) for p in (*whole, *others)]
        for p, turn in order:
            if choice.kinds != "all" and (choice.kinds == "monolingual") != (p == own):
                continue
            if drawn is None or p == own:
                rows = queries & passages[p]
                if p == own and not choice.copies:
                    rows &= ~_copied(data, language)
            else:
                rows = (drawn[turn] == p).any(axis=0)
            yield _Block(q, p, rows)


def _copied(data: ParallelData, language: str) -> NDArray[np.bool_]:
    """Which pairs are of one text in a language, shape ``(pairs,)``."""
    query, passage = (
        table.column(language).take(pa.array(rows))
        for table, rows in ((data.queries, data.pairs[:, 0]), (data.passages, data.pairs[:, 1]))
    )
    same = pc.fill_null(pc.equal(query, passage), False)
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _draw_partners(
    queries: NDArray[np.bool_],
    passages: Sequence[NDArray[np.bool_]],
    others: Sequence[int],
    choice: RowChoice,
    partners: int,
    query: int,
) -> NDArray[np.uint8]:
    """Draw the passage languages that the examples of one query language meet, pass by pass.

    Each example has its own random order of the languages it exists in, and passes follow it round
    and round: an example with more languages than ``partners`` meets them all before it meets one
    again.

    Args:
        queries: Which pairs have a query in this language, shape ``(pairs,)``.
        passages: The same for each passage language.
        others: The passage languages but for the query's own.
        choice: How many passes, and the seed.
        partners: How many languages a pass.
        query: Position of the query language, of which the draw depends.

    Returns:
        Positions of languages, shape ``(passes, partners, pairs)``, 255 where there is none.
    """
    slots = np.arange(choice.passes * partners)
    drawn = np.full((len(slots), len(queries)), _NONE, dtype=np.uint8)
    shape = (choice.passes, partners, len(queries))
    if not others:
        return drawn.reshape(shape)
    generator = np.random.default_rng([choice.seed, query])
    languages = np.array(others, dtype=np.uint8)
    for start in range(0, len(queries), _BLOCK):
        own = slice(start, start + _BLOCK)
        exists = np.stack([queries[own] & passages[p][own] for p in others])
        keys = generator.random(exists.shape, dtype=np.float32)
        order = np.argsort(np.where(exists, keys, 2.0), axis=0)  # (languages, block)
        count = exists.sum(axis=0)
        place = slots[:, None] % np.maximum(count, 1)  # (slots, block)
        # Where there are fewer languages than partners, a pass has each of them once.
        repeated = (slots % partners)[:, None] >= count
        found = languages[np.take_along_axis(order, place, axis=0)]
        drawn[:, own] = np.where(repeated, _NONE, found)
    return drawn.reshape(shape)  # (passes, partners, pairs)


def _other_languages(
    present: NDArray[np.bool_],
    language: int,
    rows: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw for each text one of the other languages it exists in, its own where there is none.

    Args:
        present: Which rows exist in which language, shape ``(languages, rows of the table)``.
        language: The texts' own language.
        rows: The texts' rows.
        generator: The source of chance.

    Returns:
        Positions of languages, shape ``(rows,)``.
    """
    known, inverse = np.unique(rows, return_inverse=True)
    here = present[:, known]  # (languages, distinct rows)
    in_order = np.argsort(~here, axis=0, kind="stable")  # those it exists in come first
    others = here.sum(axis=0) - 1
    own = here[:language].sum(axis=0)  # the place of its own language among them
    drawn = (generator.random(len(rows)) * others[inverse]).astype(np.int64)
    drawn += (drawn >= own[inverse]) & (others[inverse] > 0)
    return np.asarray(in_order[drawn, inverse], dtype=np.int64)
