"""A Modelfile says to Ollama what the model is; its parts are what the hub's own way of running it reads."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rabbit_ko.evaluation.stages import Stage, find_stage
from rabbit_ko.export._go_template import go_template
from rabbit_ko.export._modelfile import write_modelfile
from rabbit_ko.export._pattern import find_pattern
from tests.prompt_strategies.conversations import MULTI_TURN, user
from tests.rabbit_ko.export.go_engine import GoRender
from tests.rabbit_ko.export.stages import MERGED


@pytest.fixture
def stage(finished: Path) -> Stage:
    """A stage with a merged model."""
    return find_stage("mine", "sft")


def _parts(folder: Path) -> tuple[str, str, str]:
    """What is before a Modelfile's template, the template, and what is behind it, as Ollama reads them."""
    before, template, after = (folder / "Modelfile").read_text(encoding="utf-8").split('"""')
    return before, template, after


def test_it_has_the_weights_the_template_and_what_was_trained(
    stage: Stage, tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    assert write_modelfile(tmp_path, "mine-sft-q8_0.gguf", stage, MERGED, smoke_tokenizer) == ""
    before, template, after = _parts(tmp_path)
    assert before == "FROM ./mine-sft-q8_0.gguf\nTEMPLATE "
    assert template == go_template(find_pattern(smoke_tokenizer))
    context = json.loads(Path(stage.model, "merged/config.json").read_text())["max_position_embeddings"]
    lines = ['PARAMETER stop "<|end_of_text|>"', f"PARAMETER num_ctx {context}", "PARAMETER repeat_penalty 1.0"]
    assert after.split("\n") == ["", *lines, ""]


def test_the_hub_gets_the_same_template_and_parameters(
    stage: Stage, tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase, go_render: GoRender
) -> None:
    write_modelfile(tmp_path, "x.gguf", stage, MERGED, smoke_tokenizer)
    params = json.loads((tmp_path / "params").read_text(encoding="utf-8"))
    lines = [line.split(" ", 2)[1:] for line in _parts(tmp_path)[2].split("\n") if line]
    listed = [[name, text] for name, value in params.items() for text in (value if name == "stop" else [value])]
    assert [[name, str(text)] for name, text in listed] == [[name, text.strip('"')] for name, text in lines]
    prompts = [[user("안녕?")], MULTI_TURN[:4]]
    sources = [_parts(tmp_path)[1], (tmp_path / "template").read_text(encoding="utf-8")]
    rendered = [go_render(source, prompts) for source in sources]
    assert rendered[0] == rendered[1]
    assert not any(text.startswith("ERROR") for text in rendered[0])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["Modelfile", "params", "template"]


def test_no_template_is_made_up_where_go_cannot_render_it(stage: Stage, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stage.model)
    tokenizer.chat_template = "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}"
    why = write_modelfile(tmp_path, "x.gguf", stage, MERGED, tokenizer)
    assert why.startswith("no Go template")
    assert "\n" not in why
    text = (tmp_path / "Modelfile").read_text(encoding="utf-8")
    assert text.startswith("FROM ./x.gguf\nREQUIRES 0.30.0\nPARAMETER ")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["Modelfile", "params"]


def test_nothing_of_a_template_ends_the_text_or_gets_lost_in_a_modelfile(
    stage: Stage, tmp_path: Path, go_render: GoRender
) -> None:
    """Ollama ends a text at three quotes, and drops what is not printable."""
    tokenizer = AutoTokenizer.from_pretrained(stage.model)
    odd = json.dumps('"""\u00a0{{ 가 }}\u200b"\t\\" """ 👩\u200d👧\n"', ensure_ascii=False)
    tokenizer.chat_template = (
        f"{{% for m in messages %}}{{{{ {odd} + m.content + {odd} }}}}{{% endfor %}}{{{{ {odd} }}}}"
    )
    assert write_modelfile(tmp_path, "x.gguf", stage, MERGED, tokenizer) == ""
    template = _parts(tmp_path)[1]
    assert all(character.isprintable() or character == "\n" for character in template)
    [rendered] = go_render(template, [MULTI_TURN[:4]])
    assert rendered == tokenizer.apply_chat_template(MULTI_TURN[:4], tokenize=False)
