r"""The subject gate: rows that are mostly mathematics, or mostly code.

The AOG recipe does without KOpen-platypus, since it is math and code heavy. This gate finds such rows in any source.
The rule is our own; `tests/dataset_builders/gates/test_subjects.py` measures it.

**code**: at least 20 characters of the text are code, and at least a fifth of it. Code is a fenced block that names
its language, and each line that has the shape of a statement, a tag, a query or a shell command.

**math**: the text is not code, and has at least 2 calculations, and at least one for every 300 characters. Counted
are an arithmetic expression with its result (`16 - 3 - 4 = 9`, `7,000 × 3 = 21,000`) or in words (`12 plus 4`, `3에
4를 더하면 7`), an equation or a power in a letter (`2x = 8`, `n^2`), a root or an integral sign, and a command of
LaTeX's mathematics (`\frac`). Numbers alone do not count: prices, dates, scores, amounts.
"""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from dataset_builders.gates._gate import Batch, Gate, Settings

_NUMBER = r"[0-9](?:[,.]?[0-9])*"
_UNIT = r"(?:[)\]%$]*|[A-Za-z가-힣&'%/ ]*)"
_RESULT = r"[^\n=?&;\"<>:]*?(?:[<>]?=|≈|equals\b)[^\n=0-9A-Za-z가-힣]?[^\n=0-9A-Za-z가-힣]?[0-9]"
_IN_KOREAN = r"(?:더하|빼|곱하|나누)"
_MATH = "|".join(
    (
        rf"{_NUMBER}{_UNIT}(?:[+*×÷·xX−–] ?| - | / )[-$₩(.]*[0-9a-z]{_RESULT}",
        rf"{_NUMBER}[$%)]*[-(][$(]*\.?{_NUMBER}\)? ?= ?\$?[-0-9.]",  # 48-24=24 and 44(.5)=22, no date and no range
        rf"[0-9](?:[0-9]\)?/[$(]?[0-9]{_RESULT}|/[0-9]+\)? ?= ?\$?[0-9.])",  # no 3/4 of a cup
        rf"{_NUMBER}(?: [a-z]+)? (?:plus|minus|times|(?:divided|multiplied) by) \$?[0-9]",
        rf"[0-9][가-힣]*(?:에|에서|을|를|와|과) ?{_NUMBER}[가-힣]* ?{_IN_KOREAN}[가-힣]+ [^.\n]*?[0-9]",
        r"\b[0-9]*[a-zXYZ] ?[-+*/×] ?[0-9a-z]+ ?[-+*/×=] ?[-(0-9a-z]",  # x + 4 = 9
        r"\b(?:[0-9]+[abcnpqrxyzABCNPQRXYZ]|[xyzXYZ]) ?[=<>≤≥] ?-?\$?[0-9]",  # 2x = 8, not 5g = 1
        r"\b[fgh]\([a-z]\) ?=",
        r"\b[xyzabnr][²³]|\b[xyzabnr0-9]\^[({]?[-0-9nkx]",
        r"[√∫∑∏∂]",
        r"\\(?:[dt]?frac|sqrt|times|cdot|div|boxed|sum|int|lim|log|ln|sin|cos|tan|pi|theta|alpha|beta|leq?|geq?|neq?|pm"
        r"|approx|infty|equiv|pmod|binom|angle|triangle|in|left|mathbb|begin\{(?:align|equation|cases|[pbv]?matrix))(?:[^a-zA-Z]|$)",
    )
)
_TEXT = r"(?:[^가-힣\"'\n]|\"[^\"\n]*\"|'[^'\n]*')*"  # Korean stands in strings only, or in a comment
_LANGUAGE = (
    r"(?i:python|py|java|javascript|js|jsx|ts|tsx|typescript|c|cpp|c\+\+|csharp|cs|c#|go|rust|ruby|php|swift|kotlin"
    r"|scala|r|sql|html|css|bash|sh|shell|json|ya?ml|xml|dockerfile|lua|perl|powershell|vue|dart)"
)
_STATEMENT = "|".join(
    (
        r"(?:async )?def \w+\(.*|class \w+(?:\(.*\))?:|@[\w.]+\(.*\)|from [\w.]+ import .*|import .* from .*",
        r"import [\w.*]+(?: as \w+)?;?|#include ?[<\"].*|using [\w.]+(?: \w+)?;|package [\w.]+;?",
        rf"(?:if|elif|while) {_TEXT}[<>=!(]{_TEXT}:|(?:if|elif|while) {_TEXT}\b(?:in|not|is) {_TEXT}:",
        rf"for \w+(?:, ?\w+)* in {_TEXT}:|with [\w.]+\(.*:|(?:try|else|finally|except[\w ]*):|print(?:ln|f)?!?\(.*",
        rf"return(?: {_TEXT})?|(?:raise|throw|await) {_TEXT}[(]{_TEXT}|puts {_TEXT}|{_TEXT} do \|\w+\||end",
        rf"(?:const|let|var|val) [\w{{\[]{_TEXT}=.*|(?:export |async )*function ?\w*\(.*|[\w.]+ <- {_TEXT}",
        rf"[\w.]+(?:\[{_TEXT}\])? ?[-+*/]?= ?(?:f?[\"'\[{{]|new |lambda |[a-zA-Z_]\w*[.\[(]|True|False|None){_TEXT}",
        rf"(?:int|char|float|double|long|bool|boolean|String|auto|void|static|public|private)\b{_TEXT}[;{{(]",
        rf"[a-z][\w.:]*\({_TEXT}\);?(?: [-+|%>]+{_TEXT})?|[\w.]+(?:\.|::)\w+\({_TEXT}\);?",
        rf"[\w$*&(}}]{_TEXT}[)\]\}}\"'+-];|[\w$*&]{_TEXT}={_TEXT};|(?:std::)?(?:cout|cin) ?[<>]+{_TEXT};",
        rf"{_TEXT}[\w)=>\"'\]] ?\{{|[)\]\}}]+[;,)]*|(?:break|continue);?|[a-z-]+: {_TEXT};|\"[\w-]+\" ?: .*",
        rf"(?:(?i:select {_TEXT}from)|INSERT INTO|DELETE FROM|(?:CREATE|ALTER|DROP) TABLE) {_TEXT}",
        rf"(?:SELECT|FROM|(?:LEFT |INNER )?JOIN|WHERE|GROUP BY|ORDER BY|VALUES|SET|UPDATE|HAVING) [\w`('*.]{_TEXT}",
        rf"\w+ (?:BIG)?(?:INT|TEXT|DATE|VARCHAR)\b{_TEXT}|<!(?:DOCTYPE|--).*|<\?php.*",
        r"</?[a-z][a-z0-9-]*(?: [\w-]+=[^<>\n]*)?/?>.*|</?[A-Z]\w*(?: [\w-]+=[^<>\n]*)? ?/>",
        rf"(?:\$ |sudo |(?:pip3?|npm|yarn|brew|apt|conda) (?:install|run) |git [a-z]+ |docker [a-z-]+ ){_TEXT}",
        r"cd [\w./~-]+|python3? [\w./-]+|curl (?:-|http).*|chmod .*|#!/.*",
    )
)
_LINE = rf"^[ \t]*(?:>>> )?(?:{_STATEMENT})(?:[ \t]*(?://|#|--).*)?[ \t\r]*$"
_CODE = rf"(?m)```{_LANGUAGE}[ \t]*\n(?s:.*?)(?:```|\z)|{_LINE}"
_SIGN = (  # one of these is in every text with mathematics or code; most texts have none
    r"[=≈√∫∑∏∂²³^\\{};<>`#$]|\w\(|equals| (?:plus|minus|times|divided by|multiplied by) [$0-9]"
    rf"|{_IN_KOREAN}[가-힣]|import |install |SELECT "
)


class Subjects(Settings):
    """The subjects whose rows are dropped: math, code."""

    drop: tuple[Literal["math", "code"], ...] = Field(default=(), strict=False)


def find_subjects(batch: Batch, settings: Subjects) -> dict[int, str]:
    """Return the rows whose subject is one of those to be dropped."""
    if not settings.drop:
        return {}
    return {row: said for row, said in subjects(batch.prose).items() if said.partition(":")[0] in settings.drop}


def subjects(texts: pa.StringArray) -> dict[int, str]:
    """Return `math: ...` or `code: ...` with the evidence for each text with such a subject, by its index."""
    rows = pc.indices_nonzero(pc.match_substring_regex(texts, _SIGN))
    suspects = texts.take(rows)
    lengths = pc.utf8_length(suspects)
    code_lengths = pc.subtract(lengths, pc.utf8_length(pc.replace_substring_regex(suspects, _CODE, ""))).to_pylist()
    calculations = pc.count_substring_regex(suspects, _MATH).to_pylist()
    found: dict[int, str] = {}
    counts = zip(rows.to_pylist(), lengths.to_pylist(), code_lengths, calculations, strict=True)
    for row, length, code, calculated in counts:
        if code >= max(20, 0.2 * length):
            found[row] = f"code: {code} of {length} characters"
        elif calculated >= max(2, length / 300):
            found[row] = f"math: {calculated} calculations in {length} characters"
    return found


GATE = Gate("subjects", "subject", Subjects, find_subjects)
