"""The licenses of the bases that recipes here and Korean tuners use, and what each asks.

Each was read where `link` says, or in a copy of that text; what none of them says is in no entry.
"""

from dataclasses import dataclass
from typing import Literal

Commercial = Literal["yes", "no", "with conditions"]
# Of a license's text in bytes, with all the space around its title.
_BEGINNING = 4_096


@dataclass(frozen=True)
class BaseLicense:
    """A license, and what it asks of whoever passes on a model that was made of one under it.

    hub: the hub's name for it, or with `is_on_hub` False the name that stands beside `license: other`. title: words
    that its text begins with. prefix: how the name of such a model begins. display: what its page shows. notice: the
    sentence that a file of that name has. shares: whether what was made may be passed on at all. is_permissive: what
    is made of it may be under another license.
    """

    hub: str
    name: str
    link: str
    title: str = ""
    prefix: str = ""
    display: str = ""
    notice: str = ""
    use_policy: str = ""
    commercial: Commercial = "yes"
    shares: bool = True
    is_on_hub: bool = True
    is_permissive: bool = False

    @property
    def wants_text(self) -> bool:
        """Whether a copy of it must go along with what was made."""
        return bool(self.prefix or self.display or self.notice)


def _llama(version: str, prefix: str, display: str, name: str, use_policy: str) -> BaseLicense:
    folder = f"llama{version.replace('.', '_')}"
    return BaseLicense(
        hub=f"llama{version}",
        name=f"{name} Community License Agreement",
        link=f"https://www.llama.com/{folder}/license/",
        title=f"{name} Community License Agreement",
        prefix=prefix,
        display=display,
        notice=f"{name} is licensed under the {name} Community License, Copyright © Meta Platforms, Inc. All Rights "
        "Reserved.",
        use_policy=f"{use_policy}/{folder}/use-policy",
        commercial="with conditions",
    )


def _creative(terms: str, version: str = "4.0") -> BaseLicense:
    kind = f"{terms.upper()} {version}"
    return BaseLicense(
        hub=f"cc-{terms}-{version}",
        name=f"CC {kind}",
        link=f"https://creativecommons.org/licenses/{terms}/{version}/",
        commercial="no" if "-nc" in terms else "yes",
        shares="-nd" not in terms,
        is_permissive=terms == "by",
    )


def _exaone(version: str, model: str) -> BaseLicense:
    name = f"EXAONE AI Model License Agreement {version} - NC"
    return BaseLicense(
        hub="exaone",
        name=name,
        link=f"https://huggingface.co/LGAI-EXAONE/{model}/blob/main/LICENSE",
        title=name,
        prefix="EXAONE",
        commercial="no",
        is_on_hub=False,
    )


def _qwen(hub: str, kind: str, model: str, commercial: Commercial) -> BaseLicense:
    return BaseLicense(
        hub=hub,
        name=f"Qwen {kind}",
        link=f"https://huggingface.co/Qwen/{model}/blob/main/LICENSE",
        title=f"Qwen {kind}",
        display="Built with Qwen",
        notice=f"Qwen is licensed under the Qwen {kind}, Copyright (c) Alibaba Cloud. All Rights Reserved.",
        commercial=commercial,
        is_on_hub=False,
    )


def _hyperclova(model: str, name: str) -> BaseLicense:
    name = f"HyperCLOVA X SEED {name}"
    return BaseLicense(
        hub=f"hyperclovax-seed-{model.casefold()}",
        name=name,
        link=f"{_NAVER}/HyperCLOVAX-SEED-{model}/blob/main/LICENSE",
        title=name,
        commercial="with conditions",
        is_on_hub=False,
    )


_KAKAO = "https://huggingface.co/kakaocorp"
_NAVER = "https://huggingface.co/naver-hyperclovax"
LICENSES = {
    "apache-2.0": BaseLicense(
        "apache-2.0",
        "Apache License 2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
        title="Apache License Version 2.0",
        is_permissive=True,
    ),
    "mit": BaseLicense(
        "mit", "MIT License", "https://opensource.org/license/mit", title="MIT License", is_permissive=True
    ),
    "llama2": BaseLicense(
        hub="llama2",
        name="Llama 2 Community License Agreement",
        link="https://ai.meta.com/llama/license/",
        title="Llama 2 Community License Agreement",
        notice="Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta Platforms, Inc. All "
        "Rights Reserved.",
        use_policy="https://ai.meta.com/llama/use-policy",
        commercial="with conditions",
    ),
    "llama3": _llama("3", "Llama 3", "Built with Meta Llama 3", "Meta Llama 3", "https://llama.meta.com"),
    "llama3.1": _llama("3.1", "Llama", "Built with Llama", "Llama 3.1", "https://llama.meta.com"),
    "llama3.2": _llama("3.2", "Llama", "Built with Llama", "Llama 3.2", "https://www.llama.com"),
    "llama3.3": _llama("3.3", "Llama", "Built with Llama", "Llama 3.3", "https://www.llama.com"),
    "llama4": _llama("4", "Llama", "Built with Llama", "Llama 4", "https://www.llama.com"),
    "gemma": BaseLicense(
        hub="gemma",
        name="Gemma Terms of Use",
        link="https://ai.google.dev/gemma/terms",
        title="Gemma Terms of Use",
        notice="Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
        use_policy="https://ai.google.dev/gemma/prohibited_use_policy",
    ),
    "exaone-1.1-nc": _exaone("1.1", "EXAONE-3.5-2.4B-Instruct"),
    "exaone-1.2-nc": _exaone("1.2", "EXAONE-4.0-1.2B"),
    "k-exaone": BaseLicense(
        hub="k-exaone",
        name="K-EXAONE AI Model License Agreement",
        link="https://huggingface.co/LGAI-EXAONE/K-EXAONE-236B-A23B/blob/main/LICENSE",
        title="K-EXAONE AI Model License Agreement",
        prefix="K-EXAONE",
        commercial="with conditions",
        is_on_hub=False,
    ),
    "hyperclovax-seed": BaseLicense(
        hub="hyperclovax-seed",
        name="HyperCLOVA X SEED Model License Agreement",
        link=f"{_NAVER}/HyperCLOVAX-SEED-Text-Instruct-0.5B/blob/main/LICENSE",
        title="HyperCLOVA X SEED Model License Agreement",
        prefix="HyperCLOVA X",
        display="Powered by HyperCLOVA X",
        notice="HyperCLOVA X SEED Model is licensed under the HyperCLOVA X SEED Model License Agreement, Copyright © "
        "NAVER Corp.",
        commercial="with conditions",
        is_on_hub=False,
    ),
    # Of these two the texts have not been read, only what they are called.
    "hyperclovax-seed-think-32b": _hyperclova("Think-32B", "32B Think Model License"),
    "hyperclovax-seed-omni-8b": _hyperclova("Omni-8B", "8B Omni Model License Agreement"),
    "kanana": BaseLicense(
        hub="kanana",
        name="Kanana License Agreement",
        link=f"{_KAKAO}/kanana-2-30b-a3b-instruct-2601/blob/main/LICENSE",
        title="Kanana License Agreement",
        display="Powered by Kanana",
        notice="Kanana is licensed in accordance with the Kanana License Agreement. Copyright © KAKAO Corp. All "
        "Rights Reserved.",
        commercial="with conditions",
        is_on_hub=False,
    ),
    "kanana-open-license": BaseLicense(
        hub="kanana-open-license",
        name="Kanana Open License",
        link=f"{_KAKAO}/kanana-2-3b-instruct/blob/main/LICENSE",
        prefix="Kanana",
        display="Powered by Kanana",
        commercial="with conditions",
        is_on_hub=False,
    ),
    "qwen-research": _qwen("qwen-research", "RESEARCH LICENSE AGREEMENT", "Qwen2.5-3B-Instruct", "no"),
    "qwen": _qwen("qwen", "LICENSE AGREEMENT", "Qwen2.5-72B-Instruct", "with conditions"),
    **{license.hub: license for license in map(_creative, ("by", "by-sa", "by-nc", "by-nc-sa", "by-nd", "by-nc-nd"))},
}


def stated_license(name: str) -> BaseLicense | None:
    """Return a license by the name that a model's page has in its header; None where nothing here has that name."""
    plain = _plain(name)
    return next((it for it in reversed(LICENSES.values()) if plain in (it.hub, _plain(it.name))), None)


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "-").replace("_", "-")


def licenses_in(text: bytes) -> list[BaseLicense]:
    """Return the licenses whose title stands at the beginning of a text."""
    beginning = " ".join(text[:_BEGINNING].decode(errors="replace").replace("*", " ").split()).casefold()[:300]
    return [license for license in LICENSES.values() if license.title and license.title.casefold() in beginning]
