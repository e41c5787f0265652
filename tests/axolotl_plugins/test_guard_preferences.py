"""What a stage of preferences may not say: each mistake is one line, before anything is loaded."""

from pathlib import Path
from typing import Any

import pytest
from axolotl.utils.schemas.config import AxolotlInputConfig

from axolotl_plugins.callbacks import LOG
from axolotl_plugins.checks.preferences import OF_METHODS
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
    *(
        (stage, {"lora_model_dir": "runs/smoke/sft"}, f"lora_model_dir: axolotl {does} in {stage.upper()}, which")
        for does, stages in {"ignores it": ("dpo", "kto"), "trains that adapter further": ("orpo", "simpo")}.items()
        for stage in stages
    ),
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
    ("dpo", {"dpo_loss_type": ["aot"], "dpo_use_weighting": True}, "dpo_use_weighting: TRL has no weights of pairs"),
    ("dpo", {"dpo_loss_type": "sigmoid"}, "dpo_loss_type: must be a list, such as `[sigmoid]`"),
    (
        "dpo",
        {"dpo_loss_type": ["sigmod"]},
        "dpo_loss_type: `sigmod` is no loss of TRL's DPO; did you mean `sigmoid`?",
    ),
    ("dpo", {"dpo_loss_type": ["sigmoid", ["sft"]]}, "dpo_loss_type: `['sft']` is no loss of TRL's DPO"),
    ("dpo", {"dpo_loss_type": [1]}, "dpo_loss_type: `1` is no loss of TRL's DPO; known are aot, aot_unpaired, apo_"),
    ("dpo", {"dpo_loss_weights": 1.0}, "dpo_loss_weights: must be a list of numbers"),
    ("dpo", {"dpo_loss_weights": "1.0"}, "dpo_loss_weights: must be a list of numbers"),
    ("dpo", {"dpo_loss_weights": ["one"]}, "dpo_loss_weights: `one` is not a number"),
    ("dpo", {"dpo_loss_weights": [-1.0]}, "dpo_loss_weights: each must be above 0"),
    ("dpo", {"dpo_label_smoothing": "a little"}, "dpo_label_smoothing: `a little` is not a number"),
    ("dpo", {"dpo_label_smoothing": [0.1]}, "dpo_label_smoothing: `[0.1]` is not a number"),
    ("dpo", {"dpo_label_smoothing": -0.1, "dpo_loss_type": ["robust"]}, "dpo_label_smoothing: must be below 0.5"),
    *((stage, {"rl_beta": 0}, "rl_beta: 0 must be above 0") for stage in ("dpo", "orpo", "simpo", "kto")),
    ("orpo", {"orpo_alpha": 0.0, "rl_beta": None}, "orpo_alpha: 0 must be above 0"),
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


# A stage, a key of it that is a number, and the least that it may be.
NUMBERS = [
    *((stage, "rl_beta", "above 0") for stage in ("dpo", "orpo", "simpo", "kto")),
    ("orpo", "orpo_alpha", "above 0"),
    *(("kto", key, "above 0") for key in ("kto_desirable_weight", "kto_undesirable_weight")),
    *(("simpo", key, "0 or more") for key in ("simpo_gamma", "cpo_alpha")),
]
MISTAKES += [
    (stage, {key: value}, f"{key}: {said}")
    for stage, key, least in NUMBERS
    for value, said in [
        ("much", "`much` is not a number"),
        ([1.0], "`[1.0]` is not a number"),
        (True, "`True` is not a number"),
        (float("nan"), "`nan` is not a number"),
        (-1, f"-1 must be {least}"),
        ("-1", f"-1 must be {least}"),
    ]
]


def test_every_key_of_a_method_that_is_a_number_is_in_these_tests() -> None:
    fields = AxolotlInputConfig.model_fields
    numbers = {key for key in OF_METHODS if fields[key].annotation == float | None}
    assert numbers | {"rl_beta"} == {key for _, key, _ in NUMBERS} | {"dpo_label_smoothing"}


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
        ("simpo", {"simpo_gamma": 0.0}),
        ("kto", {"kto_desirable_weight": 1.33, "dataset_num_proc": 1}),
    ],
)
def test_what_a_method_reads_is_let_through(recipe: Path, stage: str, changes: dict[str, Any]) -> None:
    cfg = load_stage(rewrite(recipe / "smoke" / f"{stage}.yaml", **changes))
    assert {key: cfg[key] for key in changes} == changes


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("kto", {"rl_beta": "1e-1"}),  # as YAML has a number without a point
        ("dpo", {"dpo_loss_type": ["robust"], "dpo_label_smoothing": "0.1"}),
    ],
)
def test_text_that_axolotl_reads_as_a_number_is_one(recipe: Path, stage: str, changes: dict[str, Any]) -> None:
    cfg = load_stage(rewrite(recipe / "smoke" / f"{stage}.yaml", **changes))
    assert 0.1 in [cfg[key] for key in changes]


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        ("dpo", {"dpo_loss_type": ["sigmoid_norm"]}, "0.1 is small where rewards are means"),
        ("dpo", {"dpo_loss_type": ["sft", "sigmoid_norm"], "rl_beta": None}, "0.1 is small where rewards are means"),
        ("simpo", {"rl_beta": 0.1}, "0.1 is small where rewards are means over tokens, as in SimPO"),
        ("dpo", {"dpo_loss_type": ["sigmoid_norm"], "rl_beta": 2.0}, None),
        ("dpo", {}, None),
        ("simpo", {}, None),
        ("kto", {}, None),
    ],
)
def test_a_beta_of_sums_where_rewards_are_means_is_told(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, stage: str, changes: dict[str, Any], said: str | None
) -> None:
    told: list[str] = []
    monkeypatch.setattr(LOG, "warning", lambda line, *_: told.append(line))
    load_stage(rewrite(recipe / "smoke" / f"{stage}.yaml", **changes))
    assert [line for line in told if line.startswith("rl_beta: ")] == [line for line in told if said and said in line]
    assert bool(told) == bool(said)


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
