"""What IFEval's checks need besides the harness."""

from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO

from rabbit_ko.errors import UserError

_NEED_PUNKT = {"change_case:capital_word_frequency", "length_constraints:number_sentences"}


def prepare(limit: int | None) -> None:
    """Make its guesses at languages the same each time.

    Raises UserError where an instruction to be checked needs data of nltk's that are not there.
    """
    # It fetches the data if it can, and says that it has even where it has not.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        import_module("lm_eval.tasks.ifeval.utils")
    import langdetect
    import nltk
    from datasets import load_dataset

    langdetect.DetectorFactory.seed = 0

    rows = load_dataset("google/IFEval", split="train")
    wanted = rows.select(range(min(limit or len(rows), len(rows))))["instruction_id_list"]
    if not any(_NEED_PUNKT.intersection(ids) for ids in wanted):
        return
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        raise UserError(
            "ifeval: nltk's `punkt_tab` is missing; run `python -m nltk.downloader punkt_tab` once with the network, "
            "or name a folder that has it in NLTK_DATA"
        ) from None
