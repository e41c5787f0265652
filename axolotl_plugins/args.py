"""The guard's own keys in a stage's YAML: rules that a recipe may have reasons to relax, and a file laid over it."""

from pydantic import BaseModel, Field


class GuardArgs(BaseModel):
    """Added to axolotl's schema by `Guard.get_input_args`."""

    guard_max_dropped: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="share of a split's rows that may be dropped for length or prompt_injection",
    )
    guard_any_dpo_base: bool = Field(
        default=False, description="let DPO start from a model that is no merged SFT run on this recipe's data"
    )
    guard_keep_batch: bool = Field(
        default=True,
        description="share the batch of one optimizer step among the processes, instead of taking it in each",
    )
    guard_fresh: bool = Field(
        default=False, description="start afresh instead of going on from the checkpoints of an interrupted run"
    )
    guard_sharding: str | None = Field(
        default=None, description="a YAML that is laid over the stage's, such as axolotl_configs/fsdp/fsdp2.yaml"
    )
