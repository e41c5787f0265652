"""What a stage of preferences may not say: each mistake is one line, before anything is loaded."""

from pathlib import Path
from typing import Any

import pytest

from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.axolotl_plugins.test_guard import rewrite
from tests.stages import load_stage

# A stage, what is changed in it, and what is said of that.
MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    *((stage, {"sample_packing": True}, "sample_packing: is for SFT alone") for stage in ("orpo", "simpo", "kto")),
    *(
        (stage, {"lora_dropout": 0.1}, "lora_dropout: take it away: TRL's trainers")
        for stage in ("dpo", "orpo", "kto")
    ),
    *(
        (stage, {"group_by_length": True}, "group_by_length: take it away: SFT's")
        for stage in ("dpo", "simpo", "kto")
    ),
    ("kto", {"curriculum_sampling": True}, "curriculum_sampling: take it away: SFT's"),
    ("orpo", {"trl": {"beta": 0.5}}, "trl: take it away: its `beta` would come before rl_beta"),
    ("orpo", {"lora_model_dir": "runs/smoke/sft"}, "lora_model_dir: axolotl ignores it"),
    ("orpo", {"orpo_alpha": 0.1}, "orpo_alpha: axolotl takes rl_beta for it"),
    ("simpo", {"orpo_alpha": 0.1}, "orpo_alpha: `rl: simpo` does not read it, only orpo; take it away"),
    ("orpo", {"simpo_gamma": 1.0}, "simpo_gamma: `rl: orpo` does not read it, only simpo"),
    ("dpo", {"cpo_alpha": 1.0}, "cpo_alpha: `rl: dpo` does not read it, only simpo"),
    ("kto", {"precompute_ref_log_probs": True}, "precompute_ref_log_probs: `rl: kto` does not read it, only dpo and"),
    ("orpo", {"dpo_loss_type": ["sigmoid_norm"]}, "dpo_loss_type: `rl: orpo` does not read it, only dpo;"),
    ("simpo", {"dpo_label_smoothing": 0.1}, "dpo_label_smoothing: `rl: simpo` does not read it, only dpo;"),
    ("simpo", {"dpo_loss_weights": [1.0]}, "dpo_loss_weights: `rl: simpo` does not read it"),
    ("kto", {"dpo_use_weighting": True}, "dpo_use_weighting: `rl: kto` does not read it"),
    ("orpo", {"dpo_padding_free": True}, "dpo_padding_free: `rl: orpo` does not read it"),
    ("kto", {"dpo_use_liger_kernel": True}, "dpo_use_liger_kernel: `rl: kto` does not read it"),
    ("dpo", {"kto_desirable_weight": 1.0}, "kto_desirable_weight: `rl: dpo` does not read it, only kto"),
    ("orpo", {"kto_undesirable_weight": 1.0}, "kto_undesirable_weight: `rl: orpo` does not read it, only kto"),
    ("dpo", {"dpo_label_smoothing": 0.1}, "dpo_label_smoothing: TRL reads it with dpo_loss_type aot, aot_unpaired"),
    ("dpo", {"dpo_label_smoothing": 0.5, "dpo_loss_type": ["robust"]}, "dpo_label_smoothing: must be below 0.5"),
    ("dpo", {"dpo_loss_type": ["exo_pair"]}, "dpo_label_smoothing: must be below 0.5, and with exo_pair above 0"),
    ("dpo", {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [1.0]}, "dpo_loss_weights: must be as many"),
    ("simpo", {"rl_beta": None}, "rl_beta: missing; SimPO's rewards are means over tokens"),
    ("simpo", {"simpo_gamma": None}, "simpo_gamma: missing; SimPO's rewards are means over tokens"),
    ("kto", {"kto_desirable_weight": 0.0}, "kto_desirable_weight: axolotl takes 0 for 1"),
    ("kto", {"kto_undesirable_weight": 0}, "kto_undesirable_weight: axolotl takes 0 for 1"),
    ("kto", {"micro_batch_size": 1}, "micro_batch_size: at least 2 for each process in KTO"),
    ("kto", {"remove_unused_columns": None}, "remove_unused_columns: must be false in KTO"),
    ("kto", {"shuffle_merged_datasets": False}, "shuffle_merged_datasets: must not be false in KTO"),
    ("kto", {"dataset_num_proc": 4}, "dataset_num_proc: must be 0 or 1 in KTO"),
    ("kto", {"dataset_num_proc": None}, "dataset_num_proc: must be 0 or 1 in KTO"),
    ("kto", {"lora_qkv_kernel": True}, "lora_qkv_kernel: fails with a reference model"),
]


@pytest.mark.parametrize(("stage", "changes", "message"), MISTAKES)
def test_mistakes_are_one_line(recipe: Path, stage: str, changes: dict[str, Any], message: str) -> None:
    path = rewrite(recipe / "smoke" / f"{stage}.yaml", **changes)
    with pytest.raises(SystemExit) as error:
        load_stage(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("stage", "kind"), [("orpo", "qir"), ("orpo", "qir_kto"), ("simpo", "native_kto"), ("kto", "qir_dpo")]
)
def test_a_prompt_of_other_rows_is_refused(recipe: Path, stage: str, kind: str) -> None:
    entry = {"path": "data/smoke/dpo", "split": "train", "type": f"prompt_strategies.{kind}"}
    path = rewrite(recipe / "smoke" / f"{stage}.yaml", datasets=[entry])
    with pytest.raises(SystemExit, match=f"`prompt_strategies.{kind}` is not a prompt for {stage}; did you mean"):
        load_stage(path)


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("dpo", {"dpo_loss_type": ["sigmoid_norm"]}),
        ("dpo", {"dpo_loss_type": ["robust"], "dpo_label_smoothing": 0.1}),
        ("dpo", {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [1.0, 0.2]}),
        ("orpo", {"rl_beta": None, "orpo_alpha": 0.1}),
        ("simpo", {"cpo_alpha": 0.5}),
        ("kto", {"kto_desirable_weight": 1.33, "dataset_num_proc": 1}),
    ],
)
def test_what_a_method_reads_is_let_through(recipe: Path, stage: str, changes: dict[str, Any]) -> None:
    cfg = load_stage(rewrite(recipe / "smoke" / f"{stage}.yaml", **changes))
    assert {key: cfg[key] for key in changes} == changes


def test_simpo_has_no_likelihood_term_unless_it_is_asked_for(recipe: Path) -> None:
    assert load_stage(rewrite(recipe / "smoke" / "simpo.yaml", cpo_alpha=None)).cpo_alpha == 0.0


def test_processes_that_would_have_one_answer_each_in_kto_are_refused(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe / "smoke" / "kto.yaml"
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert load_stage(path).micro_batch_size == 2
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(SystemExit, match="micro_batch_size: at least 2 for each process in KTO"):
        load_stage(path)
