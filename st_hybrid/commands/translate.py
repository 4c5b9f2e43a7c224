"""``st-hybrid data translate``: machine-translate queries and passages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from st_hybrid.commands import HELP, clear_errors

__all__ = ["translate"]


@click.command(context_settings=HELP)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File of the input's kind for all languages (.tsv, .jsonl, perhaps with .xz), or a "
    "folder with a file, or BEIR folder, a language.",
)
@click.option("--to", "targets", multiple=True, help="Target language, such as 'de'; repeatable.")
@click.option("--from", "source_language", help="Language to translate from, such as 'en'.")
@click.option("--model", help="Folder or hub name, such as 'facebook/nllb-200-distilled-600M'.")
@click.option("--revision", help="Commit, branch or tag of the model on the hub.")
@click.option(
    "--beams",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Translations kept while the best is searched; 1 is greedy and several times faster.",
)
@click.option("--length-penalty", type=float, help="Above 0 favours longer translations.")
@click.option(
    "--no-repeat-ngram",
    type=click.IntRange(min=0),
    help="Tokens of an n-gram that may not occur twice in a translation.",
)
@click.option(
    "--max-source-tokens",
    type=click.IntRange(min=8),
    help="Longer texts are cut at sentence ends.  [default: 256, or the model's limit]",
)
@click.option(
    "--max-new-tokens",
    type=click.IntRange(min=2),
    help="Longest translation of a piece.  [default: twice its batch's longest source and 32]",
)
@click.option(
    "--sentences",
    is_flag=True,
    help="Translate each sentence alone: NLLB-200 and OPUS-MT drop parts of longer texts.",
)
@click.option(
    "--prefix",
    help="Words before each text, for models of no known family, such as 'translate {source} to "
    "{target}: '.",
)
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Most tokens of a batch: pieces times the longest of them times beams.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    show_default=True,
    help="Number type of the weights; auto is bfloat16 on CUDA devices, else float32.",
)
@click.option("--device", help="Such as 'cuda:1' or 'cpu'.  [default: an accelerator if any]")
@click.option("--drop-bad", is_flag=True, help="Leave out what the quality pass marks.")
@click.option("--overwrite", is_flag=True, help="Replace what was begun under other settings.")
@click.option(
    "--merge-only",
    is_flag=True,
    help="Write the output from what is translated already; needs no --model and no --to.",
)
@clear_errors
def translate(
    source: Path,
    output: Path,
    targets: tuple[str, ...],
    source_language: str | None,
    model: str | None,
    revision: str | None,
    beams: int,
    length_penalty: float | None,
    no_repeat_ngram: int | None,
    max_source_tokens: int | None,
    max_new_tokens: int | None,
    sentences: bool,
    prefix: str | None,
    batch_tokens: int,
    dtype: str,
    device: str | None,
    drop_bad: bool,
    overwrite: bool,
    merge_only: bool,
) -> None:
    """Machine-translate INPUT: a wide table, a topic file, JSON lines or a BEIR folder.

    Stopped at any time, the same command goes on where it was; with more --to it adds languages.
    Under torchrun or accelerate launch the processes share the work. Beside the output lie a JSON
    file that says how it was translated and a table of what the quality pass marked.
    """
    if not merge_only and (model is None or not targets):
        raise click.UsageError("give --model and --to, or --merge-only")
    if int(os.environ.get("RANK", "0")) or not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # of loading the model

    from st_hybrid.translate import Decoding, merge_translations
    from st_hybrid.translate import translate as run

    if model is not None and not merge_only:
        decoding = Decoding(
            beams=beams,
            length_penalty=length_penalty,
            no_repeat_ngram=no_repeat_ngram,
            max_source_tokens=max_source_tokens,
            max_new_tokens=max_new_tokens,
            single_sentences=sentences,
            prefix=prefix,
        )
        report = run(
            source,
            output,
            model=model,
            to=targets,
            source_language=source_language,
            decoding=decoding,
            revision=revision,
            device=device,
            dtype=dtype,
            batch_tokens=batch_tokens,
            drop_bad=drop_bad,
            overwrite=overwrite,
        )
    else:
        report = merge_translations(source, output, drop_bad=drop_bad)
    if report is not None:
        click.echo(f"{report.table()}\n\n{report.output}\n{report.sidecar}\n{report.marks}")
