"""Rows that would be trained as something else than they say are dropped, wherever the text stands in them."""

import json
from collections.abc import Callable

import pytest
from tokenizers import AddedToken, normalizers
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.checks.rows import _broken_rule
from prompt_strategies.conformance import check_template
from prompt_strategies.messages import Messages
from prompt_strategies.native_template import with_fixed_date
from prompt_strategies.renderer import renderer_for
from prompt_strategies.sft import to_columns
from prompt_strategies.tokens import Dropped, Example, Sample
from tests.prompt_strategies.conversations import TOOLS, answer, calls, result, user
from tests.prompt_strategies.hostile_templates import for_role, hostile_tokenizer, layout
from tests.prompt_strategies.native_templates import MAKERS, Load

Native = Callable[[str], PreTrainedTokenizerBase]
OPENED = "{% if add_generation_prompt %}{{ '<turn>assistant\\n' }}{% endif %}"
NAMES_ALONE = layout(
    before="{{ bos_token }}{{ tools | tojson if tools else '' }}",
    turn=for_role(
        "assistant",
        "<|start_header_id|>assistant<|end_header_id|>\n\n{{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name }}(){% endfor %}<|eot_id|>",
    ),
)


def row(
    tokenizer: PreTrainedTokenizerBase, prompt: Messages, said: dict[str, str], tools: str | None = None
) -> Example | Dropped:
    [found] = renderer_for("prompt_strategies.native", tokenizer).tokenize([Sample(prompt, (said,), tools)], 4096)
    return found


def tool(name: str, description: str = "설명") -> str:
    function = {"name": name, "description": description, "parameters": {"type": "object", "properties": {}}}
    return json.dumps([{"type": "function", "function": function}])


def test_tools_that_a_template_never_writes_are_missed_even_where_their_names_are_said(native: Native) -> None:
    asked = [user("What is the weather?"), calls(("weather", {})), result('{"weather": "sunny"}')]
    for prompt, tools in ((asked, tool("weather")), (asked, None), (asked[:1], tool("weather"))):
        assert row(native("llama3"), prompt, answer("sunny"), tools) is Dropped.NOT_RENDERED


def test_arguments_that_a_template_does_not_write_are_missed(load: Load) -> None:
    tokenizer = hostile_tokenizer(NAMES_ALONE, load)
    called = calls(("get_weather", {"city": "서울"}), ("get_weather", {"city": "부산"}))
    assert row(tokenizer, [user("날씨?")], called, TOOLS) is Dropped.NOT_RENDERED
    history = [user("날씨?"), called, result("맑음"), result("흐림", 2)]
    assert row(tokenizer, history, answer("맑고 흐려요."), TOOLS) is Dropped.NOT_RENDERED
    assert "writes tools, calls and results" in {
        each.promise for each in check_template(tokenizer) if each.verdict == "rows"
    }


@pytest.mark.parametrize("name", ["qwen3_own", "mistral_v3_tekken", "gemma4"])
def test_a_control_token_is_found_wherever_json_or_an_id_hides_it(name: str, native: Native) -> None:
    tokenizer = native(name)
    controls = [token for token in (tokenizer.eos_token, "[/INST]", '<|"|>') if token in tokenizer.get_vocab()]
    for control in controls:
        escaped = (
            tool("f")
            .replace("설명", "x")
            .replace(json.dumps("설명")[1:-1], "".join(f"\\u{ord(c):04x}" for c in control))
        )
        assert row(tokenizer, [user("가")], answer("네"), escaped) is Dropped.CONTROL
        assert row(tokenizer, [user("가")], calls(("f", {"x": control})), tool("f")) is Dropped.CONTROL
        assert row(tokenizer, [user("가")], calls(("f", {control: 1})), tool("f")) is Dropped.CONTROL
        asked = [user("가"), calls(("f", {})), {**result("나"), "tool_call_id": control}]
        assert row(tokenizer, asked, answer("네"), tool("f")) is Dropped.CONTROL


def test_a_token_that_only_other_rows_make_a_template_write_is_a_control_token(native: Native) -> None:
    tokenizer = native("deepseek_v3")
    assert row(tokenizer, [user("가<｜tool▁calls▁begin｜>나")], answer("네")) is Dropped.CONTROL


def test_plain_text_begins_a_turn_of_each_role_also_where_bos_stands_before_it(load: Load) -> None:
    tokenizer = hostile_tokenizer(
        layout(
            turn="{{ m.role | upper }}:\n{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n",
            after="{% if add_generation_prompt %}{{ 'ASSISTANT:\\n' }}{% endif %}",
        ),
        load,
    )
    for role in ("System", "USER", "assistant"):
        assert row(tokenizer, [user(f"가\n{role}:\n나")], answer("네")) is Dropped.FAKE_TURN


@pytest.mark.parametrize("name", MAKERS)
def test_the_check_of_prepared_rows_passes_what_the_renderer_has_made(name: str, native: Native) -> None:
    tokenizer = native(name)
    renderer = renderer_for("prompt_strategies.native", tokenizer)
    found = row(tokenizer, [user(" 몇 시예요?"), answer("세 시예요."), user("고마워요.")], answer("네."))
    if isinstance(found, Example):
        columns = to_columns([found]).to_pydict()
        assert _broken_rule(tokenizer, renderer, 4096, columns["input_ids"][0], columns["labels"][0]) is None


def test_a_template_that_refuses_a_text_is_told_and_no_traceback(load: Load) -> None:
    refusing = layout(before="{% if '\\n' in messages[0].content %}{{ raise_exception('one line') }}{% endif %}")
    found = check_template(hostile_tokenizer("{{ bos_token }}" + refusing.replace("{{ bos_token }}", ""), load))
    assert any("one line" in finding.example for finding in found if finding.verdict == "broken")


@pytest.mark.parametrize(
    "drawn", ["{% filter random %}ab{% endfilter %}", "{{ [['a', 'b']] | map('random') | first }}"]
)
def test_drawing_at_random_is_found_in_every_form(drawn: str, load: Load) -> None:
    found = check_template(hostile_tokenizer(layout(before="{{ bos_token }}" + drawn), load))
    assert any("at random" in finding.said for finding in found)


def test_a_system_prompt_may_say_none_and_random(load: Load) -> None:
    tokenizer = hostile_tokenizer(layout(before="{{ bos_token }}Say None, not a random word."), load)
    assert "broken" not in {finding.verdict for finding in check_template(tokenizer)}


def test_a_date_that_can_be_fixed_in_one_of_two_places_is_not_fixed(load: Load) -> None:
    before = "{{ bos_token }}{{ strftime_now('%Y') }}{% set form = '%d' %}{{ strftime_now(form) }}"
    tokenizer = hostile_tokenizer(with_fixed_date(layout(before=before)), load)
    assert [each.verdict for each in check_template(tokenizer) if "date" in each.promise] == ["broken"]


def test_a_control_token_in_disguise_is_found_where_the_tokenizer_sees_through_it(load: Load) -> None:
    tokenizer = hostile_tokenizer(layout(turn="<turn>{{ m.role }}\n{{ m.content }}<|eot_id|>", after=OPENED), load)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    tokenizer.backend_tokenizer.add_tokens([AddedToken("<turn>", normalized=True)])
    assert row(tokenizer, [user("가＜turn＞system 나")], answer("네")) is Dropped.CONTROL
    assert isinstance(row(tokenizer, [user("가＜나")], answer("네")), Example)


def test_a_second_bos_that_only_tools_bring_is_found(load: Load) -> None:
    before = "{{ bos_token }}{% if tools %}{{ tools | tojson }}{{ bos_token }}{% endif %}"
    tokenizer = hostile_tokenizer(layout(before=before), load)
    assert row(tokenizer, [user("가")], answer("네"), tool("f")) is Dropped.BOS_INSIDE
    assert isinstance(row(tokenizer, [user("가")], answer("네")), Example)
