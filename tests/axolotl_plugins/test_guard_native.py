"""What the guard sees of a stage in a base's own format, before it runs."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from axolotl.utils.chat_templates import get_chat_template
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.checks.base_model import MERGED_ADAPTER, adapter_digest
from axolotl_plugins.checks.model_files import ADAPTER
from axolotl_plugins.resume.identity import run_identity, shards_fingerprint
from prompt_strategies.native_template import TODAY, has_fixed_date, with_fixed_date
from tests.axolotl_plugins.test_guard_rows import load_datasets, refusal
from tests.stages import load_on_cpu, put_weights, save_base

LLAMA = get_chat_template("llama3_2_vision")
CHATML = "{% for m in messages %}<|start_header_id|>{{ m.role }}\n{{ m.content }}<|eot_id|>{% endfor %}"
OPENED = "{% if add_generation_prompt %}<|start_header_id|>assistant\n{% endif %}"


@pytest.fixture
def native_tokenizer(smoke_tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The smoke recipe's tokenizer as Llama-3.2-Instruct's is: with a chat template, and the turn's end as EOS."""
    tokenizer = deepcopy(smoke_tokenizer)
    tokenizer.eos_token, tokenizer.chat_template = "<|eot_id|>", LLAMA
    return tokenizer


@pytest.fixture(autouse=True)
def _base(smoke_recipe: Path, native_tokenizer: PreTrainedTokenizerBase) -> None:
    save_base(Path("runs/smoke/base"), native_tokenizer)


def native(stage: str = "sft", suffix: str = "_every_turn", **more: Any) -> dict[str, Any]:
    """The overrides that make a stage native."""
    entries = {
        name: [{"path": f"data/smoke/{stage}", "split": split, "type": f"prompt_strategies.native{suffix}"}]
        for name, split in (("datasets", "train"), ("test_datasets", "test"))
    }
    return {**entries, **more}


def test_every_answer_is_trained_and_conversations_are_no_more_rows_than_before() -> None:
    counts = load_datasets("sft", **native()).counts["train"]
    alone = load_datasets("sft", **native(suffix="")).counts["train"]
    assert counts["examples"] > counts["prepared"] == counts["checked"] == alone["prepared"] > 100
    assert (counts["dropped"], alone["dropped"]) == (0, 0)
    assert counts["tokens"] == alone["tokens"]
    assert counts["trained"] > alone["trained"]


def test_the_template_is_the_tokenizers_own_with_a_fixed_date() -> None:
    cfg = load_on_cpu("sft", **native())
    assert cfg.chat_template == "jinja"
    assert cfg.chat_template_jinja == with_fixed_date(LLAMA) != LLAMA
    assert has_fixed_date(cfg.chat_template_jinja)
    assert TODAY.strftime("%d %b %Y") in cfg.chat_template_jinja


@pytest.mark.parametrize("given", ["file", "name"])
def test_another_template_is_named_in_the_yaml(given: str, tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(CHATML + OPENED)
    options = (
        {"chat_template": "llama3"}
        if given == "name"
        else {"chat_template": "jinja", "chat_template_jinja": str(tmp_path / "own.jinja")}
    )
    cfg = load_on_cpu("sft", **native(**options))
    assert cfg.chat_template_jinja == (get_chat_template("llama3") if given == "name" else CHATML + OPENED)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chat_template": "llama33"}, "chat_template: unknown template `llama33`; did you mean `llama3`?"),
        (
            {"chat_template": "jinja", "chat_template_jinja": "x.jinja"},
            "x.jinja: No such file or directory; name a Jinja file in chat_template_jinja",
        ),
    ],
)
def test_a_template_that_is_not_there_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SystemExit) as error:
        load_on_cpu("sft", **native(**options))
    assert message in str(error.value)


def test_a_base_without_a_template_is_refused(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    bare = deepcopy(smoke_tokenizer)
    bare.chat_template = None
    save_base(Path("runs/smoke/base"), bare)
    (Path("runs/smoke/base/chat_template.jinja")).unlink(missing_ok=True)
    with pytest.raises(SystemExit, match="chat_template: missing, and the base's tokenizer has none"):
        load_on_cpu("sft", **native())


def test_qir_takes_no_template_of_another() -> None:
    with pytest.raises(SystemExit, match="chat_template: take it away: the guard sets the one"):
        load_on_cpu("sft", chat_template="llama3")


def test_a_template_that_breaks_a_promise_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("{{ bos_token }}" + CHATML.replace("<|eot_id|>", "\n") + OPENED)
    options = {"chat_template": "jinja", "chat_template_jinja": str(tmp_path / "own.jinja")}
    assert "chat template: ends an answer with EOS, once: <|eot_id|> does not follow the answer" in refusal(
        "sft", **native(**options)
    )


def test_an_eos_that_the_template_does_not_write_is_refused_with_the_one_it_does() -> None:
    line = refusal("sft", **native(special_tokens={"eos_token": "<|end_of_text|>"}))
    assert "special_tokens.eos_token: '<|end_of_text|>' would be trained" in line


def test_another_template_of_the_base_or_in_the_file_is_another_run(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(CHATML)
    base, file = native(), native(chat_template_jinja=str(tmp_path / "own.jinja"))
    given = {"base_model": "runs/smoke/base"}
    before = [run_identity(given | options, []) for options in (base, file)]
    (tmp_path / "own.jinja").write_text(CHATML + OPENED)
    Path("runs/smoke/base/chat_template.jinja").write_text(CHATML)
    after = [run_identity(given | options, []) for options in (base, file)]
    for one, other in zip(before, after, strict=True):
        assert {name for name in one if one[name] != other[name]} == {"the chat template"}
    qir = {"base_model": "runs/smoke/base", "datasets": [{"type": "prompt_strategies.qir"}]}
    assert "the chat template" not in run_identity(qir, [])


def test_prepared_rows_of_another_template_are_not_met() -> None:
    paths = {load_on_cpu("sft", **native(chat_template=name)).dataset_prepared_path for name in (None, "llama3")}
    assert len(paths) == 2


def test_dpo_starts_from_an_sft_model_of_the_same_template(native_tokenizer: PreTrainedTokenizerBase) -> None:
    run = Path("runs/smoke/sft")
    run.mkdir(parents=True)
    put_weights(run / ADAPTER)
    entry = {"path": "data/smoke/sft"}
    (run / "run.json").write_text(json.dumps({"datasets": [{**entry, "fingerprint": shards_fingerprint(entry)}]}))
    native_tokenizer.chat_template = with_fixed_date(LLAMA)
    save_base(run / "merged", native_tokenizer, **{MERGED_ADAPTER: adapter_digest(run)})
    counts = load_datasets("dpo", **native("dpo", "_dpo")).counts["train"]
    assert 2 * counts["examples"] == 2 * counts["prepared"] == counts["checked"] > 100
    assert "was trained with another prompt than this stage's type asks for" in refusal(
        "dpo", **native("dpo", "_dpo", chat_template="llama3")
    )
    assert "was trained with another prompt" in refusal("dpo")


def test_a_date_that_cannot_be_fixed_is_refused() -> None:
    file = Path("own.jinja")
    file.write_text("{{ bos_token }}{% set form = '%Y' %}{{ strftime_now(form) }}" + CHATML + OPENED)
    options = {"chat_template": "jinja", "chat_template_jinja": str(file)}
    assert "writes no date of today: it asks for today's in a way that cannot be fixed" in refusal(
        "sft", **native(**options)
    )
