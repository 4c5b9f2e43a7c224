"""One run of the study: train a model, evaluate it, and write what it scored."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from study_data import Tokens, load_tokenizer
from study_json import read_json
from study_languages import subset_means
from study_plan import NINE, Settings, Variant
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

import st_hybrid
from st_hybrid.bias import in_languages
from st_hybrid.evaluate import evaluate
from st_hybrid.evaluator import MultilingualRetrievalEvaluator
from st_hybrid.parallel import PROMPTS, ParallelData
from st_hybrid.rank_files import read_ranks
from st_hybrid.sparse_adam import RowSparseAdam
from st_hybrid.static import build_static_encoder, without_dropout
from st_hybrid.statistics import metric_named, query_scores

if TYPE_CHECKING:
    from torch.optim import Optimizer

LIR_COMPONENTS: Final = 4
LENGTH_BLOCK: Final = 32
SAVE_STEPS: Final = 25
"""Steps of a transformer from one checkpoint to the next: some minutes on a CPU."""


class ByLength(Transformer):
    """A transformer that trains on texts of like length together.

    Two thirds of a batch of questions and sentences in its order would be padding.
    """

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """What ``Transformer`` gives, but that padding's token embeddings are 0 in training."""
        ids, mask = features["input_ids"], features["attention_mask"]
        if not self.training or len(ids) <= LENGTH_BLOCK:
            return super().forward(features, **options)
        vectors = self.model.get_input_embeddings()(ids)  # once: its gradient is as large as it
        lengths = mask.sum(dim=1)
        order = lengths.argsort()
        found = []
        for rows in order.split(LENGTH_BLOCK):
            longest = int(lengths[rows].max())
            part = {
                "inputs_embeds": vectors[rows, :longest],
                "attention_mask": mask[rows, :longest],
            }
            tokens = super().forward(part, **options)["token_embeddings"]
            # (LENGTH_BLOCK, longest, dimensions) -> (LENGTH_BLOCK, padded length, dimensions)
            found.append(torch.nn.functional.pad(tokens, (0, 0, 0, ids.shape[1] - longest)))
        return features | {"token_embeddings": torch.cat(found)[order.argsort()]}


class Clock(TrainerCallback, ExportableState):
    """The seconds of a run over all its sessions; each checkpoint has them so far."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.earlier = 0.0

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self.earlier + time.perf_counter() - self.begun

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"args": {}, "attributes": {"seconds": self.seconds}}


class Checkpoint(NamedTuple):
    """Where a run can go on from.

    Attributes:
        step: Its last step.
        path: Its folder.
        seconds: The run's seconds till then.
    """

    step: int
    path: Path
    seconds: float


def last_checkpoint(scratch: Path) -> Checkpoint | None:
    """A run's latest checkpoint that was written to its end: the trainer's state comes last."""
    found = []
    for path in scratch.glob("checkpoint-*/trainer_state.json"):
        try:
            state = read_json(path, "global_step", "stateful_callbacks")
        except ValueError:
            continue
        clock = state["stateful_callbacks"][Clock.__name__]
        found.append(Checkpoint(state["global_step"], path.parent, clock["attributes"]["seconds"]))
    return max(found, default=None)


def rows_of(variant: Variant, *, copies: bool) -> str:
    """The folder of the rows that a variant trains on."""
    if variant.alignment:
        return "rows-aligned"
    return "rows-copies" if copies else "rows"


def untrained(
    settings: Settings, output: Path, seed: int, tokenised: Tokens | None
) -> SentenceTransformer:
    """An encoder without training, static or a transformer."""
    tokenizer = load_tokenizer(output)
    if settings.encoder == "static":
        return build_static_encoder(
            tokenizer,
            settings.dimensions,
            dropout=settings.dropout,
            seed=seed,
            sparse_gradients=True,
            tokenised=tokenised,
        ).to(settings.device)
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = output / "scratch" / f"bert-{os.getpid()}"
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>", model_max_length=96
    )
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=settings.dimensions,
        num_hidden_layers=settings.layers,
        num_attention_heads=max(settings.dimensions // 32, 1),
        intermediate_size=4 * settings.dimensions,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
    )
    BertModel(config).save_pretrained(folder)
    modules = [ByLength(str(folder), max_seq_length=96), Pooling(settings.dimensions)]
    model = SentenceTransformer(modules=modules, prompts=dict(PROMPTS), device=settings.device)
    shutil.rmtree(folder)
    return model


def train(
    model: SentenceTransformer,
    dataset: Dataset,
    variant: Variant,
    settings: Settings,
    scratch: Path,
    seed: int,
    clock: Clock,
) -> SentenceTransformer:
    """Train a model with the trainer as any user would; a transformer goes on where it stopped.

    Args:
        model: The model as it begins.
        dataset: Its rows.
        variant: What it trains.
        settings: How.
        scratch: Folder of a transformer's checkpoints.
        seed: Seed of batches and dropout.
        clock: The run's; it learns of earlier sessions' seconds.

    Returns:
        The model as anybody would load it.
    """
    static = settings.encoder == "static"
    steps = round(settings.steps / variant.batch_factor)
    if begun := last_checkpoint(scratch):
        clock.earlier = begun.seconds
        if begun.step == steps:  # the trainer would take one more step
            return SentenceTransformer(
                str(begun.path), device=settings.device, trust_remote_code=True
            )
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(scratch),
        max_steps=steps,
        per_device_train_batch_size=round(settings.batch_size * variant.batch_factor),
        learning_rate=settings.learning_rate,
        learning_rate_mapping=(
            {r"word_embeddings\.weight": settings.token_learning_rate}
            if settings.token_learning_rate
            else None
        ),
        warmup_steps=0 if static else steps // 10,
        prompts=st_hybrid.column_prompts(dataset.column_names, model.prompts),
        save_strategy="no" if static else "steps",
        save_steps=SAVE_STEPS,
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        bf16=settings.device == "cuda" and not static,
        use_cpu=settings.device == "cpu",
    )
    if variant.mix != "shuffled":
        arguments.batch_sampler = st_hybrid.HybridBatchSampler.with_options(
            alpha=variant.alpha,
            mix=variant.mix,
            language_weights=variant.weights,
            pair_weights=variant.weights,
        )
    loss: torch.nn.Module = st_hybrid.MultilingualContrastiveLoss(
        model, scale=settings.scale, alignment_weight=variant.alignment
    )
    if not variant.masked:
        loss = MultipleNegativesRankingLoss(model, scale=settings.scale)
    optimizer: Optimizer | None = None
    if static:
        optimizer = RowSparseAdam(model.parameters(), settings.learning_rate)
    trainer = st_hybrid.SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        optimizers=(optimizer, None),
        callbacks=[clock],
    )
    trainer.train(resume_from_checkpoint=str(begun.path) if begun else None)
    return without_dropout(model).to(settings.device) if static else model


def held_out_scores(model: SentenceTransformer, held: ParallelData) -> dict[str, float]:
    """Scores on the pairs held out, which choices are made by."""
    evaluator = MultilingualRetrievalEvaluator(
        held.queries, held.passages, held.pairs, languages=NINE, batch_size=256, write_csv=False
    )
    wanted = {"mono_map", "cross_map", "multi_map", "multi_rank_distance"}
    return {k: v for k, v in evaluator(model).items() if k in wanted}


def test_scores(
    model: SentenceTransformer, name: str, tasks: Iterable[str], output: Path
) -> dict[str, dict[str, float]]:
    """Evaluate with mteb; the ranks stay in the study's folder.

    Returns:
        Task -> measure -> mean over the subsets that have it.
    """
    results = output / "results"
    paths = evaluate(model, list(tasks), results, name=name, batch_size=256, overwrite=True)
    scores = {}
    for path in paths:
        content = json.loads(path.read_bytes())
        values: dict[str, list[float]] = {}
        for subset in content["scores"]["test"]:
            for key in ("map", "recall_at_1", "rank_distance", "rank_distance_of_chance"):
                if key in subset:
                    values.setdefault(key, []).append(subset[key])
        scores[content["task_name"]] = {k: float(np.mean(v)) for k, v in values.items()}
        ranks = path.parent / "ranks" / path.with_suffix(".parquet").name
        if "rank_distance" in values and ranks.exists():
            scores[content["task_name"]] |= nine_language_distance(ranks)
    return scores


def nine_language_distance(path: Path) -> dict[str, float]:
    """The rank distance over the trained languages: their queries, and their relevant passages.

    Ranks are those in the pool of all languages.
    """
    records = read_ranks(path)
    names, language = np.unique(records.passage_languages, return_inverse=True)
    ranks = in_languages(records.ranks, language, np.flatnonzero(np.isin(names, NINE)).tolist())
    metrics = [metric_named(name) for name in ("rank_distance", "rank_distance_of_chance")]
    scores = query_scores(dataclasses.replace(records, ranks=ranks), metrics)
    found = {}
    for name, values in scores.items():
        means = [x for subset, x in subset_means(records, values).items() if subset in NINE]
        found[name.replace("rank_distance", "rank_distance_nine")] = float(np.mean(means))
    return found


def debiased(
    model: SentenceTransformer, method: str, texts: dict[str, list[str]]
) -> SentenceTransformer:
    """The model without language directions, fitted on monolingual text and not trained."""
    from st_hybrid.debias import debias_model, fit_debiasing

    fitted = fit_debiasing(model, texts, cast("Any", method), LIR_COMPONENTS, batch_size=256)
    return debias_model(model, fitted)


def machine(device: str) -> str:
    """What a run was made on."""
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU alone"
    return f"{card}, {os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}"
