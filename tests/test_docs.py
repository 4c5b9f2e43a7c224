"""What the documentation tells a reader to type works as it stands."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Command -> None where it is run as it stands, else why only its options are compared with --help.
COMMANDS: Final[Mapping[str, str | None]] = {
    "make demo": "a target of the Makefile; the demo has tests of its own",
    "make test": "a target of the Makefile; it runs this very test",
    "pip install -c constraints.txt .": "would download; make does the same before any test",
    "python examples/train_hybrid.py --data parallel --output model": "takes minutes",
    "python examples/train_hybrid.py --data parallel --output model --alpha 0.5 --trainer ours": (
        "takes minutes"
    ),
    "python examples/study.py tune --data parallel --output study --vary dropout 0 0.1 0.3 "
    "--steps 1000": "test_examples.py runs it on small data",
    "python examples/study.py tune --data parallel --output study --vary steps 50 100 200 500 1000 "
    "2500 4000 --variants X-X-mono X-Y Hybrid": "as above; takes an hour",
    "python examples/study.py run --data parallel --output study --experiment methods "
    "--steps 4000": "as above; takes hours",
    "python examples/study.py run --data parallel --output study --experiment methods": (
        "as above; takes hours"
    ),
    "python examples/study.py run --data parallel --output study --experiment sweep "
    "--seeds 0 1 2": "as above; takes hours",
    "python examples/study.py run --data parallel --output study --experiment ablations "
    "--seeds 0 1 2": "as above; takes hours",
    "python examples/study.py tune --data parallel --output study --encoder transformer --layers 2 "
    "--dimensions 256 --batch-size 256 --dropout 0 --steps 100 --vary learning_rate 0.001 0.003": (
        "as above; takes half an hour"
    ),
    "python examples/study.py tune --data parallel --output study --encoder transformer --layers 2 "
    "--dimensions 256 --batch-size 256 --dropout 0 --steps 100 --learning-rate 0.001 "
    "--vary token_learning_rate 0.01": "as above; takes a quarter of an hour",
    "python examples/study.py run --data parallel --output study --encoder transformer --layers 2 "
    "--dimensions 256 --batch-size 256 --dropout 0 --steps 750 --learning-rate 0.001 "
    "--variants X-X-mono X-Y Hybrid --seeds 0 --processes 3": "as above; takes hours",
    "python examples/study.py run --data parallel --output study --encoder transformer --layers 2 "
    "--dimensions 256 --batch-size 256 --dropout 0 --steps 250 --learning-rate 0.001 "
    "--token-learning-rate 0.01 --seeds 0": "as above; takes hours",
    "python examples/study.py run --data parallel --output study --encoder transformer --layers 2 "
    "--dimensions 256 --batch-size 256 --dropout 0 --steps 1600 --learning-rate 0.001 "
    "--token-learning-rate 0.01 --variants X-X-mono X-Y Hybrid --seeds 0 --processes 3": (
        "as above; takes hours"
    ),
    "python examples/study.py report --output study --docs docs": "as above",
    "mteb run -m mteb/baseline-random-encoder -t XQuADRetrievalCross": "test_wheel.py runs it",
    "python -m mteb_tasks run -m mteb/baseline-random-encoder -t XQuADRetrievalMono -l eng": (
        "test_wheel.py runs it"
    ),
    "st-hybrid evaluate ./model -t XQuADRetrievalCross -t XQuADRetrievalMulti --output results": (
        "takes a trained model and a minute; test_evaluate.py evaluates one on a small task"
    ),
    "st-hybrid evaluate ./model -t XQuADRetrievalMono -l en -l de --output results": (
        "takes a trained model, as above"
    ),
    "st-hybrid evaluate ./model -t XQuADRetrievalMulti -l de --name me/my-model --batch-size 64 "
    "--output results --overwrite": "takes a trained model, as above",
    'mteb run -m mteb/baseline-random-encoder -b "LAReQA(XQuAD-R)"': "test_autoload.py runs it",
    "mteb run -m mteb/baseline-random-encoder -t MIRACLRetrievalPooled": (
        "test_miracl_docs.py runs it"
    ),
    "python -m mteb_tasks.miracl de --output queries": "test_miracl_docs.py runs it",
    "st-hybrid data translate queries/de.tsv --from de --to en "
    "--model facebook/nllb-200-distilled-600M --output queries/de": (
        "test_miracl_docs.py runs it with a tiny model"
    ),
    "st-hybrid data translate queries/de/en.tsv --from en --to de "
    "--model facebook/nllb-200-distilled-600M --output queries/de/en": "as above",
    "ST_HYBRID_MIRACL_QUERIES=queries mteb run -m mteb/baseline-random-encoder "
    "-t MIRACLRetrievalCross": "test_miracl_docs.py runs it",
    "ST_HYBRID_MIRACL_QUERIES=queries mteb run -m mteb/baseline-random-encoder "
    '-b "MIRACL(cross-lingual)"': "test_miracl_docs.py runs it",
    "st-hybrid tasks evaluate-beir ./model --data en=data/en --data de=data/de --name MySet "
    "--output results": "takes a model and data; test_commands_tasks.py runs the command",
    "st-hybrid tasks export XQuADRetrievalMulti --format beir --output export": (
        "test_commands_tasks.py exports a small task"
    ),
    "st-hybrid leaderboard export --results results --format md --output leaderboard.md": (
        "reads the results of the above; test_leaderboard_*.py export real ones"
    ),
    "st-hybrid leaderboard export --results results --results more --format html "
    "--output leaderboard.html": "reads the results of the above",
    "st-hybrid train examples/train.yaml": "test_train_command.py trains a small model",
    "st-hybrid train --model intfloat/multilingual-e5-small --data parallel/qa --output e5 "
    "--steps 2000 --eval-share 0.05": "as above",
    "bash examples/paper/data.sh raw": "test_paper_recipe.py runs it on small files",
    "st-hybrid train examples/paper/xlm-r.yaml --dry-run": "reads tens of millions of pairs",
    "accelerate launch --config_file examples/paper/accelerate.yaml -m st_hybrid train "
    "examples/paper/xlm-r.yaml": "test_paper_recipe.py launches it for a tiny model",
    "accelerate launch --config_file examples/paper/accelerate.yaml -m st_hybrid train "
    "examples/paper/labse.yaml": "as above",
    "accelerate launch --config_file examples/paper/accelerate.yaml -m st_hybrid train "
    "examples/paper/xlm-r.yaml --method mono --output paper-xlm-r-mono": "as above",
    "accelerate launch --config_file examples/paper/accelerate.yaml -m st_hybrid train "
    "examples/paper/xlm-r.yaml --method cross --output paper-xlm-r-cross": "as above",
    "st-hybrid evaluate paper-xlm-r/model -t XQuADRetrievalMono -t XQuADRetrievalCross "
    "-t XQuADRetrievalMulti -t MLQARetrievalMono -t MLQARetrievalCross -t MLQARetrievalMulti "
    "--output results": "takes a trained model, as above",
    "python examples/paper/prepare.py mmarco --output paper-data/mmarco": (
        "would download; test_paper_recipe.py prepares small files"
    ),
    "python examples/paper/prepare.py mrtydi --output paper-english/mrtydi": "as above",
    "python examples/paper/prepare.py mfaq --source raw/mfaq --output paper-english/mfaq": (
        "test_paper_recipe.py prepares small files"
    ),
    "python examples/paper/prepare.py squad --file raw/nq.jsonl --output paper-english/nq": (
        "as above"
    ),
    "python examples/paper/prepare.py beir --folder raw/nq --output paper-english/nq": "as above",
    "st-hybrid data translate paper-english/nq/queries.tsv --from en --to ar --to zh --to de "
    "--to hi --to ru --to es --to th --to tr --model facebook/nllb-200-distilled-600M "
    "--sentences --output paper-data/nq/queries.tsv": "as above, with a tiny model",
    "python examples/paper/dry_run.py --output dry-run": "test_paper_recipe.py runs it",
    "python examples/paper/estimate.py --measure": "takes minutes; tested on a tiny model",
    "torchrun --nproc-per-node 8 -m st_hybrid train examples/train.yaml": (
        "test_train_command.py, with two"
    ),
    "accelerate launch --multi_gpu --num_processes 8 -m st_hybrid train examples/train.yaml": (
        "as above"
    ),
    "torchrun --nproc_per_node 2 train.py": "test_distributed.py launches a training so",
    "torchrun --nproc-per-node 4 -m mteb_tasks run -m intfloat/multilingual-e5-small "
    "-t XQuADRetrievalMulti": "test_processes.py launches the command so, with two",
    "accelerate launch --num_processes 2 train.py": "needs two GPUs; the next one runs",
    "accelerate launch --multi_gpu --num_processes 2 train.py": "test_distributed.py does so",
    "pip install 'st-hybrid[translate]'": "would download",
    "pip install 'st-hybrid[plots]'": "would download",
    "st-hybrid leaderboard plot --results results --output figures --format png --format svg": (
        "test_leaderboard_docs.py runs it"
    ),
    "st-hybrid leaderboard plot --results results --output figures --figure heatmap "
    "-t MLQARetrieval --model e5 -m ndcg_at_10": "as above",
    "st-hybrid leaderboard export --results results --format json --output new.json": "as above",
    "st-hybrid leaderboard diff old.json new.json --tolerance 0.0005 --exit-code": "as above",
    "st-hybrid leaderboard card me/my-model --results results --output README.md": "as above",
    "st-hybrid compare hybrid baseline --results results": "test_compare_command.py runs it",
    "st-hybrid compare hybrid baseline --results results --task XQuAD --metric ndcg_at_10 "
    "--metric rank_distance --correction bh --format json --output compare.json": "as above",
    "ST_HYBRID_RANKS=out/results mteb run -m intfloat/multilingual-e5-small "
    "-t XQuADRetrievalMulti --output-folder out": (
        "would download; test_retrieval_ranks.py evaluates a small model so"
    ),
    "st-hybrid bias --qrels qrels.txt --run bm25.run --run dense=runs/model.run.gz "
    "--languages 'pattern:-([a-z]+)$' --query-languages 'pattern:-([a-z]+)$' "
    "--among de --among en": "test_bias_docs.py runs it",
    "st-hybrid bias --qrels 'export/{language}/qrels.txt' --run 'model=runs/{language}.run' "
    "--pool-size 13014 -k 11 --format json --output bias.json": "test_bias_docs.py runs it",
    "st-hybrid bias --run engine.run --languages passages.tsv --query-languages queries.tsv "
    "--format csv": "test_bias_docs.py runs it",
    "st-hybrid debias ./model --method lir --components 2 --text parallel/bitext "
    "-t XQuADRetrievalMulti --output model-lir2": "test_debias_command.py runs it on small tasks",
    "st-hybrid evaluate ./model -t XQuADRetrievalMulti --debias center "
    "--debias-text parallel/bitext --output results": "as above",
    "python examples/train_hybrid.py --data parallel --output mono --alpha 1 --steps 1500 "
    "--vocabulary 30000 --dropout 0.3 --copies --trainer ours": "takes minutes",
    "st-hybrid evaluate ./mono -t XQuADRetrievalMono -t XQuADRetrievalCross -t XQuADRetrievalMulti "
    "--output results": "takes a trained model, as above",
    "st-hybrid evaluate ./mono -t XQuADRetrievalMono -t XQuADRetrievalCross -t XQuADRetrievalMulti "
    "--output results --debias lir --debias-components 2 --debias-text parallel/bitext": (
        "test_debias_command.py runs it on small tasks"
    ),
    "st-hybrid data inspect parallel/qa": "test_inspect.py runs it on a small folder",
    "st-hybrid data build parallel/qa --output rows --hold-out el --hold-out vi": (
        "test_build_command.py runs it on a small folder"
    ),
    "st-hybrid data translate queries.tsv --from en --to de --to ar --to zh "
    "--model facebook/nllb-200-distilled-600M --output queries.parallel.tsv.xz": (
        "takes a model of the hub; test_translate.py runs the command with a tiny one"
    ),
    "torchrun --nproc-per-node 8 --no-python st-hybrid data translate passages.jsonl --from en "
    "--to de --model google/madlad400-3b-mt --output passages": "test_translate.py, with two",
    "accelerate launch --multi_gpu --no_python st-hybrid data translate ...": "as above",
    "python -X importtime -c pass 2>&1 | grep _st_hybrid_autoload": None,
    "st-hybrid robustness seen --results results --seen ar,zh,en,de,hi,ru,es,th,tr "
    "--baseline intfloat/multilingual-e5-small": "test_robustness_command.py runs it",
    "st-hybrid robustness domain --results results --baseline mteb/baseline-bm25s --format csv "
    "--output domains.csv": "test_robustness_command.py runs it",
    "st-hybrid robustness status --results results": "test_robustness_command.py runs it",
    'mteb run -m intfloat/multilingual-e5-small -b "DomainShift(multilingual)"': (
        "would download; test_domain_shift.py looks at the benchmark"
    ),
    'python -c "import _st_hybrid_autoload as x; print(x.__file__)"': None,
    "pip show --files st-hybrid": None,
    'python -c "import sys; print(sys.meta_path)"': None,
}


def _commands(page: Path) -> list[str]:
    """The commands of ``bash`` blocks, and of indented blocks, without comments."""
    text = re.sub(r"\\\n *", "", page.read_text(encoding="utf-8"))
    lines = [x for block in re.findall(r"```bash\n(.*?)```", text, re.S) for x in block.split("\n")]
    lines += re.findall(r"^    ((?:python|pip|mteb|make|st-hybrid) .*)$", text, re.M)
    return [line for line in (re.sub(r"\s+# .*", "", x).strip() for x in lines) if line]


def _bash(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@functools.cache
def _help(command: str) -> subprocess.CompletedProcess[str]:
    """What a command says of itself; many of the documented ones are the same but for options."""
    return _bash(f"{command} --help", ROOT)


@pytest.fixture
def installed() -> None:
    """Skips where st-hybrid is on the path without having been installed."""
    try:
        importlib.metadata.version("st-hybrid")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("st-hybrid is not installed in this environment: use make test")


def test_every_documented_command_is_known_here() -> None:
    """A new command in the documentation needs a line above, and a removed one leaves none."""
    assert {command for page in PAGES for command in _commands(page)} == set(COMMANDS)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("command", [c for c, reason in COMMANDS.items() if reason is None])
def test_the_command_runs(command: str, tmp_path: Path) -> None:
    """It ends well and prints something about the hook."""
    done = _bash(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "st_hybrid_autoload" in done.stdout


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "command", [c for c, reason in COMMANDS.items() if reason and not c.startswith("make ")]
)
def test_the_command_has_these_options(command: str) -> None:
    """The program and its subcommands exist, and its help names every option that is used."""
    words = shlex.split(re.sub(r"^([A-Z_]+=\S+ )+", "", command))
    program = 3 if words[:2] == ["python", "-m"] else 1  # the help asked for is the module's
    plain = itertools.takewhile(lambda word: not word.startswith(("-", "./")), words[program:])
    first = program + len(list(plain))
    if words[0] in ("torchrun", "accelerate", "pip"):
        return  # somebody else's command line
    done = _help(shlex.join(words[:first]))
    assert done.returncode == 0, done.stderr
    for option in (word for word in words[first:] if re.fullmatch(r"--?[a-z][a-z-]*", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", done.stdout), f"{option}: {done.stdout}"


def test_documented_make_commands_are_targets() -> None:
    """``make demo`` and its like are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [c.split()[1] for page in PAGES for c in _commands(page) if c.startswith("make ")]
    assert commands
    assert not [name for name in commands if not re.search(rf"^{name}:", makefile, re.M)]


def test_links_lead_somewhere() -> None:
    """Every relative link names a file of the repository."""
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert links
    assert not [(page.name, x) for page, x in links if not (page.parent / x).exists()]


def test_the_environment_variables_are_those_of_the_code() -> None:
    """The README names every variable that the code reads, and no other."""
    pattern = r"\bST_HYBRID_[A-Z_]*[A-Z]\b"
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("st_hybrid", "mteb_tasks")
        for path in (ROOT / package).rglob("*.py")
    )
    assert set(re.findall(pattern, (ROOT / "README.md").read_text(encoding="utf-8"))) == set(
        re.findall(pattern, code)
    )


@pytest.mark.slow
def test_the_readmes_training_snippet_trains(tmp_path: Path) -> None:
    """The Python blocks run as they stand, but for a tiny model in place of the hub's."""
    blocks = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.S)
    (snippet,) = blocks
    assert len([line for line in snippet.splitlines() if line]) <= 12
    _write_tables(tmp_path)
    tiny = (
        "from sentence_transformers.sentence_transformer.modules import StaticEmbedding\n"
        "from tokenizers import Tokenizer, models, pre_tokenizers\n"
        "vocabulary = {w: i for i, w in enumerate(['?', *map(str, range(99))])}\n"
        "tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token='?'))\n"
        "tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()\n"
        "tiny = StaticEmbedding(tokenizer, embedding_dim=8)\n"
    )
    model = 'SentenceTransformer("xlm-roberta-base"'
    assert model in snippet
    run = snippet.replace(model, "SentenceTransformer(modules=[tiny]")
    check = (
        "saved = SentenceTransformer('model')\n"
        "assert saved.prompts['query'] == 'Query: ', saved.prompts\n"
        "assert len(rows) == 12 * 9, len(rows)\n"
    )
    (tmp_path / "snippet.py").write_text(tiny + run + check, encoding="utf-8")
    done = _bash(f"PYTHONPATH={shlex.quote(str(ROOT))} python snippet.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "modules.json").is_file()


def _write_tables(folder: Path) -> None:
    for name in ("queries", "passages"):
        lines = [f"{n}\t" + "\t".join(f"{n} {k} {name}" for k in range(3)) for n in range(12)]
        (folder / f"{name}.tsv").write_text("\n".join(["id\ten\tde\tes", *lines]) + "\n", "utf-8")
    pairs = ["query_id\tpassage_id", *(f"{n}\t{n}" for n in range(12))]
    (folder / "pairs.tsv").write_text("\n".join(pairs) + "\n", "utf-8")
