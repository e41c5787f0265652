"""A chat template in Go's template language, in which Ollama has it: what a pattern does, and nothing of its own.

As Ollama gives them, system messages are joined in `.System`, and turns of one role are merged. An answer at the end
is one that the model is to continue, and one at the beginning what is left of an exchange that no longer fits.
"""

import json
import sys

from prompt_strategies.probes import TOLD
from rabbit_ko.export._pattern import ROLES, Pattern, fill

_LAYOUT = """\
@define
{{- $last := -1 }}
{{- range $at, $message := .Messages }}{{ if eq .Role "user" }}{{ $last = $at }}{{ end }}{{ end }}
@told
{{- $begun := false }}
{{- range $at, $message := .Messages }}
{{- if eq .Role "user" }}
{{- if eq $at $last }}
{{- if $begun }}@last{{ else }}@only{{ end }}@user@end
{{- else }}
{{- if $begun }}@question{{ else }}@first{{ end }}@user
{{- end }}
{{- $begun = true }}
{{- else if and $begun (eq .Role "assistant") }}
{{- if lt $at $last }}@answer{{ end }}@assistant
{{- end }}
{{- end -}}
"""
_TOLD_BY_ROLE = """\
{{- $told := false }}
{{- range .Messages }}{{ if eq .Role "system" }}{{ $told = true }}{{ end }}{{ end }}"""
# An error is all that a template can refuse with; Ollama shows the text in it.
_REFUSED = f"""{_TOLD_BY_ROLE}
{{{{- if $told }}}}{{{{ slice "this model takes no system message" 99 }}}}{{{{ end }}}}"""
_TOLD_BY_TEXT = "{{- $told := .System }}"
# Go has nothing that strips. The first character is what `%.1s` prints; the last one is looked for by its length.
_WITHOUT_SPACES = """\
{{- range len $@name }}{{ $first := printf "%.1s" $@name }}
{{- if eq $first @spaces }}{{ $@name = slice $@name (len $first) }}{{ else }}{{ break }}{{ end }}
{{- end }}"""
_WITHOUT_SPACES_BEHIND = """\
{{- range len $text }}{{ if not $text }}{{ break }}
@cases
{{- else }}{{ break }}{{ end }}{{ end }}"""
_STRIP = """\
{{- define "strip" }}{{ $text := . }}
@before
@behind
{{- $text }}{{ end }}"""
_CASE = """\
{{- else if and (ge (len $text) @n) (eq (slice $text (len (slice $text @n))) @spaces) }}\
{{ $text = slice $text 0 (len (slice $text @n)) }}"""
_SPACES = [character for character in map(chr, range(sys.maxunicode)) if character.isspace()]


def go_template(pattern: Pattern) -> str:
    """Return the Go template that renders what a pattern does; it needs Go 1.24, with which Ollama is built."""
    contents = {
        role: _content("$.System" if role == "system" else ".Content", role in pattern.stripped) for role in ROLES
    }
    pieces = {name: _piece(told, plain, contents["system"]) for name, (told, plain) in pattern.pieces.items()}
    define = _define_strip() if pattern.stripped else ""
    layout = fill(_LAYOUT, {"define": define, "told": _told(pattern), **contents, **pieces})
    return "\n".join(line for line in layout.splitlines() if line)


def _told(pattern: Pattern) -> str:
    if pattern.told is None:
        return _REFUSED
    if pattern.takes_blank:
        return _TOLD_BY_ROLE
    return _TOLD_BY_TEXT + ("\n" + _strip_before("told") if "system" in pattern.stripped else "")


def _strip_before(name: str) -> str:
    return fill(_WITHOUT_SPACES, {"name": name, "spaces": _strings(_SPACES)})


def _define_strip() -> str:
    by_length = {n: [space for space in _SPACES if len(space.encode()) == n] for n in (1, 2, 3)}
    cases = [fill(_CASE, {"n": str(n), "spaces": _strings(spaces)}) for n, spaces in by_length.items()]
    behind = fill(_WITHOUT_SPACES_BEHIND, {"cases": "\n".join(cases)})
    return fill(_STRIP, {"before": _strip_before("text"), "behind": behind})


def _content(field: str, is_stripped: bool) -> str:
    return f'{{{{ template "strip" {field} }}}}' if is_stripped else f"{{{{ {field} }}}}"


def _piece(told: str, plain: str, system: str) -> str:
    """Return what writes one of two texts, the first of them where there is a system message."""
    with_system = system.join(map(_text, told.split(TOLD)))
    return (
        with_system if told == plain else f"{{{{ if $told }}}}{with_system}{{{{ else }}}}{_text(plain)}{{{{ end }}}}"
    )


def _text(text: str) -> str:
    return f"{{{{ {_string(text)} }}}}" if text else ""


def _strings(texts: list[str]) -> str:
    return " ".join(map(_string, texts))


def _string(text: str) -> str:
    """Return a Go string with nothing in it that is not printable, which Ollama drops from a Modelfile."""
    return "".join(map(_printable, json.dumps(text, ensure_ascii=False)))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
