"""Pushing a model to a hub on this machine, with the real client, and what may not be pushed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from axolotl_plugins.checks.base_model import MERGED_ADAPTER, adapter_digest
from rabbit_ko import export
from rabbit_ko.cli import main
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.evaluation.stages import find_stage
from rabbit_ko.export import FORMATS, find_format
from rabbit_ko.export._folder import export_folder, making
from rabbit_ko.hub import Files, hub_id
from rabbit_ko.parity.verdict import Verdict
from rabbit_ko.publishing.push_model import push
from tests.conftest import ROOT, environment
from tests.dataset_builders.hub_repos import READER, SIGNATURE, WRITER
from tests.dataset_builders.hub_server import Hub
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.publishing.card_folder import card_of, make_card_folder, put_adapter, put_parity, put_run
from tests.rabbit_ko.publishing.model_folder import make_models

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
LLAMA = "meta-llama/Llama-3.2-3B-Instruct"
SFT, MERGED = MODELS["sft"], MODELS["sft"] / "merged"
LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
print(tokenizer.eos_token, sum(weight.double().sum().item() for weight in model.parameters()))
"""
PUSH = "from rabbit_ko.cli import main; main()"
SECRETS = ("debug.log", "training_args.bin", "optimizer.pt", ".env", "prepared/rows.arrow", "checkpoint-8/model.bin")
Result = subprocess.CompletedProcess[str]


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would have been sent."""
    calls: list[tuple[Any, ...]] = []

    def commit(*arguments: Any) -> str:
        calls.append(arguments)
        return "url"

    monkeypatch.setattr("rabbit_ko.hub.commit", commit)
    return calls


@pytest.fixture
def adapter(in_tmp: Path) -> Path:
    """A recipe whose adapter is on a model of the hub, with its card, and with what must stay at home."""
    make_card_folder(BASE)
    (SFT / "model.safetensors").unlink()
    put_weights(SFT / "adapter_model.safetensors")
    (SFT / "tokenizer.json").write_text("{}")
    for name in ("chat_template.jinja",):
        (SFT / name).write_text(name)
    for name in SECRETS:
        (SFT / name).parent.mkdir(exist_ok=True)
        (SFT / name).write_text("secret")
    put_card("sft")
    return SFT


def put_weights(file: Path, value: float = 0.0) -> None:
    """Write one weight."""
    import numpy as np

    file.parent.mkdir(exist_ok=True)
    save_file({"weight": np.full(3, value, np.float32)}, file)


def put_card(stage: str) -> None:
    """Write a stage's card."""
    (MODELS[stage] / "README.md").write_text(card_of(stage), encoding="utf-8")


def put_merged() -> None:
    """Write a merged model."""
    put_weights(MERGED / "model.safetensors")
    (MERGED / "config.json").write_text(json.dumps({MERGED_ADAPTER: adapter_digest(SFT)}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (MERGED / name).write_text("{}")


def files_of(pushed: list[tuple[Any, ...]]) -> Files:
    """Return the files of the one push."""
    [(_, files, *_)] = pushed
    return dict(files)


def uncompared(format: str, repo: str) -> str:
    """What is said of a push that nobody has compared with the stage."""
    command = f"make parity RECIPE=mine STAGE=sft AGAINST={format}"
    return f"{repo}: nobody has compared what was pushed; `{command}` does\n"


def run_push(hub: Hub, *arguments: str, token: str = WRITER) -> Result:
    """Push in a process of its own, with the hub in place of the real one; expect no secret in its output."""
    command = [sys.executable, "-c", PUSH, "push-model", "--recipe", "mine", "--repo", "org/name", *arguments]
    return run_client(hub, command, token)


def run_client(hub: Hub, command: list[str], token: str = WRITER) -> Result:
    """Run a client of the hub in the working directory."""
    variables = environment(PYTHONPATH=str(ROOT), **hub.variables(Path("home").absolute(), token))
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    for secret in (WRITER, READER, SIGNATURE):
        assert secret not in result.stdout + result.stderr
    return result


def test_only_what_is_on_the_list_goes(adapter: Path, pushed: list[tuple[Any, ...]]) -> None:
    assert push("mine", "sft", "org/name", public=False) == "url"
    files = files_of(pushed)
    assert sorted(files) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "config.json",
        "run.json",
        "tokenizer.json",
    ]
    assert pushed[0][3:] == (False, "model")


def test_the_card_names_the_repo_and_its_header_what_is_pushed(adapter: Path, pushed: list[tuple[Any, ...]]) -> None:
    push("mine", "sft", "me/rabbit", public=False)
    put_merged()
    push("mine", "sft", "me/rabbit", format="merged", public=True)
    cards = [ModelCard(files["README.md"].decode()) for _, files, *_ in pushed]
    assert [card.data.library_name for card in cards] == ["peft", "transformers"]
    assert [card.data.base_model_relation for card in cards] == ["adapter", "finetune"]
    assert [card.data.base_model for card in cards] == [BASE, BASE]
    assert [call[3] for call in pushed] == [False, True]
    body = (SFT / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    assert 'name = "me/rabbit"' in cards[0].text
    assert cards[0].text == cards[1].text == body.replace("org/name", "me/rabbit")


def test_of_the_merged_model_its_own_files_go(adapter: Path, pushed: list[tuple[Any, ...]]) -> None:
    put_merged()
    push("mine", "sft", "org/name", format="merged", public=False)
    files = files_of(pushed)
    assert sorted(files) == [
        *("README.md", "config.json", "model.safetensors", "run.json", "tokenizer.json", "tokenizer_config.json")
    ]
    assert files["model.safetensors"] == MERGED / "model.safetensors"
    assert files["run.json"] == SFT / "run.json"


def test_all_parts_of_an_index_go_and_a_missing_one_is_named(adapter: Path, pushed: list[tuple[Any, ...]]) -> None:
    put_merged()
    (MERGED / "model.safetensors").unlink()
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    weights = ", ".join(f'"{part}": "{part}"' for part in parts)
    (MERGED / "model.safetensors.index.json").write_text(f'{{"weight_map": {{{weights}}}}}')
    put_weights(MERGED / parts[0])
    with pytest.raises(UserError, match=rf"{parts[1]}: is missing, and nothing to push"):
        push("mine", "sft", "org/name", format="merged", public=False)
    put_weights(MERGED / parts[1])
    push("mine", "sft", "org/name", format="merged", public=False)
    assert {*parts, "model.safetensors.index.json"} <= files_of(pushed).keys()


@pytest.mark.parametrize("pickle", ["adapter_model.bin", "pytorch_model.pt", "weights.pkl", "last.ckpt"])
def test_pickled_weights_are_refused(adapter: Path, pushed: list[tuple[Any, ...]], pickle: str) -> None:
    for name in ("training_args.bin", "optimizer.pt"):
        (SFT / name).unlink()
    (SFT / "adapter_model.safetensors").rename(SFT / pickle)
    expected = f"adapter_model.safetensors: is missing, and there is {pickle}, which may run code where it is loaded;"
    with pytest.raises(UserError, match=re.escape(expected)):
        push("mine", "sft", "org/name", public=False)
    assert not pushed


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickled", b"\x08" + bytes(7) + b"{}"])
def test_what_only_has_the_name_of_safetensors_is_refused(
    adapter: Path, pushed: list[tuple[Any, ...]], content: bytes
) -> None:
    (SFT / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(
        UserError, match=r"adapter_model.safetensors: damaged or incomplete: .*; train or merge again"
    ):
        push("mine", "sft", "org/name", public=False)
    assert not pushed


def test_an_adapter_on_a_model_of_this_machine_goes_merged_only(adapter: Path, pushed: list[tuple[Any, ...]]) -> None:
    put_run("sft", str(MODELS["base"]))
    put_adapter("sft", str(MODELS["base"]))
    put_card("sft")
    expected = (
        "runs/mine/sft: the adapter is on runs/mine/base, which is only on this machine; run `make merge RECIPE=mine "
        "STAGE=sft` and push the merged model with FORMAT=merged"
    )
    with pytest.raises(UserError, match=expected):
        push("mine", "sft", "org/name", public=False)
    put_merged()
    push("mine", "sft", "org/name", format="merged", public=False)
    assert len(pushed) == 1


def change_adapter() -> None:
    """Put another adapter in the place of that which was merged."""
    put_weights(SFT / "adapter_model.safetensors", 1.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: (SFT / "README.md").unlink(), "runs/mine/sft/README.md: no card of this project; run `make card"),
        (lambda: (SFT / "README.md").write_text("---\ntags: [dpo]\n---\n"), "README.md: no card of this project"),
        (lambda: (SFT / "README.md").write_text("no header"), "README.md: no card of this project"),
        (
            lambda: put_run("sft", BASE, seed=2),
            "README.md: written from another run than the one that is there; run `make card RECIPE=mine",
        ),
        (lambda: shutil.rmtree(MERGED), "runs/mine/sft/merged: no merged model of this run; run `make merge"),
        (change_adapter, "runs/mine/sft/merged: no merged model of this run; run `make merge"),
        ((MERGED / "tokenizer_config.json").unlink, "runs/mine/sft/merged: no merged model of this run"),
        (lambda: (MERGED / "config.json").write_text("{}"), "runs/mine/sft/merged: no merged model of this run"),
    ],
)
def test_what_is_missing_or_of_an_earlier_run_is_not_pushed(
    adapter: Path, pushed: list[tuple[Any, ...]], change: Any, expected: str
) -> None:
    put_merged()
    change()
    with pytest.raises(UserError, match=expected):
        push("mine", "sft", "org/name", format="merged", public=False)
    assert not pushed


@pytest.mark.hostile
@pytest.mark.parametrize("format", ["adapter", "merged"])
@pytest.mark.parametrize("name", ["chat_template.jinja", "weights", "README.md", "run.json", "added_tokens.json"])
def test_a_link_that_leads_out_of_the_stage_is_not_followed(
    adapter: Path, pushed: list[tuple[Any, ...]], format: str, name: str
) -> None:
    put_merged()
    folder = SFT if format == "adapter" or name in ("README.md", "run.json") else MERGED
    name = (
        {"adapter": "adapter_model.safetensors", "merged": "model.safetensors"}[format] if name == "weights" else name
    )
    elsewhere = Path("secret.env").absolute()
    if (folder / name).exists():
        (folder / name).rename(elsewhere)
    else:
        elsewhere.write_text("{}")
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(
        UserError, match=rf"{folder / name}: a link that leads out of runs/mine/sft; put the file itself"
    ):
        push("mine", "sft", "org/name", format=format)
    assert not pushed


@pytest.mark.hostile
def test_a_merged_folder_that_is_elsewhere_is_not_followed_and_links_within_are(
    adapter: Path, pushed: list[tuple[Any, ...]]
) -> None:
    put_merged()
    (SFT / "tokenizer.json").rename(SFT / "kept")
    (SFT / "tokenizer.json").symlink_to("kept")
    push("mine", "sft", "org/name")
    MERGED.symlink_to(MERGED.rename("elsewhere").absolute())
    with pytest.raises(UserError, match="a link that leads out of runs/mine/sft"):
        push("mine", "sft", "org/name", format="merged")
    assert len(pushed) == 1


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (
            '{"weight_map": {"a": "../../../secret.safetensors"}}',
            "names `../../../secret.safetensors`, which is no file",
        ),
        ('{"weight_map": {"a": "/etc/passwd"}}', "names `/etc/passwd`, which is no file of weights"),
        ('{"weight_map": {"a": ["x"]}}', "names `['x']`, which is no file of weights; train or merge again"),
        ('{"weight_map": ["a"]}', "damaged; train or merge again"),
        ("[1]", "holds no JSON object; train or merge again"),
        ("{", "damaged: Expecting property name"),
        ("\0", "damaged: Expecting value"),
    ],
)
def test_an_index_of_weights_that_names_what_is_elsewhere_is_refused(
    adapter: Path, pushed: list[tuple[Any, ...]], index: str, expected: str
) -> None:
    put_merged()
    (MERGED / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match=re.escape(f"model.safetensors.index.json: {expected}")):
        push("mine", "sft", "org/name", format="merged")
    assert not pushed


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["README.md", "chat_template.jinja", "adapter_model.safetensors"])
def test_a_pipe_in_the_place_of_a_file_ends_the_push(adapter: Path, pushed: list[tuple[Any, ...]], name: str) -> None:
    (SFT / name).unlink()
    os.mkfifo(SFT / name)
    with pytest.raises(UserError, match=f"{name}: (no regular file|is no file|no card|is missing)"):
        push("mine", "sft", "org/name")
    assert not pushed


def put_on_llama() -> None:
    """Let the recipe be on a Llama of the hub, with a card and a merged model."""
    put_run("sft", LLAMA)
    put_adapter("sft", LLAMA)
    put_card("sft")
    put_merged()


@pytest.mark.parametrize("format", ["adapter", "merged", "gguf"])
def test_what_the_bases_license_wants_goes_along_from_the_hub(adapter: Path, hub: Hub, format: str) -> None:
    base = hub.data.add(LLAMA, private=False, kind="model")
    texts = {"LICENSE.txt": b"LLAMA 3.2 COMMUNITY LICENSE AGREEMENT", "USE_POLICY.md": b"# Policy"}
    base.commit({**texts, "config.json": b"{}", "LICENSE.py": b"import os"})
    put_on_llama()
    if format == "gguf":
        put_parity("sft", put_gguf())
        put_card("sft")
        assert (export_folder(find_stage("mine", "sft"), "gguf", "q8_0") / "NOTICE").exists()
    given = ("--quant", "q8_0") if format == "gguf" else ()
    result = run_push(hub, "--format", format, *given)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "error: org/name: the base's license, Llama 3.2 Community License Agreement, wants the name to begin with "
        "`Llama`; push to org/Llama-name\n"
    )
    assert "org/name" not in hub.data.repos
    result = run_push(hub, "--format", format, *given, "--repo", "org/Llama-name")
    expected = "" if format == "gguf" else uncompared(format, "org/Llama-name")
    assert (result.returncode, result.stderr) == (0, expected)
    files = hub.data.repos["org/Llama-name"].files
    assert {name: files[name] for name in texts} == texts
    assert "LICENSE.py" not in files
    assert files["NOTICE"].startswith(
        "Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright © Meta Platforms, Inc.".encode()
    )
    assert "\n**Built with Llama**\n" in files["README.md"].decode()


def test_without_the_text_that_its_license_wants_a_model_is_not_made_public(
    adapter: Path, pushed: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    put_on_llama()
    missing = (
        f"{LLAMA}: its license has to go along, and no file of it was found; save it as runs/mine/sft/LICENSE: "
        "Llama 3.2 Community License Agreement https://www.llama.com/llama3_2/license/"
    )
    for text in ("", "MIT License\n"):
        if text:
            (SFT / "LICENSE.md").write_text(text)
        with pytest.raises(UserError) as refused:
            push("mine", "sft", "me/Llama-rabbit", public=True)
        assert str(refused.value) == missing
    assert not pushed
    push("mine", "sft", "me/Llama-rabbit")
    assert files_of(pushed).keys() >= {"NOTICE"}
    assert capsys.readouterr().err.startswith(f"{missing}\n")


def test_a_text_that_lies_in_the_run_goes_and_a_policy_of_use_that_was_not_found_is_told(
    adapter: Path, pushed: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    put_on_llama()
    text = b"LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\n"
    (SFT / "LICENSE").write_bytes(text)
    push("mine", "sft", "me/Llama-rabbit", format="merged", public=True)
    assert files_of(pushed)["LICENSE"] == text
    assert capsys.readouterr().err == (
        f"{LLAMA}: no file of its use policy was found; save https://www.llama.com/llama3_2/use-policy as "
        "runs/mine/sft/USE_POLICY.md\n" + uncompared("merged", "me/Llama-rabbit")
    )
    (SFT / "USE_POLICY.md").write_text("Llama 3.2 Acceptable Use Policy\n")
    pushed.clear()
    push("mine", "sft", "me/Llama-rabbit", format="merged", public=True)
    assert files_of(pushed).keys() >= {"LICENSE", "USE_POLICY.md", "NOTICE"}
    assert capsys.readouterr().err == uncompared("merged", "me/Llama-rabbit")


def test_a_card_that_does_not_show_what_the_license_wants_is_refused(
    adapter: Path, pushed: list[tuple[Any, ...]]
) -> None:
    put_on_llama()
    card = SFT / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace("Built with Llama", ""), encoding="utf-8")
    with pytest.raises(UserError, match=r"README\.md: does not show `Built with Llama`, .*; run `make card"):
        push("mine", "sft", "me/Llama-rabbit")
    assert not pushed


def put_gguf(content: bytes = b"GGUF") -> Path:
    """Write an export of the SFT stage; return its file."""
    stage = find_stage("mine", "sft")
    folder = export_folder(stage, "gguf", "q8_0")
    with making(folder, stage, {}) as partial:
        (partial / "mine-sft-q8_0.gguf").write_bytes(content)
        (partial / "Modelfile").write_text("FROM ./mine-sft-q8_0.gguf")
    return folder / "mine-sft-q8_0.gguf"


def test_a_gguf_is_pushed_with_what_lies_beside_it_once_parity_has_found_it_to_be_the_model(
    adapter: Path, pushed: list[tuple[Any, ...]]
) -> None:
    file = put_gguf()
    with pytest.raises(UserError, match=rf"{file}: nobody has checked .* AGAINST=gguf QUANT=q8_0`"):
        push("mine", "sft", "me/rabbit", format="gguf", quant="q8_0")
    put_parity("sft", file)
    with pytest.raises(UserError, match="was written before parity said what it says now; run `make card"):
        push("mine", "sft", "me/rabbit", format="gguf", quant="q8_0")
    put_card("sft")
    push("mine", "sft", "me/rabbit", format="gguf", quant="q8_0")
    assert sorted(files_of(pushed)) == ["Modelfile", "README.md", "mine-sft-q8_0.gguf", "run.json"]
    card = ModelCard(bytes(files_of(pushed)["README.md"]).decode())
    assert (card.data.library_name, card.data.base_model_relation) == ("gguf", "quantized")


@pytest.mark.hostile
def test_a_gguf_that_parity_found_to_be_another_model_or_that_was_made_again_since_stays_at_home(
    adapter: Path, pushed: list[tuple[Any, ...]]
) -> None:
    file = put_gguf()
    put_parity("sft", file, Verdict.DIFFERENT)
    with pytest.raises(UserError, match="gguf q8_0, exact: is not the same model"):
        push("mine", "sft", "me/rabbit", format="gguf", quant="q8_0")
    put_parity("sft", file)
    put_gguf(b"another")
    with pytest.raises(UserError, match="nobody has checked"):
        push("mine", "sft", "me/rabbit", format="gguf", quant="q8_0")
    assert not pushed


@pytest.mark.hostile
@pytest.mark.parametrize("format", ["adapter", "merged"])
def test_what_parity_found_to_be_another_model_stays_at_home_in_any_format(
    adapter: Path, pushed: list[tuple[Any, ...]], format: str
) -> None:
    put_merged()
    weights = SFT / "adapter_model.safetensors" if format == "adapter" else MERGED / "model.safetensors"
    for file in (weights, None):  # earlier versions did not say of what files a record is
        put_parity("sft", file, Verdict.DIFFERENT, name=format)
        put_card("sft")
        with pytest.raises(UserError, match="is not the same model, or not with its prompt"):
            push("mine", "sft", "me/rabbit", format=format)
    assert not pushed
    put_parity("sft", weights, name=format)
    with pytest.raises(UserError, match="was written before parity said what it says now; run `make card"):
        push("mine", "sft", "me/rabbit", format=format)
    put_card("sft")
    push("mine", "sft", "me/rabbit", format=format)
    assert len(pushed) == 1


def test_an_adapter_and_a_merged_model_go_without_parity_and_that_is_said(
    adapter: Path, pushed: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    put_merged()
    for format in ("adapter", "merged"):
        push("mine", "sft", "me/rabbit", format=format)
        assert capsys.readouterr().err.endswith(uncompared(format, "me/rabbit"))
        put_parity("sft", SFT / "run.json")  # of something else


def test_an_fp8_model_is_pushed_once_parity_has_found_it_to_be_the_model(
    adapter: Path, pushed: list[tuple[Any, ...]]
) -> None:
    stage = find_stage("mine", "sft")
    folder = export_folder(stage, "fp8")
    with making(folder, stage, {}) as partial:
        put_weights(partial / "model.safetensors", 8.0)
        (partial / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"nobody has checked .* AGAINST=fp8`, then the card"):
        push("mine", "sft", "me/rabbit", format="fp8")
    put_parity("sft", folder / "model.safetensors", name="fp8")
    put_card("sft")
    push("mine", "sft", "me/rabbit", format="fp8")
    assert len(pushed) == 1


def test_a_copy_with_other_times_is_pushed_as_well(adapter: Path, pushed: list[tuple[Any, ...]]) -> None:
    put_merged()
    for file in (SFT / "README.md", MERGED / "tokenizer_config.json"):
        os.utime(file, (0, 0))
    push("mine", "sft", "org/name", format="merged", public=False)
    assert len(pushed) == 1


def test_each_module_of_the_export_package_is_a_format() -> None:
    modules = Path(export.__file__).parent.glob("*.py")
    assert set(FORMATS) == {module.stem.replace("_", "-") for module in modules if module.stem[0] != "_"}
    assert all(callable(find_format(name).make) and callable(find_format(name).pushed) for name in FORMATS)


def test_an_unknown_format_is_named_with_the_known_ones(adapter: Path) -> None:
    with pytest.raises(UserError, match="FORMAT=onnx: there is no such format; known are adapter, "):
        push("mine", "sft", "org/name", format="onnx")


def test_the_command_wants_to_know_where_to(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["push-model", "--recipe", "mine"])
    expected = "error: rabbit push-model: say where: make push-model RECIPE=mine REPO=org/name\n"
    assert capsys.readouterr() == ("", expected)


def test_the_base_is_not_pushed(adapter: Path) -> None:
    with pytest.raises(UnknownName, match="STAGE=base: the base model is not this project's"):
        push("mine", "base", "org/name", public=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [(BASE, BASE), ("gpt2", "gpt2"), ("runs/mine", None), ("./x", None), ("/x/y", None), ("a/b/c", None)],
)
def test_a_place_on_this_machine_is_no_name_on_the_hub(in_tmp: Path, name: str, expected: str | None) -> None:
    assert hub_id(name) == expected
    Path(name).mkdir(parents=True, exist_ok=True) if not name.startswith("/") else None
    assert hub_id(name) is None


@pytest.mark.slow
def test_what_is_pushed_loads_as_the_same_model(
    in_tmp: Path, hub: Hub, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    make_models(smoke_tokenizer)
    put_card("sft")
    result = run_push(hub, "--format", "merged")
    assert result.returncode == 0, result.stderr
    repo = hub.data.repos["org/name"]
    assert result.stdout == f"{hub.url}/org/name/commit/{repo.commits[-1][0]}\n"
    assert (repo.private, len(repo.commits)) == (True, 2)
    assert repo.files["model.safetensors"] == (MERGED / "model.safetensors").read_bytes()
    loaded = run_client(hub, [sys.executable, "-c", LOAD, "org/name"])
    model = AutoModelForCausalLM.from_pretrained(MERGED)
    weights = sum(weight.double().sum().item() for weight in model.parameters())
    assert loaded.stdout == f"{smoke_tokenizer.eos_token} {weights}\n", loaded.stderr


def test_the_merged_model_takes_the_place_of_the_adapter(adapter: Path, hub: Hub) -> None:
    put_merged()
    assert run_push(hub).returncode == 0
    assert "adapter_model.safetensors" in hub.data.repos["org/name"].files
    assert run_push(hub, "--format", "merged").returncode == 0
    files = hub.data.repos["org/name"].files
    assert not {"adapter_model.safetensors", "adapter_config.json"} & files.keys()
    assert len(hub.data.repos["org/name"].commits) == 3


@pytest.mark.parametrize(
    ("is_private", "arguments", "expected"),
    [
        (True, ["--public"], "error: org/name: is private; push without PUBLIC, or make it public"),
        (False, [], "error: org/name: is public; say PUBLIC=1 if all may read this, or push to another name"),
    ],
)
def test_a_repo_of_the_other_visibility_is_refused(
    adapter: Path, hub: Hub, is_private: bool, arguments: list[str], expected: str
) -> None:
    hub.data.add("org/name", is_private, "model")
    result = run_push(hub, *arguments)
    assert result.returncode == 1
    assert expected in result.stderr
    assert len(hub.data.repos["org/name"].commits) == 1


def test_a_token_that_may_not_write_is_one_line(adapter: Path, hub: Hub) -> None:
    result = run_push(hub, token=READER)
    assert result.returncode == 1
    assert re.fullmatch("error: org/name: the hub answers 403, forbidden; check the name.*\n", result.stderr)
    assert not hub.data.repos
