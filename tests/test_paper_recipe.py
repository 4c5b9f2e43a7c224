"""The paper's recipe in examples/paper: its settings, data, dry run and estimates."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import forking
import numpy as np
import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from st_hybrid.config_files import merge_settings, read_config, read_settings
from st_hybrid.loss import MultilingualContrastiveLoss
from st_hybrid.parallel import ParallelData, ParallelTexts, load_parallel_data

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "examples" / "paper"
PAGE = ROOT / "docs" / "paper-recipe.md"
PAPER_LANGUAGES = {"ar", "zh", "en", "de", "hi", "ru", "es", "th", "tr"}
REPLACED = {"model", "steps", "warmup", "save_every", "log_every", "device", "evaluation"}


@pytest.fixture(scope="module")
def scripts() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a script of the recipe, which find one another in their own folder."""
    sys.path.insert(0, str(RECIPE))
    before = set(sys.modules)
    yield importlib.import_module
    sys.path.remove(str(RECIPE))
    for name in {"dry_run", "estimate", "measure", "prepare", "stand_ins"} - before:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def estimate(scripts: Callable[[str], ModuleType]) -> Any:
    return scripts("estimate")


@pytest.fixture(scope="module")
def measure(scripts: Callable[[str], ModuleType]) -> Any:
    return scripts("measure")


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a dry run of both recipes, and what it printed."""
    folder = tmp_path_factory.mktemp("recipe") / "dry"
    command = [str(RECIPE / "dry_run.py"), "--output", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = forking.run(command, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.mark.parametrize(
    ("name", "model"),
    [("xlm-r", "FacebookAI/xlm-roberta-base"), ("labse", "sentence-transformers/LaBSE")],
)
def test_settings_are_the_papers(name: str, model: str, estimate: Any) -> None:
    """Its models, languages, prompts, optimizer and batches, and one key for its other methods."""
    settings = read_settings(RECIPE / f"{name}.yaml")
    config = read_config(settings)
    assert config.model == model
    assert set(config.languages or ()) == PAPER_LANGUAGES
    assert config.prompts == {"query": "Query: ", "document": "Passage: "}
    assert (config.learning_rate, config.weight_decay, config.batch_size) == (3e-5, 0.01, 100)
    assert (config.bf16, config.gradient_accumulation, config.static) == (True, 1, None)
    assert (config.language_weights, config.pair_weights) == ("uniform", "uniform")
    assert len(config.data) == len(estimate.SIZES) == 9
    assert config.steps == estimate.epoch_steps() == 438_724
    assert config.max_tokens == max(estimate.PADDED)
    evaluation = config.evaluation
    assert evaluation is not None
    assert (evaluation.languages, evaluation.best) == (("en",), True)
    assert evaluation.data == ("paper-data/squadshifts",)
    for method, alpha in (("hybrid", 0.5), ("mono", 1.0), ("cross", 0.0)):
        changed = read_config(merge_settings(settings, {"method": method}))
        assert changed.batching[0] == alpha


def test_both_recipes_differ_in_model_and_output_alone() -> None:
    one, other = (read_settings(RECIPE / f"{name}.yaml") for name in ("xlm-r", "labse"))
    assert {key for key in one | other if one.get(key) != other.get(key)} == {"model", "output"}


def test_accelerate_reads_its_settings() -> None:
    """One process on one GPU with bf16; accelerate refuses keys that it does not know."""
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import DistributedType

    config = load_config_from_file(str(RECIPE / "accelerate.yaml"))
    assert config.distributed_type == DistributedType.NO
    assert (config.mixed_precision, config.num_processes, config.use_cpu) == ("bf16", 1, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoder", "modules"),
    [
        ("xlm-r", "XLMRobertaModel", ["Transformer", "Pooling"]),
        ("labse", "BertModel", ["Transformer", "Pooling", "Dense", "Normalize"]),
    ],
)
def test_the_dry_run_trains_the_recipe(
    name: str, encoder: str, modules: list[str], dry: tuple[Path, str]
) -> None:
    """By accelerate launch, with the recipe's settings but for those it says it replaces."""
    folder, said = dry
    command = next(x for x in said.splitlines() if x.endswith(f"{name}.yaml"))
    assert re.search(r"/accelerate launch --config_file \S+/accelerate.yaml --cpu -m st_h", command)
    recipe = read_config(read_settings(RECIPE / f"{name}.yaml"))
    output = folder / recipe.output
    used = read_config(read_settings(output / "train.yaml"))
    assert {key for key, value in vars(recipe).items() if getattr(used, key) != value} == {
        *REPLACED,
        *("data", "output", "alpha"),  # absolute, and filled in
    }
    assert [Path(x).relative_to(folder) for x in used.data] == [Path(x) for x in recipe.data]
    model = SentenceTransformer(str(output / "model"), device="cpu")
    assert type(model[0].auto_model).__name__ == encoder
    assert [type(module).__name__ for module in model] == modules
    assert {key: model.prompts[key] for key in ("query", "document")} == recipe.prompts
    assert model.max_seq_length == 256
    if name == "labse":
        assert model[1].pooling_mode in ("cls", ("cls",))
        assert isinstance(model[2].activation_function, torch.nn.Tanh)
    card = yaml.safe_load((output / "model" / "README.md").read_text("utf-8").split("---")[1])
    assert set(card["language"]) == PAPER_LANGUAGES
    before = SentenceTransformer(str(folder / f"tiny-{name}"), device="cpu").state_dict()
    moved = {
        key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    }
    assert {key for key in before if "pooler" not in key} == moved

    state = json.loads(
        (output / "checkpoints" / "checkpoint-6" / "trainer_state.json").read_text("utf-8")
    )
    assert (state["global_step"], state["train_batch_size"]) == (6, 100)
    rates = [x["learning_rate"] for x in state["log_history"] if "learning_rate" in x]
    assert rates[-1] == pytest.approx(3e-5)
    assert "eval_dev_mono_map" in json.loads((output / "evaluation.json").read_text("utf-8"))


@pytest.mark.slow
def test_the_dry_runs_check_can_fail(
    dry: tuple[Path, str], scripts: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """A model without its prompts, or with the stand-in's weights, is no success."""
    folder, _ = dry
    check = scripts("dry_run").check
    shutil.copy(folder / "labse.yaml", tmp_path)
    shutil.copytree(folder / "paper-labse", tmp_path / "paper-labse")
    assert "BertModel, Transformer > Pooling(cls) > Dense > Normalize" in check(
        tmp_path / "labse.yaml"
    )
    model = tmp_path / "paper-labse" / "model"
    settings = model / "config_sentence_transformers.json"
    kept = settings.read_text("utf-8")
    settings.write_text(kept.replace("Passage: ", ""), "utf-8")
    with pytest.raises(RuntimeError, match="prompts of"):
        check(tmp_path / "labse.yaml")
    settings.write_text(kept, "utf-8")
    for path in (folder / "tiny-labse").rglob("*.safetensors"):
        shutil.copy(path, model / path.relative_to(folder / "tiny-labse"))
    with pytest.raises(RuntimeError, match="no weight differs"):
        check(tmp_path / "labse.yaml")


@pytest.mark.slow
def test_the_dry_runs_data_have_the_recipes_layout(dry: tuple[Path, str]) -> None:
    """Seven languages of mMARCO, nine of the others, English for evaluation; a negative a pair."""
    data = dry[0] / "paper-data"
    recipe = read_config(read_settings(RECIPE / "xlm-r.yaml"))
    for path in recipe.data:
        found = load_parallel_data(data.parent / path)
        few = PAPER_LANGUAGES - {"th", "tr"} if path.endswith("mmarco") else PAPER_LANGUAGES
        assert set(found.languages) == few
        assert found.pairs.shape == (150, 3)
        assert not found.findings
    assert load_parallel_data(data / "squadshifts").languages == ("en",)


def corpus(passages: int, pairs: list[tuple[int, ...]]) -> ParallelData:
    """English queries and passages, as many as named."""
    texts = [
        ParallelTexts.from_columns({"en": [f"{role} {n}" for n in range(size)]})
        for role, size in (("q", 1 + max(x[0] for x in pairs)), ("p", passages))
    ]
    return ParallelData(*texts, np.array(pairs))


def test_negatives_are_no_positives(scripts: Callable[[str], ModuleType]) -> None:
    """The drawn ones are others than all passages of the query; a set's own ones stay."""
    with_negatives = scripts("prepare").with_negatives
    pairs = [(q, (q + k) % 4) for q in range(40) for k in range(3)]
    found = with_negatives(corpus(4, pairs), 0).pairs
    assert found[:, :2].tolist() == [list(x) for x in pairs]
    assert found[:, 2].tolist() == [(q + 3) % 4 for q, _ in pairs]  # the only one that is left
    drawn = with_negatives(corpus(50, [(q, q) for q in range(40)]), 0).pairs[:, 2]
    assert len(set(drawn.tolist())) > 15
    own = with_negatives(corpus(5, [(0, 1, 2, 3), (1, 2, 4, 0)]), 0).pairs
    assert own.tolist() == [[0, 1, 2], [1, 2, 4]]
    with pytest.raises(ValueError, match="passages are 2"):
        with_negatives(corpus(2, [(0, 0), (0, 1)]), 0)


def test_beir_folders_become_tables(
    scripts: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Titles and texts without line breaks, in the tables that are translated."""
    source = tmp_path / "nq"
    (source / "qrels").mkdir(parents=True)
    passages = [{"_id": f"p{n}", "title": f"T{n}", "text": f"a\tb\nc {n}"} for n in range(3)]
    queries = [{"_id": f"q{n}", "text": f"who {n}?"} for n in range(2)]
    for name, rows in (("corpus", passages), ("queries", queries)):
        lines = "\n".join(json.dumps(row) for row in rows)
        (source / f"{name}.jsonl").write_text(lines + "\n", "utf-8")
    judged = "query-id\tcorpus-id\tscore\nq0\tp0\t1\nq1\tp1\t1\n"
    (source / "qrels" / "train.tsv").write_text(judged, "utf-8")
    main = scripts("prepare").main
    main(["beir", "--folder", str(source), "--output", str(tmp_path / "out")])
    assert "2 pairs in en" in capsys.readouterr().out
    lines = (tmp_path / "out" / "passages.tsv").read_text("utf-8").splitlines()
    assert lines == ["id\ten", "p0\tT0 a b c 0", "p1\tT1 a b c 1", "p2\tT2 a b c 2"]
    assert load_parallel_data(tmp_path / "out").pairs.shape == (2, 3)
    with pytest.raises(SystemExit) as stopped:
        main(["beir", "--folder", str(tmp_path / "no"), "--output", str(tmp_path / "out2")])
    assert stopped.value.code == 1
    assert str(tmp_path / "no") in capsys.readouterr().err


@pytest.mark.slow
def test_data_sh_prepares_and_translates(
    scripts: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """All its commands run: one English set by a tiny NLLB, SQuADShifts and mMARCO."""
    stand_ins, mmarco = scripts("stand_ins"), scripts("prepare").MMARCO_LANGUAGES
    from st_hybrid.corpora.loaders.mmarco import MMARCO_LANGUAGES

    raw = tmp_path / "raw"
    stand_ins.write_raw(raw, {code: MMARCO_LANGUAGES[code] for code in mmarco})
    lines = (raw / "wikiqa.jsonl").read_text("utf-8").splitlines()[:4]
    (raw / "wikiqa.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    _build_nllb(tmp_path / "nllb")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"PATH": path, "MODEL": str(tmp_path / "nllb"), "SETS": "wikiqa"}
    settings |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", str(RECIPE / "data.sh"), "raw"],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    translated = load_parallel_data(tmp_path / "paper-data" / "wikiqa")
    assert set(translated.languages) == PAPER_LANGUAGES
    assert translated.pairs.shape == (4, 3)
    found = load_parallel_data(tmp_path / "paper-data" / "mmarco")
    assert set(found.languages) == set(mmarco)
    assert found.queries.column("ar")[3].as_py() == stand_ins.text("ar", "mmarco", "q", 3)
    assert len(load_parallel_data(tmp_path / "paper-data" / "squadshifts").pairs) == 40


def _build_nllb(folder: Path) -> None:
    """A tiny NLLB-200 model, whose words mean nothing."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *"▁abcdefghijklmnopqrstuvwxyz0123456789"]
    tokenizer = NllbTokenizer(vocab={x: n for n, x in enumerate(tokens)}, merges=[])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(tokenizer), max_position_embeddings=300, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_attention_heads=2, decoder_attention_heads=2, max_length=40,
    )  # fmt: skip
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


def tiny(estimate: Any, measure: Any, dense: bool) -> tuple[Any, SentenceTransformer]:
    """A small encoder's description, and the encoder with what follows it."""
    encoder = estimate.Encoder(
        vocabulary=50, layers=3, hidden=16, intermediate=40, positions=40, dense=dense
    )
    kinds = (BertConfig, BertModel) if dense else (XLMRobertaConfig, XLMRobertaModel)
    config = kinds[0](
        vocab_size=50,
        num_hidden_layers=3,
        hidden_size=16,
        intermediate_size=40,
        num_attention_heads=2,
        max_position_embeddings=40,
        type_vocab_size=1,
        attn_implementation="eager",
    )
    return encoder, measure.around(kinds[1](config), dense=dense)


@pytest.mark.parametrize("dense", [False, True])
def test_operations_are_those_that_torch_counts(estimate: Any, measure: Any, dense: bool) -> None:
    """Forward and backward pass of the real loss, to the last operation."""
    encoder, model = tiny(estimate, measure, dense)
    batch = estimate.Batch(5, 7, 12)
    loss = MultilingualContrastiveLoss(model)
    columns = measure.features(batch, encoder.vocabulary)
    with FlopCounterMode(display=False) as counter:
        loss(columns, measure._labels(batch.rows)).backward()
    assert estimate.step_flops(encoder, batch) == counter.get_total_flops()


@pytest.mark.parametrize("name", ["XLM-R", "LaBSE"])
def test_parameters_are_those_of_the_real_size(estimate: Any, name: str) -> None:
    """Of models without memory, and of LaBSE with its dense layer."""
    config: Any = BertConfig(vocab_size=501_153)
    if name == "XLM-R":
        config = XLMRobertaConfig(
            vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1
        )
    with torch.device("meta"):
        model = XLMRobertaModel(config) if name == "XLM-R" else BertModel(config)
    dense = 768 * 768 + 768 if name == "LaBSE" else 0
    encoder = estimate.ENCODERS[name]
    assert encoder.parameters == sum(x.numel() for x in model.parameters()) + dense
    matrices = [
        x.numel()
        for key, x in model.named_parameters()
        if x.ndim == 2 and key.startswith("encoder.layer")
    ]
    assert encoder.linear_weights == sum(matrices)


def test_memory_and_time_by_hand(estimate: Any) -> None:
    """Small numbers, and the published size of XLM-R."""
    encoder, batch = estimate.ENCODERS["XLM-R"], estimate.Batch(100, 32, 256)
    assert batch.tokens == 100 * (32 + 2 * 256) == 54_400
    assert encoder.state_bytes == 16 * 278_043_648
    assert encoder.copy_bytes == 2 * 84_934_656
    table = 4 * 250_002 * 768
    whole = 16 * 278_043_648 + 2 * 84_934_656 + table + 54_400 * 1000
    assert estimate.training_bytes(encoder, batch, 1000) == whole
    device = estimate.Device("one", 1e12, 1e9, 1e9)
    seconds = estimate.step_flops(encoder, batch) / 0.5e12 + 28 * 278_043_648 / 1e9
    assert estimate.step_seconds(encoder, batch, device, 0.5) == pytest.approx(seconds)
    # 6 operations a weight and token, and 12 a layer, hidden unit and pair of tokens of a text.
    pairs = 100 * (32**2 + 2 * 256**2)
    rule = 6 * 84_934_656 * 54_400 + 12 * 12 * 768 * pairs
    small = 6 * 768 * 100 * 200 + 2 * 768**2 * 300  # scores, and the pooler that nobody reads
    assert estimate.step_flops(encoder, batch) == rule + small
    for wrong in (0, 1.1, -0.3):
        with pytest.raises(ValueError, match=f"utilisation is {wrong}: expected a share"):
            estimate.step_seconds(encoder, batch, device, wrong)
    assert estimate.epoch_steps(43_872_347) == 1
    assert estimate.epoch_steps(43_872_346) == 2
    assert estimate.monolingual_rows() == 7 * 39_780_811 + 9 * (43_872_347 - 39_780_811)


def test_what_a_pass_keeps_grows_with_its_tokens(estimate: Any, measure: Any) -> None:
    """The measurement is of tensors, not of the process, and leaves the parameters out."""
    encoder, model = tiny(estimate, measure, dense=False)
    model.eval()  # without dropout: a mask of it is a tensor more
    kept = [
        measure.kept_bytes(model, estimate.Batch(rows, 8, 16), encoder.vocabulary)
        for rows in (10, 20, 30)
    ]
    assert kept[2] - kept[1] == pytest.approx(kept[1] - kept[0], rel=0.05)
    tokens = 10 * (8 + 2 * 16)
    # Each layer keeps at the least its input, three projections and both feed-forward activations.
    least = 3 * (4 * 16 + 2 * 40) * 2
    assert least < (kept[1] - kept[0]) / tokens < 20 * least
    assert measure.timed_steps(model, estimate.Batch(2, 8, 16), encoder.vocabulary, 1) > 0


def test_the_page_shows_todays_estimates(estimate: Any) -> None:
    """Its table is the one that the script prints, and its numbers are the script's."""
    page = PAGE.read_text(encoding="utf-8")
    assert estimate.estimates(estimate.MEASURED) in page
    for number in (
        estimate.epoch_steps(),
        sum(estimate.SIZES.values()),
        2 * estimate.monolingual_rows(),
        *(x.parameters for x in estimate.ENCODERS.values()),
        *estimate.SIZES.values(),
        *map(round, estimate.MEASURED.values()),
    ):
        assert f"{number:,}" in page


def test_the_page_says_where_hybrid_is_behind() -> None:
    """MIRACL's means stand there, for both models, with X-X-mono ahead."""
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (\.\d{4}) \| (\.\d{4}) \|$", page, re.M)
    scores = {(model, batches): (float(a), float(b)) for model, batches, a, b in rows}
    assert len(scores) == 6
    assert scores["XLM-R", "X-X-mono"][0] == 0.4148
    assert scores["LaBSE", "Hybrid"][0] == 0.4411
    for model in ("XLM-R", "LaBSE"):
        mono, hybrid = scores[model, "X-X-mono"], scores[model, "Hybrid"]
        assert mono[0] > hybrid[0]
        assert mono[1] > hybrid[1]
    assert "## The limit of the method" in page
    assert "X-X-mono is ahead of\nHybrid for both models" in page
