"""Which licenses hold for a base, by its name on the hub, what its page says, and the files beside it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError
from rabbit_ko.hub import SMALL_BYTES, hub_files, hub_id
from rabbit_ko.licenses.known import LICENSES, BaseLicense, Commercial, licenses_in, stated_license
from rabbit_ko.recipes import RUN_FILE, Recipe
from rabbit_ko.run_record import read_run, remedy, text_at

# The first pattern that a name on the hub fits, in lower case. What is made of a model stays under its license, so a
# family is known by the names that others give to what they make of it.
_OWN: Mapping[str, tuple[str, ...]] = {
    "meta-llama/*llama-3.3*": ("llama3.3",),
    "meta-llama/*llama-3.2*": ("llama3.2",),
    "meta-llama/*llama-3.1*": ("llama3.1",),
    "meta-llama/meta-llama-3-*": ("llama3",),
    "meta-llama/llama-2-*": ("llama2",),
    "meta-llama/llama-4-*": ("llama4",),
    "google/gemma-4*": ("apache-2.0",),
    "google/gemma-*": ("gemma",),
    "qwen/qwen2.5*-3b*": ("qwen-research",),
    "qwen/qwen2.5*-72b*": ("qwen",),
    "qwen/qwen2.5-*": ("apache-2.0",),
    "qwen/qwen3*": ("apache-2.0",),
    "kakaocorp/kanana-nano-*": ("cc-by-nc-4.0",),
    "kakaocorp/kanana-1.5-v-*": ("kanana",),
    "kakaocorp/kanana-1.5-*": ("apache-2.0",),
    "kakaocorp/kanana-2-30b-*": ("kanana",),
    "kakaocorp/kanana-2-*": ("kanana-open-license",),
    "lgai-exaone/exaone-3*": ("exaone-1.1-nc",),
    "lgai-exaone/exaone-deep-*": ("exaone-1.1-nc",),
    "lgai-exaone/exaone-4.0*": ("exaone-1.2-nc",),
    "lgai-exaone/exaone-4.5*": ("exaone-1.2-nc",),
    "lgai-exaone/k-exaone-*": ("k-exaone",),
    "naver-hyperclovax/hyperclovax-seed-text-*": ("hyperclovax-seed",),
    "naver-hyperclovax/hyperclovax-seed-vision-*": ("hyperclovax-seed",),
    "naver-hyperclovax/hyperclovax-seed-think-14b*": ("hyperclovax-seed",),
    "skt/a.x-3.1*": ("apache-2.0",),
    "skt/a.x-4.0-light*": ("apache-2.0",),
    "upstage/solar-10.7b-v1.0": ("apache-2.0",),
    "upstage/solar-10.7b-instruct-*": ("cc-by-nc-4.0",),
    "trillionlabs/tri-7b*": ("apache-2.0",),
    "mistralai/mistral-7b-*": ("apache-2.0",),
    "mistralai/mistral-nemo-*": ("apache-2.0",),
    "microsoft/phi-3*": ("mit",),
    "microsoft/phi-4*": ("mit",),
    "huggingfacetb/smollm2-*": ("apache-2.0",),
    "huggingfacetb/smollm3-*": ("apache-2.0",),
    "deepseek-ai/deepseek-r1-distill-llama-8b": ("mit", "llama3.1"),
    "deepseek-ai/deepseek-r1-distill-llama-70b": ("mit", "llama3.3"),
    "deepseek-ai/deepseek-r1*": ("mit",),
}
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "*/*llama-3.3*": ("llama3.3",),
    "*/*llama-3.2*": ("llama3.2",),
    "*/*llama-3.1*": ("llama3.1",),
    "*/*llama-3-*": ("llama3",),
    "*/*llama-2-*": ("llama2",),
    "*/*llama-4-*": ("llama4",),
    "*/*llama-guard-3-8b*": ("llama3.1",),
    "*/*llama-guard-3-1b*": ("llama3.2",),
    "*/*llama-guard-4-*": ("llama4",),
    "*/*gemma-2-*": ("gemma",),
    "*/*gemma-3-*": ("gemma",),
    "*/*gemma-3n-*": ("gemma",),
    "*/*k-exaone-*": ("k-exaone",),
    "*/*exaone-3*": ("exaone-1.1-nc",),
    "*/*exaone-deep-*": ("exaone-1.1-nc",),
    "*/*exaone-4.0*": ("exaone-1.2-nc",),
    "*/*exaone-4.5*": ("exaone-1.2-nc",),
    "*/*hyperclovax-seed-text-*": ("hyperclovax-seed",),
    "*/*hyperclovax-seed-vision-*": ("hyperclovax-seed",),
    "*/*hyperclovax-seed-think-14b*": ("hyperclovax-seed",),
    "*/*hyperclovax-seed-think-32b*": ("hyperclovax-seed-think-32b",),
    "*/*hyperclovax-seed-omni-8b*": ("hyperclovax-seed-omni-8b",),
    "*/*kanana-nano-*": ("cc-by-nc-4.0",),
}
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_PAGE = re.compile(r"README\.md")
_VERSION = re.compile(r"llama(?=[234])")
# How the name of a file begins that has a license's text.
TEXT = re.compile(r"(?i)(licen[sc]e|copying)")


def first_base(model: str) -> str:
    """Return the model that the runs behind a model began with; that model itself where no run says it."""
    seen = set[Path]()
    while (run := _run_of(Path(model))) and run not in seen:
        seen.add(run)
        try:
            model = text_at(run / RUN_FILE, read_run(run).config, "base_model")
        except UserError:
            break
    return model


def _run_of(folder: Path) -> Path | None:
    return next((place for place in (folder, folder.parent) if (place / RUN_FILE).is_file()), None)


def licenses_of(base: str) -> list[BaseLicense]:
    """Return all licenses that hold for a base; empty for one that a recipe made, and where nothing names any.

    What a family's maker has put on the hub is known by its name. Of others' models, and of folders, what their page
    states counts as well as the family that it or the name tells, since what is made of a model stays under its
    license.
    """
    if is_own(base):
        return []
    if hub_id(base) and (found := license_of_maker(base)):
        return found
    page = _page(base)
    found = [*(license_of_family(base) if hub_id(base) else []), *_of_files(Path(base))]
    for origin in _origins(base, page):
        found += license_of_family(origin)
    return list(dict.fromkeys([*found, *_stated(base, page)]))


def is_own(base: str) -> bool:
    """Tell whether a base is made by its recipe's own script."""
    recipe = Recipe(Path(base).resolve().parent.name)
    return Path(base).resolve() == (recipe.runs / "base").resolve() and recipe.base_script is not None


def license_of_maker(name: str) -> list[BaseLicense]:
    """Return what a model is under that its family's own maker has put on the hub; empty for others' models."""
    return _first(_OWN, name)


def license_of_family(name: str) -> list[BaseLicense]:
    """Return what a model of the hub is under by the family that its name tells; empty where it tells none."""
    return _first(_OWN, name) or _first(_FAMILIES, name)


def _first(patterns: Mapping[str, tuple[str, ...]], name: str) -> list[BaseLicense]:
    plain = _VERSION.sub("llama-", name.casefold().replace("_", "-"))
    found = next((keys for pattern, keys in patterns.items() if fnmatchcase(plain, pattern)), ())
    return [LICENSES[key] for key in found]


def _page(base: str) -> dict[str, Any]:
    """Return the header of a base's page; empty where there is none, or none that can be read."""
    file = Path(base) / "README.md" if Path(base).is_dir() else hub_files(base, _PAGE).get("README.md")
    try:
        return ModelCard.load(file).data.to_dict() if file and file.is_file() else {}
    except Exception:  # whatever a page of others makes of its header
        return {}


def _stated(base: str, page: dict[str, Any]) -> Iterator[BaseLicense]:
    """Yield the licenses that a page names, also those that are not known here."""
    said = page.get("license")
    for name in said if isinstance(said, list) else [said]:
        is_on_hub = name != "other"
        name = name if is_on_hub else page.get("license_name")
        if not isinstance(name, str) or name == "unknown":
            continue
        if known := stated_license(name):
            yield known
        elif _NAME.fullmatch(name):
            link = f"https://huggingface.co/{base}" if hub_id(base) else ""
            commercial: Commercial = "no" if "-nc" in name else "with conditions"
            yield BaseLicense(name, name, link, commercial=commercial, is_on_hub=is_on_hub)


def _origins(base: str, page: dict[str, Any]) -> Iterator[str]:
    """Yield the models on the hub that a base was made of, as its page or its config says."""
    said = page.get("base_model")
    names = said if isinstance(said, list) else [said]
    if Path(base).is_dir():
        with suppress(UserError):
            names = [*names, read_object(Path(base) / "config.json", remedy(Path(base))).get("_name_or_path")]
    yield from (name for name in names if isinstance(name, str) and "/" in name)


def _of_files(folder: Path) -> Iterator[BaseLicense]:
    """Yield the licenses whose title begins a text in a folder."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if TEXT.match(file.name) and file.is_file():
            with file.open("rb") as content:
                yield from licenses_in(content.read(SMALL_BYTES))
