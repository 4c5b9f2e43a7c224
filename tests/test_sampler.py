"""HybridBatchSampler: each of its guarantees, checked row by row on whole epochs."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from st_hybrid.languages import LANGUAGES, PAIR_BASE, pair_code
from st_hybrid.sampler import HybridBatchSampler

Label = Sequence[int]
CODES = list(LANGUAGES)
few_examples = settings(max_examples=25, deadline=None, derandomize=True)


def parallel_dataset(
    sizes: Mapping[str, int], per_passage: int = 2, negatives: int = 0, seed: int = 0
) -> Dataset:
    """Rows of the given number of queries for each "query-passage" language pair.

    Query ``q`` belongs to passage ``q // per_passage`` in every language; negatives are random.
    """
    rng = np.random.default_rng(seed)
    passages = max(sizes.values()) // per_passage + 2
    rows = []
    for pair, size in sizes.items():
        query_language, passage_language = pair.split("-")
        for query in rng.permutation(max(sizes.values()))[:size].tolist():
            wrong = (query // per_passage + rng.integers(1, passages, size=negatives)) % passages
            label = [pair_code(query_language, passage_language), query, query // per_passage]
            texts = {
                "query": f"{query_language} q {query}",
                "passage": f"{passage_language} p {label[2]}",
            }
            texts |= {
                f"negative_{n}": f"{passage_language} p {p}" for n, p in enumerate(wrong.tolist())
            }
            rows.append({**texts, "label": [*label, *wrong.tolist()]})
    return Dataset.from_list([rows[n] for n in rng.permutation(len(rows)).tolist()])


def all_pairs(codes: str, mono: int, cross: int) -> dict[str, int]:
    """Sizes of all ordered pairs of the languages."""
    pairs = itertools.product(codes.split(), repeat=2)
    return {f"{a}-{b}": mono if a == b else cross for a, b in pairs}


def steps_of(sampler: HybridBatchSampler, labels: Sequence[Label]) -> Iterator[list[Label]]:
    """The labels of all rows of each step of world_size batches."""
    batches = list(sampler)
    for start in range(0, len(batches), sampler.world_size):
        step = batches[start : start + sampler.world_size]
        yield [labels[row] for batch in step for row in batch]


def languages(label: Label) -> tuple[str, str]:
    """Query and passage language of a label, decoded by hand."""
    return CODES[label[0] // PAIR_BASE], CODES[label[0] % PAIR_BASE]


def is_monolingual(label: Label) -> bool:
    """Whether query and passage are in one language."""
    return len(set(languages(label))) == 1


def conflict(one: Label, other: Label) -> bool:
    """The rule of guarantee 3, written out for two rows."""
    return one[1] == other[1] or one[2] == other[2] or one[2] in other[3:] or other[2] in one[3:]


def within(count: int, trials: int, probability: float) -> bool:
    """Whether a binomial count lies within five standard deviations of its mean."""
    deviation = math.sqrt(trials * probability * (1 - probability))
    return abs(count - trials * probability) <= 5 * deviation + 1


def chi_square(counts: Sequence[int], weights: Sequence[float]) -> bool:
    """Whether counts fit the weights: what chance exceeds once in a million times does not."""
    expected = np.array(weights) / sum(weights) * sum(counts)
    drawn = expected > 0
    if np.array(counts)[~drawn].any():
        return False
    statistic = ((np.array(counts) - expected)[drawn] ** 2 / expected[drawn]).sum()
    return bool(statistic < chi2.isf(1e-6, max(1, drawn.sum() - 1)))


cases = st.fixed_dictionaries(
    {
        "mono": st.integers(48, 90),
        "cross": st.integers(10, 60),
        "per_passage": st.integers(1, 3),
        "negatives": st.integers(0, 2),
        "batch_size": st.integers(1, 4),
        "world_size": st.sampled_from([1, 2, 3]),
        "alpha": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "drop_last": st.booleans(),
        "seed": st.integers(0, 99),
    }
)


def build(case: Mapping[str, Any], mix: Any = "hybrid") -> tuple[HybridBatchSampler, list[Label]]:
    """A sampler and the labels of its dataset, for a case drawn by hypothesis."""
    sizes = all_pairs("en de zh", case["mono"], case["cross"])
    dataset = parallel_dataset(sizes, case["per_passage"], case["negatives"], case["seed"])
    sampler = HybridBatchSampler(
        dataset,
        case["batch_size"],
        case["drop_last"],
        seed=case["seed"],
        alpha=case["alpha"],
        mix=mix,
        world_size=case["world_size"],
    )
    return sampler, list(dataset["label"])


@few_examples
@given(cases)
def test_all_batches_of_a_step_are_of_one_kind(case: dict[str, Any]) -> None:
    """A step of all devices is in one language, or every row of it crosses languages."""
    sampler, labels = build(case)
    kinds: Counter[bool] = Counter()
    for step in steps_of(sampler, labels):
        monolingual = {is_monolingual(label) for label in step}
        assert len(monolingual) == 1
        kinds[monolingual == {True}] += 1
        if monolingual == {True}:
            assert len({languages(label) for label in step}) == 1
    if case["alpha"] in (0.0, 1.0):
        assert set(kinds) == {case["alpha"] == 1.0}


@few_examples
@given(cases, st.sampled_from(["hybrid", "mixed-monolingual", "row-wise"]))
def test_no_two_rows_of_a_step_conflict(case: dict[str, Any], mix: str) -> None:
    """No shared query or passage group, no negative that is another row's positive, any mix."""
    sampler, labels = build(case, mix)
    for step in steps_of(sampler, labels):
        for one, other in itertools.combinations(step, 2):
            assert not conflict(one, other)


@few_examples
@given(cases)
def test_length_is_exact(case: dict[str, Any]) -> None:
    """The epoch has len(sampler) batches, all full but the last of one device if kept."""
    sampler, labels = build(case)
    rows, size, world_size = len(labels), case["batch_size"], case["world_size"]
    sizes = [len(batch) for batch in sampler]
    if world_size > 1:
        assert len(sizes) % world_size == 0
        assert sizes == [size] * (rows // (size * world_size) * world_size)
    else:
        rest = [] if case["drop_last"] or rows % size == 0 else [rows % size]
        assert sizes == [size] * (rows // size) + rest
    assert len(sampler) == len(sizes)


def test_cross_lingual_batches_mix_pairs_and_all_kinds_follow_alpha() -> None:
    """Monolingual steps occur with probability alpha, and cross-lingual ones mix many pairs."""
    dataset = parallel_dataset(all_pairs("en de zh fr", 3000, 1500), per_passage=1)
    labels = list(dataset["label"])
    for alpha in (0.2, 0.7):
        sampler = HybridBatchSampler(dataset, 16, True, alpha=alpha, seed=3, world_size=1)
        steps = list(steps_of(sampler, labels))
        assert within(sum(is_monolingual(step[0]) for step in steps), len(steps), alpha)
        cross = [step for step in steps if not is_monolingual(step[0])]
        # A pair a row: 16 draws of 12 pairs give 12 (1 - (11/12)^16) different ones.
        different = np.mean([len({label[0] for label in step}) for step in cross])
        assert different == pytest.approx(12 * (1 - (11 / 12) ** 16), abs=0.15)
        counts = Counter(label[0] for step in cross for label in step)
        assert chi_square(list(counts.values()), [1] * 12)


@pytest.mark.parametrize(
    ("weights", "power"),
    [("uniform", 0.0), ("size", 1.0), (2.0, 0.5), ("own", float("nan"))],
)
def test_languages_and_pairs_follow_their_weights(weights: Any, power: float) -> None:
    """Uniform by default; by size, temperature and own weights the counts fit p."""
    sizes = {"en-en": 4000, "de-de": 1000, "fr-fr": 500, "en-de": 4000, "de-en": 1000, "fr-en": 500}
    dataset = parallel_dataset(sizes, per_passage=1)
    own = {"en": 1.0, "de": 5.0, "en-de": 0.0, "de-en": 1.0, "fr-en": 3.0}
    given_weights = dict.fromkeys(("language_weights", "pair_weights"), weights)
    if weights == "own":
        given_weights["language_weights"] = {k: w for k, w in own.items() if "-" not in k}
        given_weights["pair_weights"] = {k: w for k, w in own.items() if "-" in k}
    elif weights == "uniform":
        given_weights = {}
    sampler = HybridBatchSampler(dataset, 4, True, seed=1, world_size=1, **given_weights)
    labels = list(dataset["label"])
    counts: Counter[str] = Counter()
    for step in steps_of(sampler, labels):
        for label in step[:1] if is_monolingual(step[0]) else step:
            counts["-".join(languages(label))] += 1
    for kind in (["en-en", "de-de", "fr-fr"], ["en-de", "de-en", "fr-en"]):
        if weights == "own":
            values = [
                own.get(name.replace("en-en", "en").replace("de-de", "de"), 0.0) for name in kind
            ]
        else:
            values = [sizes[name] ** power for name in kind]
        assert chi_square([counts[name] for name in kind], values), counts


def test_a_pool_of_no_weight_never_stands_in() -> None:
    """Even where the weighted pools run into conflicts, no row of an excluded pair is drawn."""
    dataset = parallel_dataset({"en-en": 40, "en-de": 4, "de-en": 4, "en-fr": 60}, per_passage=1)
    own = {"en-de": 1.0, "de-en": 1.0}
    sampler = HybridBatchSampler(
        dataset, 6, True, alpha=0.0, pair_weights=own, mix="row-wise", world_size=1
    )
    drawn = {languages(label) for step in steps_of(sampler, dataset["label"]) for label in step}
    assert drawn == {("en", "de"), ("de", "en")}


def test_the_two_control_mixes() -> None:
    """X-X mixes languages of monolingual rows; row-wise has alpha's share of them in each batch."""
    dataset = parallel_dataset(all_pairs("en de zh", 2000, 1000), per_passage=1)
    labels = list(dataset["label"])
    sampler = HybridBatchSampler(dataset, 12, True, mix="mixed-monolingual", world_size=1)
    steps = list(steps_of(sampler, labels))
    assert all(is_monolingual(label) for step in steps for label in step)
    assert np.mean([len({label[0] for label in step}) for step in steps]) > 2.8
    sampler = HybridBatchSampler(dataset, 12, True, alpha=0.3, mix="row-wise", world_size=1)
    shares = [sum(map(is_monolingual, step)) for step in steps_of(sampler, labels)]
    assert within(sum(shares), 12 * len(shares), 0.3)
    # Rows are independent: the variance of a batch's count is the binomial one.
    assert np.var(shares) == pytest.approx(12 * 0.3 * 0.7, rel=0.2)


@few_examples
@given(cases, st.sampled_from(["hybrid", "mixed-monolingual", "row-wise"]))
def test_a_row_comes_again_only_in_its_turn(case: dict[str, Any], mix: str) -> None:
    """A row comes again only if all rows of its pool that came less often conflict with the step.

    The bookkeeping is the test's own: how often each row came in the epoch so far.
    """
    sampler, labels = build(case, mix)
    pools: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        pools.setdefault(label[0], []).append(row)
    came: Counter[int] = Counter()
    batches = list(sampler)
    for start in range(0, len(batches), sampler.world_size):
        step = list(itertools.chain(*batches[start : start + sampler.world_size]))
        for row in step:
            rest = [labels[other] for other in step if other != row]
            for other in pools[labels[row][0]]:
                if came[other] < came[row] and other not in step:
                    assert any(conflict(labels[other], kept) for kept in rest)
        came.update(step)
    if case["alpha"] in (0.0, 1.0):  # one kind must fill the whole epoch
        assert max(came.values()) > 1


def test_batches_depend_on_dataset_seed_and_epoch_alone() -> None:
    """The same again from the same inputs, whatever the global state; else another epoch."""

    def epoch(rows: Dataset, seed: int = 5, number: int = 0) -> list[list[int]]:
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(1 << 30, ()).item()))
        sampler = HybridBatchSampler(rows, 4, True, None, generator, seed, world_size=1)
        sampler.set_epoch(number)
        return list(sampler)

    sizes = all_pairs("en de", 60, 40)
    dataset, other = parallel_dataset(sizes), parallel_dataset(sizes, seed=1)
    assert HybridBatchSampler(dataset, 4, True, world_size=1).queries == 60
    assert epoch(dataset) == epoch(dataset)
    assert epoch(dataset, number=2) == epoch(dataset, number=2)
    different = [epoch(dataset), epoch(dataset, number=1), epoch(dataset, seed=6), epoch(other)]
    assert all(one != two for one, two in itertools.combinations(different, 2))


def test_datasets_of_one_shape_do_not_share_a_stream() -> None:
    """Two datasets of equal labels but other texts draw other kinds and other rows."""
    one = parallel_dataset(all_pairs("en de", 60, 40))
    two = one.map(lambda row: {"query": row["query"] + "!"})
    first, second = (HybridBatchSampler(d, 4, True, seed=5, world_size=1) for d in (one, two))
    kinds = [
        [is_monolingual(step[0]) for step in steps_of(s, one["label"])] for s in (first, second)
    ]
    assert kinds[0] != kinds[1]


def test_interleaved_iterators_are_independent() -> None:
    """Two iterators of one sampler, advanced in turn, give the same epoch each."""
    sampler = HybridBatchSampler(
        parallel_dataset(all_pairs("en de", 30, 20)), 4, False, seed=2, world_size=1
    )
    alone = list(sampler)
    assert list(zip(sampler, sampler, strict=True)) == list(zip(alone, alone, strict=True))
    for _ in range(2):  # left in mid-epoch, as by an early stop, and skipped over, as by a resume
        started = iter(sampler)
        assert [next(started) for _ in range(7)] == alone[:7]
    assert list(itertools.islice(sampler, 7, None)) == alone[7:]


def test_world_size_is_that_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher's WORLD_SIZE counts where none is given, and never else."""
    dataset = parallel_dataset(all_pairs("en de", 60, 40))
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert HybridBatchSampler(dataset, 4, True).world_size == 3
    assert HybridBatchSampler.with_options(world_size=2)(dataset, 4, True).world_size == 2
    monkeypatch.delenv("WORLD_SIZE")
    assert HybridBatchSampler(dataset, 4, True).world_size == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, r"alpha=1\.5: expected a probability in \[0, 1\]"),
        ({"alpha": float("nan")}, r"alpha=nan: expected"),
        ({"mix": "other"}, r"mix='other': expected one of .*row-wise"),
        ({"world_size": 0}, r"world_size=0: expected the number of devices, 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    """At once in with_options, and in the class, with the value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        HybridBatchSampler.with_options(**options)
    with pytest.raises(ValueError, match=message):
        HybridBatchSampler(parallel_dataset({"en-en": 9}), 2, True, **options)
