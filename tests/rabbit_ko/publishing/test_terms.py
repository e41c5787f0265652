"""The license of a model allows no more than those of its base and data, and its name is one that they allow."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.licenses import License, known
from dataset_builders.manifest import SourceSummary
from rabbit_ko.errors import UserError
from rabbit_ko.licenses.bases import licenses_of
from rabbit_ko.licenses.known import LICENSES
from rabbit_ko.publishing.figures import Language
from rabbit_ko.publishing.terms import check_push, terms_of
from tests.conftest import ROOT
from tests.dataset_builders.data_folder import summary
from tests.rabbit_ko.publishing.card_folder import APACHE, card_of, make_card_folder

GOLDEN = Path(__file__).parent / "golden"
LLAMA, GEMMA, QWEN, OWN = "meta-llama/Llama-3.2-3B", "google/gemma-2-2b-it", "Qwen/Qwen3-4B", "runs/smoke/base"
EXAONE, NANO = "LGAI-EXAONE/EXAONE-4.0-1.2B", "kakaocorp/kanana-nano-2.1b-base"
CLOSED, SHARED, BY = known("CC-BY-NC-4.0"), known("CC-BY-SA-4.0"), known("CC-BY-4.0")
ALIKE, GPL = known("CC-BY-NC-SA-4.0"), License(name="GPL-3.0")
MIXED: dict[str, Any] = {"license": "other", "name": "mixed"}


@pytest.fixture(autouse=True)
def _among_the_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe `smoke` has a script that makes its base."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("base", "data", "expected"),
    [
        (OWN, [APACHE, APACHE], {"license": "apache-2.0"}),
        (OWN, [APACHE, known("MIT")], MIXED),
        (OWN, [APACHE, CLOSED], {"license": "cc-by-nc-4.0"}),
        (OWN, [License()], MIXED),
        (LLAMA, [APACHE, BY], {"license": "llama3.2"}),
        (LLAMA, [APACHE, CLOSED], {"license": "other", "name": "mixed-non-commercial"}),
        (LLAMA, [SHARED], MIXED),
        (LLAMA, [License()], MIXED),
        (EXAONE, [CLOSED], {"license": "other", "name": "mixed-non-commercial"}),
        (GEMMA, [BY], {"license": "gemma"}),
        (QWEN, [APACHE], {"license": "apache-2.0"}),
        (QWEN, [known("MIT"), BY], {"license": "apache-2.0"}),
        (QWEN, [SHARED], {"license": "cc-by-sa-4.0"}),
        (QWEN, [CLOSED, APACHE], {"license": "cc-by-nc-4.0"}),
        (NANO, [APACHE], {"license": "cc-by-nc-4.0"}),
        (NANO, [CLOSED], {"license": "cc-by-nc-4.0"}),
        (EXAONE, [APACHE], {"license": "other", "name": "exaone", "link": LICENSES["exaone-1.2-nc"].link}),
        ("me/my-model", [APACHE], MIXED),
        ("me/my-model", [CLOSED], {"license": "other", "name": "mixed-non-commercial"}),
    ],
)  # fmt: skip
def test_a_model_is_under_the_one_license_that_binds_it_or_under_none(
    base: str, data: list[License], expected: dict[str, str]
) -> None:
    terms = terms_of(base, {str(number): license for number, license in enumerate(data)})
    assert {"license": terms.license, "name": terms.name, "link": terms.link} == {
        "name": None,
        "link": None,
    } | expected
    is_closed = base in (EXAONE, NANO) or CLOSED in data
    assert bool(terms.closed) == is_closed


@given(
    st.sampled_from([OWN, LLAMA, GEMMA, QWEN, EXAONE, NANO, "Qwen/Qwen2.5-3B", "microsoft/phi-4"]),
    st.lists(st.sampled_from([APACHE, BY, SHARED, CLOSED, License(), License(name="ours", commercial=False)])),
)
def test_no_license_allows_what_one_of_them_forbids(base: str, data: list[License]) -> None:
    terms = terms_of(base, {str(number): license for number, license in enumerate(data)})
    if any(license.commercial == "no" for license in licenses_of(base)) or any(it.commercial is False for it in data):
        assert "-nc" in terms.license or terms.name in ("mixed-non-commercial", "exaone", "qwen-research")
    binding = {license.hub for license in licenses_of(base) if not license.is_permissive}
    assert not binding or terms.license == "other" or {terms.license} == binding
    assert not {"ours", "none stated"} & {it.name for it in data} or not terms.is_single


@pytest.mark.parametrize(
    ("base", "data", "asked", "said"),
    [
        (
            LLAMA,
            APACHE,
            "apache-2.0",
            "the base's, Llama 3.2 Community License Agreement, holds .*; say llama3.2, or",
        ),
        (EXAONE, APACHE, "cc-by-nc-4.0", "the base's, EXAONE AI Model License Agreement 1.2 - NC, .*; say other, or"),
        (LLAMA, CLOSED, "llama3.2", r"rows: the license of its data \(CC-BY-NC-4.0\) does not allow it; say other"),
        (QWEN, CLOSED, "apache-2.0", "rows: the license of its data .*; say cc-by-nc-4.0, or none"),
        (NANO, APACHE, "mit", "the base's, CC BY-NC 4.0, holds"),
        (QWEN, SHARED, "mit", "rows: the license of its data .*; say cc-by-sa-4.0, or none"),
        (OWN, SHARED, "mit", "rows: the license of its data .*; say cc-by-sa-4.0, or none"),
        (QWEN, ALIKE, "cc-by-nc-4.0", "rows: the license of its data .*; say cc-by-nc-sa-4.0, or none"),
        (QWEN, GPL, "mit", r"rows: the license of its data \(GPL-3.0\) does not allow it; say other, or none"),
        (QWEN, License(), "mit", r"rows: the license of its data \(none stated\) does not allow it; say other"),
        (QWEN, License(), "apache-2.0", "rows: the license of its data"),
        (QWEN, CLOSED, "mit-nc", "rows: the license of its data"),
        (NANO, APACHE, "mit-nc", "the base's, CC BY-NC 4.0, holds"),
        ("unknownorg/model", APACHE, "mit", "nothing names the base's license; say other, or none"),
    ],
)
def test_no_license_is_claimed_that_allows_more(base: str, data: License, asked: str, said: str) -> None:
    with pytest.raises(UserError, match=f"--license {asked}: {said}"):
        terms_of(base, {"rows": data}, asked)


@pytest.mark.parametrize(
    ("base", "data", "asked"),
    [
        (LLAMA, APACHE, "llama3.2"),
        (QWEN, APACHE, "apache-2.0"),
        (QWEN, APACHE, "mit"),
        (QWEN, SHARED, "cc-by-sa-4.0"),
        (QWEN, CLOSED, "cc-by-nc-sa-4.0"),
        (NANO, CLOSED, "cc-by-nc-sa-4.0"),
        (NANO, APACHE, "cc-by-nc-4.0"),
        (OWN, APACHE, "mit"),
    ],
)
def test_a_license_may_be_asked_for_that_allows_no_more(base: str, data: License, asked: str) -> None:
    terms = terms_of(base, {"rows": data}, asked)
    assert (terms.license, terms.name, terms.is_single) == (asked, None, True)
    assert terms.bases == licenses_of(base)
    assert terms_of(base, {"rows": data}, "other").name in ("mixed", "mixed-non-commercial")


@given(
    st.sampled_from([OWN, LLAMA, GEMMA, QWEN, EXAONE, NANO, "me/my-model", "microsoft/phi-4"]),
    st.lists(st.sampled_from([APACHE, BY, SHARED, CLOSED, ALIKE, GPL, License()]), max_size=3),
    st.sampled_from(["mit", "apache-2.0", "llama3.2", "gemma", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-4.0"]),
)
def test_what_is_asked_for_is_taken_where_each_license_that_binds_allows_it(
    base: str, data: list[License], asked: str
) -> None:
    rows = {str(number): license for number, license in enumerate(data)}
    binding = {license.hub for license in licenses_of(base) if not license.is_permissive}
    binding |= {license.name.casefold() for license in data if license not in (APACHE, BY)}
    also = {"cc-by-nc-4.0": {"cc-by-nc-4.0", "cc-by-nc-sa-4.0"}}
    is_known = bool(licenses_of(base)) or base == OWN
    if is_known and all(asked in also.get(name, {name}) for name in binding):
        assert terms_of(base, rows, asked).license == asked
    else:
        with pytest.raises(UserError, match=f"^--license {asked}: .*; say .*, or none$"):
            terms_of(base, rows, asked)


@pytest.mark.parametrize(
    ("base", "repo", "said"),
    [
        (LLAMA, "me/my-korean-model", "wants the name to begin with `Llama`; push to me/Llama-my-korean-model"),
        (LLAMA, "Llama/mine", "push to Llama/Llama-mine"),
        (LLAMA, "mine", "mine: whose\\? say org/Llama-mine"),
        ("beomi/Llama-3-Open-Ko-8B", "me/Llama-ko", "begin with `Llama 3`; push to me/Llama-3-Llama-ko"),
        (EXAONE, "me/ko", "push to me/EXAONE-ko"),
        ("naver-hyperclovax/HyperCLOVAX-SEED-Text-Instruct-0.5B", "me/ko", "push to me/HyperCLOVA-X-ko"),
    ],
)  # fmt: skip
def test_a_name_that_the_bases_license_forbids_is_refused_with_one_that_it_allows(
    base: str, repo: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_push(licenses_of(base), repo, public=False)


@pytest.mark.parametrize(
    ("base", "repo"),
    [
        (LLAMA, "me/Llama-3.2-ko"),
        (LLAMA, "me/llama_ko"),
        ("beomi/Llama-3-Open-Ko-8B", "me/Llama-3-ko"),
        ("naver-hyperclovax/HyperCLOVAX-SEED-Text-Instruct-0.5B", "me/HyperCLOVAX-SEED-ko"),
        (GEMMA, "me/ko"),
        (QWEN, "me/ko"),
        (OWN, "me/ko"),
    ],
)
def test_a_name_that_it_allows_is_taken(base: str, repo: str) -> None:
    check_push(licenses_of(base), repo, public=True)


def test_what_may_not_be_passed_on_goes_to_nobody_but_its_maker() -> None:
    bases = [LICENSES["cc-by-nc-nd-4.0"]]
    check_push(bases, "me/mine", public=False)
    with pytest.raises(
        UserError, match=r"me/mine: the base's license, CC BY-NC-ND 4\.0, lets nobody pass on what is"
    ):
        check_push(bases, "me/mine", public=True)


SOURCES: dict[str, list[SourceSummary]] = {
    LLAMA: [summary("sft", APACHE, name="open")],
    GEMMA: [summary("sft", CLOSED, name="closed")],
    QWEN: [summary("sft", APACHE, name="open")],
    EXAONE: [summary("sft", APACHE, name="open")],
    "me/my-model": [summary("sft", APACHE, name="open")],
}


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_parts_of_a_card_that_tell_the_license_are_the_golden_ones(in_tmp: Path, language: Language) -> None:
    parts = []
    for number, (base, sources) in enumerate(SOURCES.items()):
        Path(str(number)).mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.chdir(str(number))
            make_card_folder(base, sources)
            card = card_of("sft", language)
        header, top = (line for line in card.split("---\n", 2)[1:])
        licenses = [line for line in header.splitlines() if line.startswith(("base_model: ", "license"))]
        last = card[card.rindex("\n## ") :]
        parts.append("\n".join([*licenses, top[: top.index("\n## ")], last]))
    golden = (GOLDEN / f"licenses.{language}.md").read_text(encoding="utf-8")
    assert "\n=====\n".join(parts) == golden
