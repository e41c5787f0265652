"""The table of licenses says what each asks, in the words that it prescribes."""

import re

import pytest

from rabbit_ko.licenses.known import LICENSES, licenses_in, stated_license

META = "is licensed under the {} Community License, Copyright © Meta Platforms, Inc. All Rights Reserved."
QWEN = "Qwen is licensed under the Qwen {}LICENSE AGREEMENT, Copyright (c) Alibaba Cloud. All Rights Reserved."
GEMMA = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
KANANA = (
    "Kanana is licensed in accordance with the Kanana License Agreement. Copyright © KAKAO Corp. All Rights Reserved."
)
ASKED = {
    "llama3": (
        "Llama 3",
        "Built with Meta Llama 3",
        f"Meta Llama 3 {META.format('Meta Llama 3')}",
        "with conditions",
    ),
    **{
        f"llama{it}": ("Llama", "Built with Llama", f"Llama {it} {META.format(f'Llama {it}')}", "with conditions")
        for it in ("3.1", "3.2", "3.3", "4")
    },
    "llama2": (
        "",
        "",
        "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms, Inc. All Rights "
        "Reserved.",
        "with conditions",
    ),
    "gemma": ("", "", GEMMA, "yes"),
    "k-exaone": ("K-EXAONE", "", "", "with conditions"),
    "exaone-1.1-nc": ("EXAONE", "", "", "no"),
    "exaone-1.2-nc": ("EXAONE", "", "", "no"),
    "kanana": ("", "Powered by Kanana", KANANA, "with conditions"),
    "kanana-open-license": ("Kanana", "Powered by Kanana", "", "with conditions"),
    "qwen-research": ("", "Built with Qwen", QWEN.format("RESEARCH "), "no"),
    "qwen": ("", "Built with Qwen", QWEN.format(""), "with conditions"),
    "apache-2.0": ("", "", "", "yes"),
    "mit": ("", "", "", "yes"),
    "cc-by-4.0": ("", "", "", "yes"),
    "cc-by-nc-4.0": ("", "", "", "no"),
    "cc-by-nc-nd-4.0": ("", "", "", "no"),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_license_asks_for_what_its_text_says(name: str) -> None:
    license = LICENSES[name]
    assert (license.prefix, license.display, license.notice, license.commercial) == ASKED[name]


def test_hyperclova_x_wants_its_name_in_front_with_words_and_a_notice() -> None:
    license = LICENSES["hyperclovax-seed"]
    assert (license.prefix, license.display) == ("HyperCLOVA X", "Powered by HyperCLOVA X")
    assert license.notice.startswith("HyperCLOVA X SEED Model is licensed under the HyperCLOVA X SEED Model License")


def test_each_has_a_page_and_a_name_that_the_hubs_header_may_have() -> None:
    for license in LICENSES.values():
        assert re.fullmatch(r"https://[a-z.]+/\S+", license.link), license
        assert re.fullmatch(r"[a-z0-9.-]+", license.hub), license
        assert license.use_policy.startswith("https://") or not license.use_policy


def test_only_what_may_be_under_another_license_is_permissive() -> None:
    assert {key for key, it in LICENSES.items() if it.is_permissive} == {"apache-2.0", "mit", "cc-by-4.0"}
    assert {key for key, it in LICENSES.items() if not it.shares} == {"cc-by-nd-4.0", "cc-by-nc-nd-4.0"}


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ("llama3.2", "llama3.2"),
        ("LLAMA3", "llama3"),
        ("exaone", "exaone-1.2-nc"),
        ("Apache_2.0", "apache-2.0"),
        ("gemma-terms-of-use", "gemma"),
        ("Gemma Terms of Use", "gemma"),
        ("k-exaone", "k-exaone"),
        ("llama2", "llama2"),
        ("llama4", "llama4"),
    ],
)
def test_a_license_is_found_by_what_a_page_calls_it(stated: str, key: str) -> None:
    assert stated_license(stated) == LICENSES[key]
    assert stated_license("of-our-own") is None


def test_a_text_has_to_go_along_where_a_license_asks_for_anything_else() -> None:
    assert {key for key, it in LICENSES.items() if it.title and not it.wants_text and not it.is_permissive} == {
        "hyperclovax-seed-think-32b",
        "hyperclovax-seed-omni-8b",
    }
    assert not [key for key, it in LICENSES.items() if it.is_permissive and it.wants_text]


@pytest.mark.parametrize("key", [key for key, it in LICENSES.items() if it.title])
def test_a_license_is_known_by_the_title_of_its_text(key: str) -> None:
    text = f"\n **{LICENSES[key].title.upper()}**\n\nWhat it says.\n"
    assert licenses_in(text.encode()) == [LICENSES[key]]
    assert licenses_in(b"\xff\x00" + b"x" * 400 + text.encode()) == []
