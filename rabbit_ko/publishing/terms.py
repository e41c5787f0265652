"""Under which license a model may be passed on, by those of its base and data: none that allows more than all do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dataset_builders.licenses import License
from rabbit_ko.errors import UserError
from rabbit_ko.licenses.bases import is_own, licenses_of
from rabbit_ko.licenses.known import BaseLicense
from rabbit_ko.publishing.dataset_card import HUB_LICENSES, OTHER_LICENSE

MIXED, MIXED_CLOSED = "mixed", "mixed-non-commercial"
# What is made of such data may be under another license.
_PERMISSIVE = {"Apache-2.0", "CC0-1.0", "CC-BY-4.0", "MIT", "ODC-BY-1.0"}
# And what is made of data that may not be sold may also be shared alike.
_STRICTER = {"cc-by-nc-4.0": ("cc-by-nc-sa-4.0",)}


@dataclass(frozen=True)
class Terms:
    """Licenses of the base, and what the hub's header says of the model: name and link beside `other` alone.

    closed: whose license forbids commercial use.
    """

    bases: list[BaseLicense]
    license: str
    name: str | None
    link: str | None
    closed: list[str]

    @property
    def is_single(self) -> bool:
        """Whether one license holds for all of the model."""
        return self.name not in (MIXED, MIXED_CLOSED)

    @property
    def displays(self) -> list[str]:
        """What the page of the model shows."""
        return list(dict.fromkeys(license.display for license in self.bases if license.display))

    def title(self, name: str) -> str:
        """Return a name of the model that begins as the base's license wants it."""
        return f"{missing} {name}" if (missing := missing_prefix(self.bases, name)) else name


def terms_of(base: str, data: dict[str, License], asked: str = "") -> Terms:
    """Return the terms of a model on a base, with the licenses of its data by source.

    asked: what the header is to say instead. Raises UserError where that claims more than all of them allow.
    """
    bases = licenses_of(base)
    closed = [license.name for license in bases if license.commercial == "no"]
    closed += [name for name, license in data.items() if license.commercial is False]
    mixed = Terms(bases, OTHER_LICENSE, MIXED_CLOSED if closed else MIXED, None, closed)
    found = _single(base, bases, data)
    terms = Terms(bases, *found, closed) if found else mixed
    if asked in ("", terms.license):
        return terms
    if asked == OTHER_LICENSE:
        return mixed
    if refusal := next(_refusals(base, bases, data, asked), ""):
        raise UserError(f"--license {asked}: {refusal}; say {terms.license}, or none")
    return Terms(bases, asked, None, None, closed)


def _single(
    base: str, bases: list[BaseLicense], data: dict[str, License]
) -> tuple[str, str | None, str | None] | None:
    """Return the one license that holds for base and data, as the header has it; None where there is none."""
    names = {license.name for license in data.values()}
    if not (bases or is_own(base)) or names - HUB_LICENSES.keys():
        return None
    binding: dict[str, BaseLicense | None] = {license.hub: license for license in bases if not license.is_permissive}
    binding |= {HUB_LICENSES[name]: None for name in names - _PERMISSIVE if HUB_LICENSES[name] not in binding}
    found = binding or {license.hub: license for license in bases} or {HUB_LICENSES[name]: None for name in names}
    if len(found) != 1:
        return None
    [(hub, license)] = found.items()
    if license and not license.is_on_hub:
        return OTHER_LICENSE, hub, license.link or None
    return hub, None, None


def _refusals(base: str, bases: list[BaseLicense], data: dict[str, License], asked: str) -> Iterator[str]:
    """Yield why a model may not be under a license that somebody asks for."""
    if not (bases or is_own(base)):
        yield "nothing names the base's license"
    for license in bases:
        right = license.hub if license.is_on_hub else ""
        if not (license.is_permissive or _allows(right, asked)):
            yield f"the base's, {license.name}, holds for what is made of it"
    for name, stated in data.items():
        if stated.name not in _PERMISSIVE and not _allows(HUB_LICENSES.get(stated.name, ""), asked):
            yield f"{name}: the license of its data ({stated.name}) does not allow it"


def _allows(binding: str, asked: str) -> bool:
    """Tell whether a license, empty where it is not known, lets what is made be under the one that is asked for."""
    return asked == binding or asked in _STRICTER.get(binding, ())


def missing_prefix(bases: Iterable[BaseLicense], name: str) -> str:
    """Return how a license wants the name of a model to begin that does not; empty where the name may be."""
    prefixes = (license.prefix for license in bases)
    return next((it for it in prefixes if not _letters(name).startswith(_letters(it))), "")


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def check_push(bases: list[BaseLicense], repo: str, public: bool) -> None:
    """Raise UserError where a license of the base forbids a model's name, or that all may have it."""
    owner, _, name = repo.rpartition("/")
    for license in bases:
        if public and not license.shares:
            raise UserError(f"{repo}: the base's license, {license.name}, lets nobody pass on what is made of it")
        if prefix := missing_prefix([license], name):
            better = f"{prefix.replace(' ', '-')}-{name}"
            raise UserError(
                f"{repo}: the base's license, {license.name}, wants the name to begin with `{prefix}`; push to "
                f"{owner}/{better}"
                if owner
                else f"{repo}: whose? say org/{better}"
            )
