"""The guard's own keys in a stage's YAML: rules that a recipe may have reasons to relax, and a file laid over it."""

from pydantic import BaseModel, Field

# Keys of earlier versions, by what each is called now.
RENAMED = {
    "guard_any_dpo_base": "guard_any_parent",
    "guard_engine": "guard_sharding",
    "guard_max_left_out": "guard_max_dropped",
}


class GuardArgs(BaseModel):
    """Added to axolotl's schema by `Guard.get_input_args`."""

    guard_max_dropped: float = Field(
        default=0.1, ge=0, le=1, description="share of a split's rows that may be dropped for length or fake turns"
    )
    guard_any_parent: bool = Field(
        default=False, description="let DPO start from a model that is not a merged SFT run on this recipe's data"
    )
    guard_keep_batch: bool = Field(
        default=True,
        description="share the batch of one optimizer step among the processes, instead of taking it in each",
    )
    guard_fresh: bool = Field(
        default=False, description="start afresh instead of resuming from the checkpoints of an interrupted run"
    )
    guard_sharding: str | None = Field(
        default=None, description="a YAML that is laid over the stage's, such as axolotl_configs/fsdp/fsdp2.yaml"
    )
