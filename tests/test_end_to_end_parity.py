"""A stage after DPO, exported for real and served by llama.cpp: it is the same model, and each fault is seen."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf import GGUFReader

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage, find_stage
from rabbit_ko.export._keys import TRAINED_FILES
from rabbit_ko.parity.doors import find_doors
from rabbit_ko.parity.report import read_records
from rabbit_ko.parity.verdict import BOUNDS, EXACT, Verdict
from tests.conftest import environment, run
from tests.parity import a_few, check_same, everything, exact, outcomes, with_keys

pytestmark = pytest.mark.slow

ROWS = 130
DPO = Path("runs/smoke/dpo")
GGUF = DPO / "export/gguf/f32/smoke-dpo-f32.gguf"
EOS, PAD = 1, 5
TEMPLATE = "tokenizer__chat_template"


@pytest.fixture(scope="module")
def stage(started: Path) -> Iterator[Stage]:
    """The stage after DPO, exported as a GGUF in float32 and merged, in a project that is the working directory."""
    run(started, "make", "export", "STAGE=dpo", "FORMAT=gguf", "QUANT=f32", "--assume-old=.venv/.ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(started)
        yield find_stage("smoke", "dpo")


@pytest.fixture
def template(stage: Stage) -> str:
    """The stage's chat template."""
    return stage.chat_template


def test_llama_cpp_reads_every_prompt_and_gives_every_answer_as_training_left_the_model(stage: Stage) -> None:
    asked = everything(stage, ROWS)
    rows = sum(each.kind in ("test", "train") for each in asked)
    assert rows >= 100
    assert sum(each.kind == "hostile" for each in asked) > 100
    best, served = outcomes(stage, "gguf", asked, "f32")
    for outcome in (best, served):
        assert outcome.told("ids") == outcome.told("prompt") == outcome.told("count") == (len(asked), len(asked))
    check_same(best)
    assert served.verdict is not Verdict.DIFFERENT, served.why


def test_the_adapter_and_the_merged_model_are_the_same_through_transformers_alone(stage: Stage) -> None:
    for against in ("adapter", "merged"):
        [outcome] = outcomes(stage, against, a_few(stage))
        check_same(outcome)


@pytest.mark.parametrize("quant", ["bf16", "f16", "q8_0"])
def test_a_smaller_file_is_near_within_its_bounds_and_not_the_same(stage: Stage, quant: str, started: Path) -> None:
    run(started, ".venv/bin/rabbit", "export", "--stage", "dpo", "--quant", quant)
    outcome = exact(stage, DPO / f"export/gguf/{quant}/smoke-dpo-{quant}.gguf")
    assert outcome.verdict is Verdict.NEAR, outcome.why
    assert outcome.mean is not None
    assert EXACT / 10 < outcome.mean < BOUNDS[quant].mean


def test_an_adapter_as_gguf_beside_its_base_is_the_same(stage: Stage, started: Path) -> None:
    run(started, ".venv/bin/rabbit", "export", "--stage", "dpo", "--format", "gguf-lora", "--quant", "f32")
    best, _ = outcomes(stage, "gguf-lora", a_few(stage), "f32")
    check_same(best)


def test_the_command_tells_a_verdict_for_each_setting_and_leaves_a_record(stage: Stage, started: Path) -> None:
    arguments = ("STAGE=dpo", "AGAINST=gguf", "QUANT=f32", "ROWS=4", "MAX_NEW_TOKENS=8")
    said = run(started, "make", "parity", *arguments, "--assume-old=.venv/.ready").stdout
    assert re.search(r"^gguf f32, exact: same$", said, re.MULTILINE)
    assert re.search(r"^gguf f32, as served: (same|numerically near)$", said, re.MULTILINE)
    record = read_records(stage)["gguf-f32"]
    assert [door.door for door in record.doors] == ["gguf f32, exact", "gguf f32, as served"]
    assert record.files == {
        str(GGUF.relative_to(DPO)): json.loads((GGUF.parent / "export.json").read_text())["files"][GGUF.name][
            "sha256"
        ]
    }


# --- sabotage ---


def test_a_chat_template_with_a_missing_newline_is_seen(stage: Stage, tmp_path: Path, template: str) -> None:
    cut = template.replace('conversation.user + "\\n\\n"', 'conversation.user + "\\n"')
    assert cut != template
    outcome = exact(stage, with_keys(GGUF, tmp_path / "x.gguf", **{TEMPLATE: cut}))
    assert (outcome.verdict, outcome.why) == (Verdict.DIFFERENT, "the prompt has another text")


def test_a_merged_folder_with_another_chat_template_is_seen(stage: Stage, tmp_path: Path, template: str) -> None:
    folder = shutil.copytree(DPO / "merged", tmp_path / "merged")
    (folder / "chat_template.jinja").write_text(template.replace("### Response:\\n", "### Response:"))
    assert exact(stage, folder).why == "the prompt has another text"


def test_a_file_without_its_eos_is_seen(stage: Stage, tmp_path: Path) -> None:
    tokens = GGUFReader(GGUF).fields["tokenizer.ggml.tokens"].contents()
    # llama.cpp stops at some tokens by their text alone, and this is one of them.
    tokens[EOS] = "<|done|>"
    keys = {"tokenizer__ggml__eos_token_id": PAD, "tokenizer__ggml__tokens": tokens}
    outcome = exact(stage, with_keys(GGUF, tmp_path / "x.gguf", **keys), rows=60)
    assert (outcome.verdict, outcome.why) == (Verdict.DIFFERENT, "an answer goes another way")


def test_a_merged_folder_that_does_not_stop_is_seen(stage: Stage, tmp_path: Path) -> None:
    folder = shutil.copytree(DPO / "merged", tmp_path / "merged")
    config = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": PAD}))
    assert exact(stage, folder, rows=60).why == "an answer goes another way"


def test_bos_twice_is_seen(stage: Stage, tmp_path: Path, template: str) -> None:
    twice = "{{ bos_token }}" + template
    outcome = exact(stage, with_keys(GGUF, tmp_path / "x.gguf", **{TEMPLATE: twice}))
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.told("ids")[0] == outcome.told("count")[0] == 0


def test_a_file_that_adds_no_bos_under_a_template_without_is_seen(
    stage: Stage, tmp_path: Path, template: str
) -> None:
    bare = template.replace("{{ bos_token }}", "")
    assert bare != template
    file = with_keys(GGUF, tmp_path / "x.gguf", tokenizer__ggml__add_bos_token=False, **{TEMPLATE: bare})
    outcome = exact(stage, file)
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.told("ids")[0] == outcome.told("count")[0] == 0


def test_an_adapter_that_is_scaled_by_two_is_seen(stage: Stage, tmp_path: Path) -> None:
    folder = shutil.copytree(DPO, tmp_path / "dpo", ignore=shutil.ignore_patterns("merged", "export", "checkpoint-*"))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 2 * config["lora_alpha"]}))
    outcome = exact(stage, folder)
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.told("ids")[0] == len(outcome.answers)
    assert outcome.share is not None
    assert outcome.share > 1.2  # two where the model is linear in its adapter; as it comes out, machine by machine


def test_a_wrong_pre_tokenizer_is_seen(stage: Stage, tmp_path: Path) -> None:
    outcome = exact(stage, with_keys(GGUF, tmp_path / "x.gguf", tokenizer__ggml__pre="gpt-2"))
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.told("ids")[0] < len(outcome.answers)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_file_is_told_in_a_line(stage: Stage, tmp_path: Path, share: float) -> None:
    content = GGUF.read_bytes()
    (tmp_path / "x.gguf").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"x\.gguf|the server ended"):
        exact(stage, tmp_path / "x.gguf")


@pytest.mark.parametrize("quant", ["f32", "q8_0"])
def test_another_stages_file_is_known_by_what_it_says_and_by_its_answers(
    stage: Stage, tmp_path: Path, started: Path, quant: str
) -> None:
    run(started, ".venv/bin/rabbit", "export", "--stage", "sft", "--quant", quant)
    other = Path(f"runs/smoke/sft/export/gguf/{quant}/smoke-sft-{quant}.gguf")
    with pytest.raises(UserError, match="of another run than runs/smoke/dpo: smoke sft"):
        find_doors(stage, str(other), "", "", Path("server.log"))
    outcome = exact(stage, with_keys(other, tmp_path / "x.gguf", drop=[TRAINED_FILES]))
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.told("ids")[0] == len(outcome.answers)
    assert outcome.share is not None
    assert abs(outcome.share) < 0.5


def test_another_file_in_the_place_of_an_export_is_seen(stage: Stage, started: Path, tmp_path: Path) -> None:
    shutil.copy2(GGUF, tmp_path / "kept")
    content = bytearray(GGUF.read_bytes())
    content[-1] ^= 1
    GGUF.write_bytes(content)
    try:
        result = run(started, ".venv/bin/rabbit", "parity", "--stage", "dpo", "--against", "gguf", returns=1)
    finally:
        shutil.copy2(tmp_path / "kept", GGUF)
    assert "is not what its run wrote, by its checksum" in result.stderr


def test_a_file_with_another_prompt_is_told_with_the_first_place_that_differs(
    stage: Stage, started: Path, tmp_path: Path, template: str
) -> None:
    cut = template.replace('conversation.user + "\\n\\n"', 'conversation.user + "\\n"')
    file = with_keys(GGUF, tmp_path / "x.gguf", **{TEMPLATE: cut})
    command = (".venv/bin/rabbit", "parity", "--stage", "dpo", "--against", str(file), "--rows", "2")
    result = run(started, *command, returns=1)
    assert re.search(r"the prompt, from its character \d+ on: here '\\n### ", result.stdout)
    assert "is not the same model, or not with its prompt: the prompt has another text" in result.stderr


def test_a_parity_that_is_interrupted_leaves_no_server_and_no_record(stage: Stage, started: Path) -> None:
    before = {*(DPO / "parity").glob("*")}
    command = [".venv/bin/rabbit", "parity", "--stage", "dpo", "--against", "gguf", "--quant", "f32"]
    process = subprocess.Popen(command, cwd=started, env=environment(PYTHONPATH=str(started)), stderr=subprocess.PIPE)
    log = DPO / "parity/server.log"
    log.unlink(missing_ok=True)
    deadline = time.monotonic() + 300
    while not (log.exists() and "processing task" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert any(map(_serves_here, Path("/proc").glob("[0-9]*")))
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert not any(map(_serves_here, Path("/proc").glob("[0-9]*")))
    assert {*(DPO / "parity").glob("*")} - before <= {log}


def _serves_here(process: Path) -> bool:
    """Whether a process of the working directory has the file on its command line."""
    try:
        is_here = (process / "cwd").readlink() == Path.cwd()
        return is_here and str(GGUF).encode() in (process / "cmdline").read_bytes()
    except OSError:  # it has ended, or is another user's
        return False
