"""Writes translations: wide tables, JSON lines, folders with a file or a BEIR folder a language."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_hybrid.translation.assembly import ALL_MARKS, TranslatedField
from st_hybrid.translation.codes import TranslationError
from st_hybrid.translation.files import plain_suffix, read_lines, read_objects, writing
from st_hybrid.translation.sources import BEIR_FILES, Source

__all__ = [
    "Columns",
    "beside",
    "check_output",
    "name_beside",
    "remove_old_files",
    "write_marks",
    "write_output",
]

Columns: TypeAlias = Mapping[str, Sequence[TranslatedField]]
"""The translated columns by target language."""

_CHUNK: Final = 1 << 16  # rows that become Python strings together
_ALLOWED: Final = {
    "table": (".tsv", ""),
    "topics": (".tsv", ""),
    "jsonl": (".jsonl", ""),
    "beir": ("",),
}


def check_output(source: Source, output: Path) -> None:
    """Check that what was read can be written so.

    Args:
        source: What was read.
        output: Where it is to go.

    Raises:
        TranslationError: If it cannot.
    """
    suffix = plain_suffix(output)
    if suffix not in _ALLOWED[source.kind] or output.suffix == ".gz":
        allowed = [f"a {x} file (or {x}.xz)" if x else "a folder" for x in _ALLOWED[source.kind]]
        raise TranslationError(f"output: {output}: expected {' or '.join(allowed)} for this input")
    if output.is_dir() if suffix else output.is_file():
        kind = "folder" if suffix else "file"
        raise TranslationError(f"output: {output} is a {kind}; give another name")
    if output.resolve() == source.path.resolve():
        raise TranslationError(f"output: {output} is the input; give another name")


def beside(output: Path, name: str) -> Path:
    """Where a file about an output goes: into a folder, or beside a file, under a longer name."""
    return output.with_name(f"{output.name}.{name}") if plain_suffix(output) else output / name


def name_beside(output: Path, file: Path) -> str:
    """The name of one of an output's files, seen from the folder that the output lies in."""
    return file.relative_to(output.parent).as_posix()


def remove_old_files(output: Path, sidecar: Path, files: Sequence[Path]) -> None:
    """Remove what an earlier translation wrote and this one did not, such as other languages.

    Args:
        output: The output.
        sidecar: The JSON file that the earlier translation wrote, if there was one.
        files: The files of the output now.
    """
    if not sidecar.exists():
        return
    try:
        names = set(json.loads(sidecar.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise TranslationError(
            f"{sidecar} is no file of a translation: remove it, or give another output"
        ) from error
    for name in names - {name_beside(output, file) for file in files}:
        old = output.parent / name
        if old.resolve().is_relative_to(output.resolve()):
            old.unlink(missing_ok=True)


def write_output(source: Source, output: Path, columns: Columns) -> list[Path]:
    """Write all languages.

    Args:
        source: What was translated.
        output: A file for all languages, or a folder with a file (BEIR: a folder) a language.
        columns: The translations.

    Returns:
        The files.
    """
    if plain_suffix(output) == ".tsv":
        _write_wide(source, output, columns)
        return [output]
    if plain_suffix(output) == ".jsonl":
        _write_long(source, output, columns)
        return [output]
    files: list[Path] = []
    for language, fields in columns.items():
        if source.kind == "beir":
            files += _write_beir(source, output / language, fields)
        elif source.kind == "jsonl":
            files.append(output / f"{language}.jsonl")
            _write_objects(source.path, files[-1], fields)
        else:
            files.append(output / f"{language}.tsv")
            _write_narrow(source, files[-1], language, fields[0])
    return files


def write_marks(path: Path, columns: Columns) -> None:
    """Write which translations the quality pass marked, a line each.

    Args:
        path: The file, tab-separated: ``id field language marks dropped``.
        columns: The translations.
    """
    with writing(path) as file:
        file.write("id\tfield\tlanguage\tmarks\tdropped\n")
        for language, fields in columns.items():
            for column in fields:
                for row, marks in _marks_of_rows(column).items():
                    name, dropped = column.field.ids[row], "yes" if column.dropped[row] else "no"
                    line = (name, column.field.name, language, ",".join(marks), dropped)
                    file.write("\t".join(line) + "\n")


def _marks_of_rows(column: TranslatedField) -> dict[int, list[str]]:
    """The marks of each marked row."""
    found: dict[int, list[str]] = {}
    bad = np.flatnonzero(np.any([column.marks[mark] for mark in ALL_MARKS], axis=0))
    for row in bad.tolist():
        found[row] = [mark for mark in ALL_MARKS if column.marks[mark][row]]
    return found


def _write_wide(source: Source, path: Path, columns: Columns) -> None:
    """One line a row, the source's languages first and then the new ones."""
    field = source.fields[0]
    held = {**field.existing, source.language: field.texts}
    texts = {code: held[code] for code in source.languages}
    texts |= {code: fields[0].texts for code, fields in columns.items()}
    with writing(path) as file:
        file.write("\t".join(["id", *texts]) + "\n")
        _write_lines(file, field.ids, list(texts.values()))


def _write_narrow(source: Source, path: Path, language: str, column: TranslatedField) -> None:
    """One language: with a header as wide tables have it, or as topic files without one."""
    ids: Sequence[str] = column.field.ids
    texts = column.texts
    if source.kind == "topics":
        there = pc.greater(pc.utf8_length(pc.fill_null(texts, "")), 0)
        ids, texts = pa.array(ids, pa.large_string()).filter(there).to_pylist(), texts.filter(there)
    with writing(path) as file:
        if source.kind == "table":
            file.write(f"id\t{language}\n")
        _write_lines(file, ids, [texts])


def _write_lines(file: Any, ids: Sequence[str], texts: Sequence[pa.LargeStringArray]) -> None:  # noqa: ANN401 -- a text file of any kind
    for first in range(0, len(ids), _CHUNK):
        rows = slice(first, first + _CHUNK)
        cells = [
            pc.replace_substring_regex(pc.fill_null(column[rows], ""), r"[\t\r\n]+", " ")
            for column in texts
        ]
        parts = [pa.array(ids[rows], pa.large_string()), *cells]
        lines = pc.binary_join_element_wise(*parts, pa.scalar("\t", pa.large_string()))
        file.writelines(f"{line}\n" for line in lines.to_pylist())


def _write_long(source: Source, path: Path, columns: Columns) -> None:
    """One line a text and language, the source's texts first."""
    with writing(path) as file:
        for language, fields in {source.language: None, **columns}.items():
            marks = _marks_of_rows(fields[-1]) if fields else {}
            texts = [x.texts for x in fields] if fields else [x.texts for x in source.fields]
            machine = fields[-1].machine if fields else np.zeros(len(texts[0]), dtype=np.bool_)
            names = [x.name for x in source.fields]
            for row, values in _rows(texts):
                if not values[-1]:
                    continue
                line = {"id": source.fields[0].ids[row], "language": language}
                line |= {name: value or "" for name, value in zip(names, values, strict=True)}
                told = {"machine_translated": bool(machine[row]), "marks": marks.get(row, [])}
                file.write(json.dumps(line | told, ensure_ascii=False) + "\n")


def _rows(
    columns: Sequence[pa.LargeStringArray],
) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    """Row numbers and the texts of all columns."""
    for first in range(0, len(columns[0]), _CHUNK):
        parts = [column[first : first + _CHUNK].to_pylist() for column in columns]
        yield from enumerate(zip(*parts, strict=True), first)


def _write_objects(source: Path, path: Path, fields: Sequence[TranslatedField]) -> None:
    """The JSON lines of the source with their texts translated; dropped ones are left out."""
    keys = [field.field.name.split(".")[-1] for field in fields]
    with writing(path) as file:
        for (_, found), (row, texts) in zip(
            read_objects(source), _rows([field.texts for field in fields]), strict=True
        ):
            if fields[0].dropped[row]:
                continue
            found |= {
                key: text or "" for key, text in zip(keys, texts, strict=True) if key in found
            }
            file.write(json.dumps(found, ensure_ascii=False) + "\n")


def _write_beir(source: Source, folder: Path, fields: Sequence[TranslatedField]) -> list[Path]:
    """A BEIR folder in one language; relevance of dropped queries and passages is left out."""
    files: list[Path] = []
    dropped: dict[str, set[str]] = {}
    for name in BEIR_FILES:
        role = name.split(".")[0]
        own = [field for field in fields if field.field.name.split(".")[0] == role]
        if not own:
            continue
        files.append(folder / name)
        _write_objects(source.path / name, files[-1], own)
        dropped[role] = {own[0].field.ids[row] for row in np.flatnonzero(own[0].dropped).tolist()}
    for qrels in sorted((source.path / "qrels").glob("*.tsv")):
        files.append(folder / "qrels" / qrels.name)
        with writing(files[-1]) as file:
            for _, line in read_lines(qrels):
                query, passage, *_ = (*line.split("\t"), "")
                if query not in dropped.get("queries", ()) and passage not in dropped.get(
                    "corpus", ()
                ):
                    file.write(f"{line}\n")
    return files
