"""A real server, llama.cpp's own, takes what judges are asked for, and holds any model to it."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.judge.asking import Request, ask_all
from rabbit_ko.evaluation.judge.verdicts import Language
from rabbit_ko.export import gguf
from tests.rabbit_ko.export.llama_server import serving
from tests.rabbit_ko.export.stages import stage_of

REASONS: dict[Language, str] = {"ko": '{"평가":"",', "en": '{"assessment":"",'}


def question(number: int, language: Language) -> Request:
    """A question to a judge."""
    asked: Any = [{"role": "system", "content": "판정하세요."}, {"role": "user", "content": f"{number}?"}]
    return Request(f"{number} {language}", {}, lambda _: asked, language)


def test_a_random_model_gives_verdicts_that_can_be_read_where_a_server_takes_a_schema(
    smoke_tokenizer: PreTrainedTokenizerBase, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    requests = [question(number, language) for number in range(3) for language in REASONS]
    with stage_of(in_tmp, smoke_tokenizer) as stage:
        gguf.make(stage, "", "")
        file = (Path(stage.model) / "export/gguf/f32" / gguf.file_name(stage, "f32")).resolve()
        with serving(file) as server:
            judge = Endpoint("JUDGE", str(server.base_url.join("v1")), "any", 2, 60.0)
            # The reasons end at once, since a random model would not end them.
            settings = {"temperature": 0.0, "logit_bias": {str(server.ids('"')[0]): 100}}
            replies = ask_all("pairwise", judge, requests, Path("verdicts.jsonl"), settings).replies
    for request in requests:
        (reply,) = replies[request.key]
        assert reply.score in (1.0, 0.5, 0.0)
        assert "".join(reply.text.split()).startswith(REASONS[request.language])
