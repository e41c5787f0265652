"""What a source's license allows, and where that is stated."""

from dataset_builders.strict import Strict

NONE_STATED = "none stated"


class License(Strict):
    """A license by its SPDX name; what nobody states is None. `stated` is the address of the page that says so."""

    name: str = NONE_STATED
    commercial: bool | None = None
    redistribution: bool | None = None
    stated: str = ""


NONE = License()

# Commercial use and redistribution, as the licenses' own texts allow them: https://spdx.org/licenses/
_KNOWN: dict[str, tuple[bool, bool]] = {
    "Apache-2.0": (True, True),
    "CC0-1.0": (True, True),
    "CC-BY-4.0": (True, True),
    "CC-BY-SA-3.0": (True, True),
    "CC-BY-SA-4.0": (True, True),
    "CC-BY-NC-4.0": (False, True),
    "CC-BY-NC-SA-4.0": (False, True),
    "CC-BY-NC-ND-4.0": (False, False),
    "MIT": (True, True),
    "ODC-BY-1.0": (True, True),
}


def known(name: str, stated: str = "") -> License:
    """Return a license by its SPDX name; raises ValueError where this file does not know it."""
    if name not in _KNOWN:
        form = "{name: ..., commercial: true or false, redistribution: true or false, stated: ...}"
        raise ValueError(f"license: `{name}` is not among {', '.join(_KNOWN)}; say `license: {form}`")
    commercial, redistribution = _KNOWN[name]
    return License(name=name, commercial=commercial, redistribution=redistribution, stated=stated)
