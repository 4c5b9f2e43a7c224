"""The tables of language codes against the lists of the host's own tokenizers."""

from __future__ import annotations

import pytest
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB_CODES

from st_hybrid.languages import LANGUAGES
from st_hybrid.translation.codes import FAMILIES, OPUS_MT, find_family


def test_tables_of_codes_agree_with_the_hosts() -> None:
    """NLLB-200 has all languages of the table but Latin; scripts agree with the table's."""
    nllb = FAMILIES[0]
    found = {x.code: nllb.token(x, set(NLLB_CODES).__contains__) for x in LANGUAGES.values()}
    assert [code for code, token in found.items() if token is None] == ["la"]
    scripts = {code: str(token)[4:] for code, token in found.items() if token}
    assert {x: s for x, s in scripts.items() if s != LANGUAGES[x].script} == {"ko": "Hang"}


def test_tables_of_sentencepiece_families_agree_with_the_hosts() -> None:
    """M2M-100 and mBART-50 know what their tokenizers list, and nothing else is in our tables."""
    pytest.importorskip("sentencepiece")
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES as MBART

    for family, codes in ((FAMILIES[1], [f"__{x}__" for x in M2M["m2m100"]]), (FAMILIES[2], MBART)):
        known = {family.token(x, set(codes).__contains__) for x in LANGUAGES.values()} - {None}
        others = {x.strip("_").split("_")[0] for x in set(codes) - known}
        assert not others & set(LANGUAGES), (family.name, others)


def test_families_are_told_by_their_vocabulary() -> None:
    """A marker token each, and the model type for OPUS-MT."""
    for family in FAMILIES:
        marker = {family.marker} if family.marker else set()
        model_type = "marian" if family is OPUS_MT else "whatever"
        assert find_family(model_type, marker.__contains__) is family
    assert find_family("bart", lambda token: False) is None
