"""How the study trains a model, with checkpoints that a transformer goes on from."""

from __future__ import annotations

import os
import platform
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from study_data import Tokens, load_tokenizer
from study_json import read_json
from study_plan import Settings, Variant
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

import st_hybrid
from st_hybrid.parallel import PROMPTS
from st_hybrid.sparse_adam import RowSparseAdam
from st_hybrid.static import build_static_encoder, without_dropout
from st_hybrid.training_output import last_checkpoint

if TYPE_CHECKING:
    from torch.optim import Optimizer

LENGTH_BLOCK: Final = 32
SAVE_SECONDS: Final = 120.0
"""From one checkpoint of a transformer to the next."""


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
    """Asks for checkpoints by the time; each has the seconds of the run over all its sessions."""

    def __init__(self) -> None:
        self.begun = self.saved = time.perf_counter()
        self.earlier = 0.0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Ask for a checkpoint where there is one to keep and the last is some time ago."""
        now = time.perf_counter()
        if args.save_strategy == "steps" and now - self.saved >= SAVE_SECONDS:
            control.should_save, self.saved = True, now

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self.earlier + time.perf_counter() - self.begun

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"args": {}, "attributes": {"seconds": self.seconds}}


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
    if checkpoint := last_checkpoint(scratch):
        state = read_json(checkpoint / "trainer_state.json", "global_step", "stateful_callbacks")
        clock.earlier = state["stateful_callbacks"][Clock.__name__]["attributes"]["seconds"]
        if state["global_step"] == steps:  # the trainer would take one more step
            return SentenceTransformer(
                str(checkpoint), device=settings.device, trust_remote_code=True
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
        save_steps=steps,  # and whenever the clock says
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
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return without_dropout(model).to(settings.device) if static else model


def machine(device: str) -> str:
    """What a run was made on."""
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU alone"
    return f"{card}, {os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}"
