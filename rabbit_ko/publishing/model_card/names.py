"""Names on the hub, as against places on this machine."""

from pathlib import Path

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage, adapter_base
from rabbit_ko.recipes import RUNS

# Stands on a card for the repo until it is pushed.
REPO = "org/name"


def hub_id(name: str) -> str | None:
    """Return a name that may be one on the hub, None for a place on this machine."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if Path(name).exists() or name.startswith(f"{RUNS}/"):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def check_trained(stage: Stage) -> None:
    """Raise UserError for the base model, which others have made."""
    if stage.name == "base":
        raise UserError("STAGE=base: the base model is not this project's; say sft or dpo")


def is_adapter_of_the_hub(stage: Stage) -> bool:
    """Tell whether a stage holds an adapter that others can put on the model beneath it."""
    beneath = adapter_base(Path(stage.model))
    return beneath is not None and hub_id(beneath) is not None
