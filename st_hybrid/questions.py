"""Who asks, what is searched and what answers: retrieval over parallel texts.

Queries and passages are rows of parallel tables, and a pair of rows holds in every two languages
in which its texts exist.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from st_hybrid.labels import read_labels
from st_hybrid.languages import LANGUAGES, get_language, split_pair_codes
from st_hybrid.parallel import ParallelTexts
from st_hybrid.ranking import Relevance, trec_tie_order
from st_hybrid.subsets import SETTINGS, Setting, Subset, list_subsets

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "Questions",
    "Tables",
    "tables_from_dataset",
    "tables_from_mappings",
]

logger = logging.getLogger(__name__)

Tables = tuple[ParallelTexts, ParallelTexts, NDArray[np.int64]]
"""Queries, passages and pairs of their rows."""

_LABEL_COLUMNS: Final = ("label", "labels", "score", "scores")
_READ_ROWS: Final = 4096


class Questions:
    """Queries and passages in several languages, and which passages answer which query.

    Asked are the queries that a passage of any of the languages answers; searched are all
    passages. Within a language they are numbered in the order of their rows.

    Args:
        queries: Queries, a row a query with its translations, gaps allowed.
        passages: Passages, likewise; those without a pair are searched as well.
        pairs: Row numbers of a query and of a passage that answers it, shape ``(pairs, 2)`` or more
            columns, which are not read (hard negatives). A query may have several pairs.
        languages: Keep these languages only, of which either table may lack some; all that either
            table has where not given.

    Attributes:
        query_languages: Codes of the languages that have queries.
        passage_languages: Codes of the languages that have passages.

    Raises:
        ValueError: If ``pairs`` is empty, has another shape or names a row that does not exist, or
            a language is unknown or missing from both tables.
    """

    def __init__(
        self,
        queries: ParallelTexts,
        passages: ParallelTexts,
        pairs: ArrayLike,
        languages: Sequence[str] | None = None,
    ) -> None:
        _check_languages(queries, passages, languages)
        self._pairs = _distinct_pairs(pairs, len(queries), len(passages))
        self.passages = _Texts(passages, languages, np.ones(len(passages), dtype=np.bool_))
        answering = np.zeros(len(passages), dtype=np.bool_)
        for rows in self.passages.rows.values():
            answering[rows] = True
        asked = np.zeros(len(queries), dtype=np.bool_)
        asked[self._pairs[answering[self._pairs[:, 1]], 0]] = True
        self.queries = _Texts(queries, languages, asked)
        self.query_languages = tuple(self.queries.rows)
        self.passage_languages = tuple(self.passages.rows)
        self._tie_order = trec_tie_order(passages.ids)

    def subsets(self, settings: Sequence[Setting] | None = None) -> tuple[Subset, ...]:
        """The subsets in which anything is asked.

        Args:
            settings: Some of the settings; all that have a question where not given.

        Returns:
            Subsets with at least one relevant passage, settings in the paper's order.

        Raises:
            ValueError: If a setting is unknown or has no question, or no question is left.
        """
        if settings is not None and (not settings or not {*settings} <= {*SETTINGS}):
            raise ValueError(f"settings is {settings!r}: expected some of {', '.join(SETTINGS)}")
        texts = (
            f"queries are in {', '.join(self.query_languages) or 'no language'}, "
            f"passages in {', '.join(self.passage_languages) or 'no language'}"
        )
        asked: list[Subset] = []
        empty: list[str] = []
        for setting in (x for x in SETTINGS if settings is None or x in settings):
            subsets = list_subsets(setting, self.query_languages, self.passage_languages)
            found = [x for x in subsets if len(self.relevance(x).passages)]
            if settings is not None and not found:
                raise ValueError(
                    f"settings has {setting!r}, but no question is left for it: {texts}"
                )
            asked += found
            empty += [f"{setting} {x.name}" for x in subsets if x not in found]
        if not asked:
            raise ValueError(f"no query has a passage that answers it: {texts}")
        if empty:
            logger.warning("No question for %s: left out", ", ".join(empty))
        return tuple(asked)

    def relevance(self, subset: Subset) -> Relevance:
        """Which passages of a subset answer its queries.

        Args:
            subset: The subset; its passages are numbered through its languages in their order.

        Returns:
            Entries of grade 1 for all queries of the language; none where no passage answers one.
        """
        query = self.queries.numbers(subset.query_language, self._pairs[:, 0])
        start, asking, answers = 0, [], []
        for language in subset.passage_languages:
            passage = self.passages.numbers(language, self._pairs[:, 1])
            both = (query >= 0) & (passage >= 0)
            asking.append(query[both])
            answers.append(start + passage[both])
            start += self.passages.count(language)
        queries, passages = np.concatenate(asking), np.concatenate(answers)  # each (entries,)
        counts = np.bincount(queries, minlength=self.queries.count(subset.query_language))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        by_query = np.argsort(queries, kind="stable")
        return Relevance(offsets, passages[by_query], np.ones(len(passages), dtype=np.int64))

    def tie_order(self, subset: Subset) -> NDArray[np.int64]:
        """Which of two passages with equal scores comes first: by id, then by language.

        Ids come before languages so that ties favour no language; both descend, as in trec_eval.

        Args:
            subset: The subset whose passages are searched.

        Returns:
            Shape (passages,); the lower value comes first.
        """
        languages = subset.passage_languages
        place = {code: n for n, code in enumerate(sorted(languages, reverse=True))}
        return np.concatenate(
            [
                self._tie_order[self.passages.rows[code]] * len(languages) + place[code]
                for code in languages
            ]
        )


class _Texts:
    """The texts of some rows of a table, numbered within each language that has any."""

    def __init__(
        self, table: ParallelTexts, languages: Sequence[str] | None, kept: NDArray[np.bool_]
    ) -> None:
        self._table = table
        present = dict(zip(table.languages, table.present() & kept, strict=True))
        codes = [code for code in languages or table.languages if code in present]
        self.rows = {code: np.flatnonzero(present[code]) for code in codes if present[code].any()}

    def count(self, language: str) -> int:
        """The number of texts in a language."""
        return len(self.rows[language])

    def texts(self, language: str) -> list[str]:
        """The texts of a language, in the order of their numbers."""
        texts: list[str] = self._table.column(language).take(self.rows[language]).to_pylist()
        return texts

    def numbers(self, language: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each row's text in a language, -1 where there is none."""
        number = np.full(len(self._table), -1, dtype=np.int64)
        number[self.rows[language]] = np.arange(self.count(language))
        return number[rows]


def _check_languages(
    queries: ParallelTexts, passages: ParallelTexts, languages: Sequence[str] | None
) -> None:
    for code in languages or ():
        get_language(code)
        if code not in queries.languages and code not in passages.languages:
            raise ValueError(
                f"languages has {code!r}, but queries are in {', '.join(queries.languages)}, "
                f"passages in {', '.join(passages.languages)}"
            )


def _distinct_pairs(pairs: ArrayLike, queries: int, passages: int) -> NDArray[np.int64]:
    """Distinct (query row, passage row), in this order of precedence, shape (pairs, 2)."""
    links = np.asarray(pairs, dtype=np.int64)
    if links.ndim != 2 or links.shape[1] < 2 or not len(links):
        raise ValueError(
            f"pairs has shape {links.shape}: expected one pair or more of a query's and a relevant "
            "passage's row number, (pairs, 2)"
        )
    for role, rows, column in (("query", queries, 0), ("passage", passages, 1)):
        low, high = links[:, column].min(), links[:, column].max()
        if low < 0 or high >= rows:
            raise ValueError(
                f"pairs name {role} row {low if low < 0 else high}, but there are rows 0 .. "
                f"{rows - 1}"
            )
    return np.unique(links[:, :2], axis=0)


def tables_from_mappings(
    queries: Mapping[str, Mapping[str, str]],
    corpus: Mapping[str, Mapping[str, str]],
    relevant_docs: Mapping[str, Collection[str]],
) -> Tables:
    """Make tables of texts that share ids over the languages.

    Args:
        queries: Language code -> query id -> text.
        corpus: Language code -> passage id -> text.
        relevant_docs: Query id -> ids of the passages that answer it, in whatever language. Queries
            that are in no language are passed over, as the host does.

    Returns:
        Queries, passages and pairs.

    Raises:
        ValueError: If a relevant passage is in no language, or comes with a grade.
    """
    tables = [
        _table_from_mapping(role, x) for role, x in (("queries", queries), ("corpus", corpus))
    ]
    query_rows, passage_rows = ({name: n for n, name in enumerate(x.ids)} for x in tables)
    pairs: list[tuple[int, int]] = []
    for query, relevant in relevant_docs.items():
        if isinstance(relevant, str | Mapping):
            raise ValueError(
                f"relevant_docs[{query!r}] is a {type(relevant).__name__}: expected a set of "
                "passage ids; leave passages of grade 0 out"
            )
        if query not in query_rows:
            continue
        for passage in relevant:
            if passage not in passage_rows:
                raise ValueError(
                    f"relevant_docs[{query!r}] has {passage!r}, which the corpus has in no language"
                )
            pairs.append((query_rows[query], passage_rows[passage]))
    return tables[0], tables[1], np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _table_from_mapping(role: str, texts: Mapping[str, Mapping[str, str]]) -> ParallelTexts:
    ids = list(dict.fromkeys(name for column in texts.values() for name in column))
    columns = {code: [column.get(name) for name in ids] for code, column in texts.items()}
    try:
        return ParallelTexts.from_columns(columns, ids=ids)
    except ValueError as error:
        raise ValueError(f"{role}: {error}") from error


def tables_from_dataset(dataset: Dataset) -> Tables:
    """Make tables of the texts of training rows, such as ``build_parallel_dataset`` gives.

    Two texts of one group in two languages are translations; where a group has several texts in one
    language, the first is taken. Hard negatives become passages.

    Args:
        dataset: Rows with a label column, whatever transform they are under.

    Returns:
        Queries, passages and pairs; ids are the groups.

    Raises:
        ValueError: If there is no label column as :mod:`st_hybrid.labels` describes it.
    """
    labels = read_labels(dataset)
    codes = np.repeat(labels.pairs, np.diff(labels.starts))  # (rows,), in the order of labels.order
    query_language, passage_language = split_pair_codes(codes)
    label_column = next(name for name in _LABEL_COLUMNS if name in dataset.column_names)
    columns = [x for x in dataset.column_names if x not in (label_column, "dataset_name")]
    groups = labels.groups[labels.order]  # (rows, text columns)
    queries, query_rows = _table_from_rows(
        dataset, columns[:1], labels.order, query_language, groups[:, :1]
    )
    passages, passage_rows = _table_from_rows(
        dataset, columns[1:], labels.order, passage_language, groups[:, 1:]
    )
    return queries, passages, np.stack([query_rows[:, 0], passage_rows[:, 0]], axis=1)


def _table_from_rows(
    dataset: Dataset,
    columns: Sequence[str],
    order: NDArray[np.int64],
    language: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> tuple[ParallelTexts, NDArray[np.int64]]:
    """The texts of some columns by group and language, and each group's row: (rows, columns)."""
    ids, row = np.unique(groups, return_inverse=True)
    row = row.reshape(groups.shape)
    cells, first = np.unique(language[:, None] * len(ids) + row, return_index=True)
    label, column = np.divmod(first, len(columns))  # where each cell's text is read, (cells,)
    texts = np.empty(len(cells), dtype=object)
    for number, name in enumerate(columns):
        here = np.flatnonzero(column == number)
        texts[here] = _read_texts(dataset, order[label[here]], name)
    cell_language, cell_row = np.divmod(cells, len(ids))
    by_language: dict[str, list[str | None]] = {}
    for number in np.unique(cell_language).tolist():
        here = cell_language == number
        filled = np.full(len(ids), None, dtype=object)
        filled[cell_row[here]] = texts[here]
        by_language[list(LANGUAGES)[number]] = filled.tolist()
    return ParallelTexts.from_columns(by_language, ids=[str(x) for x in ids.tolist()]), row


def _read_texts(dataset: Dataset, rows: NDArray[np.int64], column: str) -> list[str]:
    """The texts of some rows, through the dataset's transform."""
    chosen = dataset.select(rows)
    chunks = range(0, len(rows), _READ_ROWS)
    return [text for start in chunks for text in chosen[start : start + _READ_ROWS][column]]
