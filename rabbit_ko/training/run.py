"""A stage from start to end: what it needs first, axolotl in processes of its own, and the merge of an adapter."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_plugins.checks.base_model import check_base_is_reachable, check_to_merge, merged_is_current
from axolotl_plugins.checks.model_files import check_configs, check_foreign_code, trusts
from axolotl_plugins.portable import make_portable
from axolotl_plugins.run_folder import LAUNCH, check_output_dir, hold, holder
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.hashing import ROOT, source_digest
from rabbit_ko.licenses.files import carry
from rabbit_ko.methods import stage_method
from rabbit_ko.recipes import CONFIGS, RUN_FILE, Recipe, expand_base, read_config
from rabbit_ko.run_record import write_checksums
from rabbit_ko.terminal import say
from rabbit_ko.training.new_recipe import find_config
from rabbit_ko.training.process import python, run_logged
from rabbit_ko.training.status import State, check_current, stage_status

DEEPSPEED, FSDP = CONFIGS / "deepspeed", CONFIGS / "fsdp"


@dataclass(frozen=True)
class Launch:
    """How a stage is started. overrides: arguments for axolotl. gpus: processes, all GPUs for None.

    sharding: ddp, which None is, or one of the files in axolotl_configs/deepspeed and fsdp. accelerate: arguments for
    `accelerate launch`, in the place of gpus. fresh: train anew, whatever is there. debug: show all that axolotl says
    on the terminal instead of in a log.
    """

    overrides: Sequence[str] = ()
    gpus: int | None = None
    sharding: str | None = None
    accelerate: str = ""
    fresh: bool = False
    debug: bool = False


def train(recipe: Recipe, stage: str, launch: Launch) -> bool:
    """Train a stage unless it is up to date; tell whether it was trained.

    Raises UserError as `check_before` does, where only the files of a finished run were changed, so that its model
    would go for nothing, and where a run of the stage is going on, or this one has failed.
    """
    check_before(recipe, stage, launch)
    sharding = sharding_arguments(launch)
    if make_base(recipe):
        check_before(recipe, stage, launch)  # the parent was trained on another base
    config, overrides = recipe.config(stage), parse_overrides(launch.overrides)
    if parent := recipe.parent(stage):
        merge(recipe, parent, launch.debug)
    check_base_is_reachable(config, str(overrides.get("base_model") or read_config(config).get("base_model")))
    status = stage_status(recipe, stage, overrides or None)
    if status.state is State.CHANGED and not launch.fresh:
        raise UserError(status.detail)
    say(f"{recipe.run(stage)}: {status}")
    if status.state is State.CURRENT and not launch.fresh:
        return False
    log = log_file(recipe, stage)
    fresh = ["--guard-fresh=true"] if launch.fresh else []
    accelerate = ["launch", "--quiet", *_processes(launch), "-m", "axolotl.cli.train", str(config)]
    arguments = [*accelerate, *sharding, *fresh, *launch.overrides]
    with hold(recipe.run(stage), LAUNCH):
        if launch.fresh or status.state is not State.INTERRUPTED:
            log.unlink(missing_ok=True)
        run_logged(python("accelerate.commands.accelerate_cli", *arguments), log, "training", launch.debug)
    if not (recipe.run(stage) / RUN_FILE).exists():
        raise UserError(f"{stage}: the run ended early: {recipe.run(stage) / RUN_FILE} is missing")
    return True


def check_before(recipe: Recipe, stage: str, launch: Launch) -> None:
    """Raise UserError for what is wrong before anything long starts: a config, a folder in use, a stale parent."""
    check_config(recipe, stage, launch)
    if parent := recipe.parent(stage):
        check_current(recipe, parent, stage, f"{stage} starts from the merged model of {parent}, and ")


def check_config(recipe: Recipe, stage: str, launch: Launch) -> None:
    """Raise UserError for what is wrong with a stage whatever there is of its parent: a config, a folder in use."""
    config = find_config(recipe, stage)
    for run in (recipe.run(name) for name in (stage, recipe.parent(stage)) if name):
        if process := holder(run):
            raise UserError(f"{run} is in use by {process}; wait for its end")
    wanted = {**read_config(config), **parse_overrides(launch.overrides)}
    try:
        check_foreign_code(wanted)
        check_configs(Path(str(wanted.get("base_model"))), trusts(wanted))
        check_output_dir(wanted, config)
        if wanted.get("bf16"):  # torch's import takes seconds
            from axolotl_plugins.checks.machine import check_gpu

            check_gpu(wanted)
    except UserError as error:
        raise UserError(f"{config}: {error}") from None


def merge(recipe: Recipe, stage: str, debug: bool = False) -> bool:
    """Merge a stage's adapter into its base, unless that is done; tell whether there was anything to do.

    Raises UserError where the stage is not trained, or the merge fails; then no half model is left.
    """
    run = recipe.run(stage_method(stage).name)
    if not (run / RUN_FILE).exists():
        raise UserError(f"{run}: no finished run to merge; run `make {stage} RECIPE={recipe.name}` first")
    if not (run / "adapter_config.json").exists() or merged_is_current(run):
        return False
    config = read_config(recipe.config(stage))
    check_foreign_code(config)
    check_to_merge(run, trusts(config))
    with hold(run, LAUNCH), hold(run):
        shutil.rmtree(run / "merged", ignore_errors=True)
        try:
            command = python("axolotl.cli.main", "merge-lora", str(recipe.config(stage)))
            run_logged(command, log_file(recipe, stage), "merging", debug, quiet=True)
            make_portable(run / "merged")
            for line in carry(run, run / "merged"):
                say(line)
            write_checksums(run / "merged")
        except BaseException:
            shutil.rmtree(run / "merged", ignore_errors=True)
            raise
    return True


def make_base(recipe: Recipe) -> bool:
    """Make the base of a recipe that has a script for it, unless it is of these sources; tell whether it was made."""
    script = recipe.base_script
    if script is None:
        return False
    folder = recipe.runs / "base"
    made_of = folder / "made_of.txt"
    prompt = [ROOT / "prompt_strategies" / name for name in ("template.py", "chat_template.py")]
    samples = (ROOT / "dataset_builders" / "samples").glob("*")
    scripts = {ROOT / script, ROOT / CONFIGS / "smoke" / script.name}  # one may build on that of smoke
    now = source_digest([*prompt, *samples]) + " " + source_digest(scripts)
    if (folder / "model.safetensors").exists() and made_of.exists() and made_of.read_text(encoding="utf-8") == now:
        return False
    run_logged(
        [sys.executable, str(script), str(folder)], recipe.runs / "base.log", "making the base model", quiet=True
    )
    made_of.write_text(now, encoding="utf-8")
    return True


def log_file(recipe: Recipe, stage: str) -> Path:
    """Return the place of all that axolotl has said of a stage's last run."""
    return recipe.run(stage) / "log.txt"


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what axolotl's arguments say, by key: `--learning-rate=1e-4`, `--learning-rate 1e-4`, `--no-tf32`.

    Raises UserError where one of them is no option.
    """
    found: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        flag, has_value, value = rest.pop(0).partition("=")
        if not flag.startswith("--"):
            raise UnknownName(f"ARGS: `{flag}` is no option; write `--key=value`")
        key = flag.removeprefix("--").replace("-", "_")
        if has_value:
            found[key] = value
        elif rest and not rest[0].startswith("--"):
            found[key] = rest.pop(0)
        else:
            found[key.removeprefix("no_")] = not key.startswith("no_")
    expand_base(found)
    return found


def sharding_arguments(launch: Launch) -> list[str]:
    """Return axolotl's arguments that spread a run over GPUs, which are none for ddp, the default.

    Adapters are small, so LoRA gains nothing from sharing out their gradients and optimizer states. Raises UserError
    for an unknown name.
    """
    name = launch.sharding or "ddp"
    if name == "ddp":
        return []
    if (file := DEEPSPEED / f"{name}.json").exists():
        return [f"--deepspeed={file}"]
    if (file := FSDP / f"{name}.yaml").exists():
        return [f"--guard-sharding={file}"]
    known = ["ddp", *sorted(path.stem for folder in (DEEPSPEED, FSDP) for path in folder.iterdir())]
    raise UnknownName(f"SHARDING={name}: there is no such sharding; known are {', '.join(known)}")


def _processes(launch: Launch) -> list[str]:
    """Accelerate takes all GPUs of the machine unless it is told how many processes there are."""
    if launch.accelerate:
        return shlex.split(launch.accelerate)
    if not launch.gpus:
        return []
    return [f"--num_processes={launch.gpus}", *(["--multi_gpu"] if launch.gpus > 1 else [])]
