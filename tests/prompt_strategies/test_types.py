"""Each template has every type of axolotl's, and a type that is unknown is refused."""

import subprocess
import sys
from typing import Any

import pytest
from axolotl.prompt_strategies import load as load_sft
from axolotl.prompt_strategies.dpo import load as load_dpo
from axolotl.utils.dict import DictDefault
from transformers import PreTrainedTokenizerBase

from prompt_strategies.messages import find_order_mistake
from prompt_strategies.renderer import bind
from prompt_strategies.template import LABELS, TEMPLATES, template_for, types_of
from rabbit_ko.errors import UserError
from tests.conftest import ROOT

CONFIG = DictDefault({"sequence_len": 1024, "rl": "dpo"})


def test_the_types_are_those_that_recipes_name() -> None:
    assert types_of("sft").keys() == {
        f"prompt_strategies.{name}"
        for name in ("qir", "qir_every_turn", "iir", "iir_every_turn", "native", "native_every_turn")
    }
    for rows in ("dpo", "kto"):
        assert types_of(rows).keys() == {f"prompt_strategies.{name}_{rows}" for name in ("qir", "iir", "native")}
    assert LABELS == ["Input", "Instruction", "Question", "Response"]


@pytest.mark.parametrize(("kind", "template"), types_of("sft").items())
def test_axolotl_finds_each_sft_type(kind: str, template: Any, smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    strategy = load_sft(kind, smoke_tokenizer, CONFIG, None)
    assert template is template_for(kind)
    assert strategy.renderer == bind(template, smoke_tokenizer)


@pytest.mark.parametrize(("kind", "template"), [*types_of("dpo").items(), *types_of("kto").items()])
def test_axolotl_finds_each_preference_type(kind: str, template: Any) -> None:
    transform, _ = load_dpo(kind, CONFIG, dataset_idx=0)
    assert transform.keywords["template"] is template is template_for(kind)


@pytest.mark.parametrize("kind", ["prompt_strategies.qirr", "iir", "alpaca", "None"])
def test_an_unknown_type_is_refused_with_the_known_ones(kind: str) -> None:
    with pytest.raises(UserError, match=f"type: `{kind}` is not a prompt of this project; (did you mean|known are)"):
        template_for(kind)


def test_a_new_template_is_one_entry() -> None:
    entry = '"cot": _with_headings("Task", "Rule", "Thought"),\n}'
    source = (ROOT / "prompt_strategies/template.py").read_text(encoding="utf-8")
    assert source.count("Native(),\n}") == 1
    changed = source.replace("Native(),\n}", f"Native(),\n    {entry}")
    script = (
        "import importlib.util, sys, types\n"
        "package = types.ModuleType('prompt_strategies'); package.__path__ = ['prompt_strategies']\n"
        "sys.modules['prompt_strategies'] = package\n"
        "template = types.ModuleType('prompt_strategies.template')\n"
        "template.__file__ = 'prompt_strategies/template.py'; sys.modules['prompt_strategies.template'] = template\n"
        "exec(compile(sys.stdin.read(), 'template.py', 'exec'), vars(template))\n"
        "del sys.modules['prompt_strategies']\n"
        "import prompt_strategies\n"
        "from importlib import import_module\n"
        "print(import_module('prompt_strategies.cot').load, import_module('prompt_strategies.cot_every_turn').load)\n"
        "print(prompt_strategies.cot_dpo, *template.LABELS)\n"
        "print([name for name in ('axolotl', 'torch', 'transformers') if name in sys.modules])\n"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, input=changed, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("partial") == 3
    assert "Input Instruction Question Response Rule Task Thought" in said.stdout
    assert said.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("roles", "last", "mistake"),
    [
        ("su", "user", None),
        ("suau", "user", None),
        ("ua", "assistant", None),
        ("", "user", "roles out of order"),
        ("s", "user", "roles out of order"),
        ("ua", "user", "roles out of order"),
        ("uu", "user", "roles out of order"),
        ("usu", "user", "roles out of order"),
        ("tu", "user", "roles out of order"),
        ("ubu", "user", "empty turn"),
        ("uct", "user", None),
        ("uctt", "user", None),
        ("uctcta", "assistant", None),
        ("uc", "assistant", None),
        ("uctauc", "assistant", None),
        ("ucu", "user", "roles out of order"),
        ("ut", "user", "roles out of order"),
        ("uat", "user", "roles out of order"),
        ("uctu", "user", "roles out of order"),
    ],
)
def test_the_order_of_turns_is_checked(roles: str, last: str, mistake: str | None) -> None:
    names = {"s": ("system", "x"), "u": ("user", "x"), "a": ("assistant", "x"), "t": ("tool", "x")}
    turns: list[dict[str, str]] = [
        {"role": "assistant", "content": "", "tool_calls": "[{}]"}
        if role == "c"
        else dict(zip(("role", "content"), names.get(role, ("assistant", " \n")), strict=True))
        for role in roles
    ]
    assert find_order_mistake(turns, last) == mistake


def test_all_templates_are_told_apart() -> None:
    assert len(set(TEMPLATES.values())) == len(TEMPLATES)
