"""Load a stage's model with its tokenizer, and let it answer."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from axolotl_plugins.checks.model_files import (
    ADAPTER_CONFIG,
    accept_any_width,
    check_adapter_fits,
    check_model,
    loading,
)
from prompt_strategies.messages import Messages
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.stages import BASE, Stage, adapter_base
from rabbit_ko.hub import hub_id
from rabbit_ko.run_record import check_run, remedy

# Of weights.
SMALL = 10_000_000


class Answer(NamedTuple):
    """What a model answered; `is_cut` where it reached max_new_tokens."""

    text: str
    is_cut: bool


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn: n for each prompt, which end before the first of the words in stop, too."""

    n: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...] = ()


def load_tokenizer(stage: Stage) -> Any:
    """Load a stage's tokenizer, with its prompt as chat template. Raises UserError.

    The template writes the prompt's BOS; before a bare text stands one where the tokenizer adds it by itself.
    """
    from transformers import AutoTokenizer

    check_stage(stage)
    accept_any_width()
    folder = Path(stage.model)
    with loading(f"{stage.model}: the tokenizer cannot be loaded", folder):
        tokenizer = AutoTokenizer.from_pretrained(stage.model, trust_remote_code=stage.trusted)
        tokenizer("가")
    tokenizer.chat_template = stage.chat_template
    tokenizer.padding_side = "left"
    if stage.name == BASE and not stage.headings:
        tokenizer.eos_token = (stage.config.get("special_tokens") or {}).get("eos_token") or tokenizer.eos_token
    if tokenizer.eos_token_id is None:
        raise UserError(f"{stage.model}: its tokenizer names no token that ends an answer; {remedy(folder)}")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_stage(stage: Stage) -> None:
    """Raise UserError where a stage's model is damaged, would run code of others, or is not what its run wrote.

    Of weights of many gigabytes only the size is compared: reading them would make a question wait for seconds.
    """
    folder = Path(stage.model)
    check_model(folder, stage.trusted)
    if stage.name != BASE and folder.is_dir():
        check_run(folder, thorough=False)
        if base := adapter_base(folder):
            check_model(Path(base), stage.trusted)


def load_stage(stage: Stage, dtype: str = "auto", merged: bool = True) -> tuple[Any, Any]:
    """Load a stage's model and its tokenizer; an adapter is merged into its base, or works beside it.

    dtype: by torch's name, as the weights are stored for auto. Raises UserError.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer, base = load_tokenizer(stage), adapter_base(Path(stage.model))
    if base and hub_id(base) is None and not Path(base).is_dir():
        raise UserError(
            f"{stage.model}: the adapter is on {base}, which is gone; put that folder back, or train again"
        )
    place, safe = base or stage.model, {"trust_remote_code": stage.trusted, "use_safetensors": True}
    with loading(f"{place}: the model cannot be loaded", Path(place)):
        model = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, **safe)
    with loading(f"{stage.model}: the model cannot be loaded", Path(stage.model)):
        if base:
            from peft import PeftModel  # two seconds that a merged model does not need

            if len(tokenizer) > model.get_input_embeddings().num_embeddings:  # a token was added in training
                model.resize_token_embeddings(len(tokenizer))
            model = PeftModel.from_pretrained(model, stage.model)
            check_adapter_fits(model, Path(stage.model))
            model = model.merge_and_unload() if merged else model
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    spare_threads(model)
    return model, tokenizer


def config_of(stage: Stage) -> Any:
    """Return the config of a stage's model, of its text where it has more. Raises UserError."""
    from transformers import AutoConfig

    place = adapter_base(Path(stage.model)) or stage.model
    accept_any_width()
    with loading(f"{place}: the model's config cannot be loaded", Path(place)):
        return AutoConfig.from_pretrained(place, trust_remote_code=stage.trusted).get_text_config()


def spare_threads(model: Any) -> None:
    """Let a small model on a CPU have one thread: several would spend their time on waiting for each other."""
    import torch

    if model.device.type == "cpu" and model.num_parameters() < SMALL:
        torch.set_num_threads(1)


def context_of(stage: Stage) -> int:
    """Return how many tokens a stage's model can read and write. Raises UserError."""
    return int(config_of(stage).max_position_embeddings)


def adapter_rank(folder: Path) -> int:
    """Return the rank of the adapter in a folder. Raises UserError."""
    rank = read_object(folder / ADAPTER_CONFIG, remedy(folder)).get("r")
    if not isinstance(rank, int):
        raise UserError(f"{folder / ADAPTER_CONFIG}: r: missing, or no number; {remedy(folder)}")
    return rank


def generate(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Messages],
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> list[Answer]:
    """Answer conversations in one batch, as `generate_ids` does. Raises UserError."""
    ends, stop = stops(model, tokenizer), sampling.stop if sampling else ()
    answers = generate_ids(model, tokenizer, conversations, max_new_tokens, sampling)
    return [_answer(tokenizer, ids, ends, stop) for ids in answers]


def generate_ids(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Messages],
    max_new_tokens: int,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """Answer conversations in one batch: each once and greedily, or as sampling says, n answers one after the other.

    An answer's ids end with the one that ends it, unless it was cut. Raises UserError, also where the batch is too
    large for the machine.
    """
    import torch

    prompts, ends = (
        encode_chat(tokenizer, [*conversations], padding=True, return_tensors="pt"),
        stops(model, tokenizer),
    )
    options: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
    if sampling:
        torch.manual_seed(sampling.seed)
        options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        options |= {"num_return_sequences": sampling.n}
        options |= {"stop_strings": list(sampling.stop), "tokenizer": tokenizer} if sampling.stop else {}
    options |= {"eos_token_id": ends, "pad_token_id": tokenizer.pad_token_id, "max_new_tokens": max_new_tokens}
    try:
        with torch.inference_mode(), _own_config(model) if sampling else nullcontext():
            output = model.generate(**prompts.to(model.device), **options)
    except torch.OutOfMemoryError:
        raise UserError(
            f"a batch of {len(conversations)} prompts does not fit into the GPU's memory; lower its size"
        ) from None
    answers = output[:, prompts["input_ids"].shape[1] :].tolist()
    return [until_end(ids, ends) for ids in answers]


def until_end(ids: list[int], ends: Collection[int]) -> list[int]:
    """Return an answer's ids up to the first that ends it, and that one; all of them where none does."""
    return ids[: next((at for at, token in enumerate(ids, 1) if token in ends), None)]


@contextmanager
def _own_config(model: Any) -> Iterator[None]:
    """Put a fresh generation config in the place of the model's, which adds to all that is not said otherwise."""
    from transformers import GenerationConfig

    config = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = config


def _answer(tokenizer: Any, ids: list[int], ends: list[int], stop: Sequence[str]) -> Answer:
    text = tokenizer.decode(ids, skip_special_tokens=True)
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return Answer(text[: min(places)] if places else text, set(ends).isdisjoint(ids) and not places)


def encode_chat(tokenizer: Any, messages: Messages | list[Messages], **options: Any) -> Any:
    """Encode a conversation, or several, up to the next answer. Raises UserError where its template refuses it.

    Reasoning stands in earlier answers as the model wrote it; what becomes of that is the chat template's.
    """
    try:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, **options)
    except Exception as error:  # a template raises whatever it likes
        raise UserError(f"the chat template refuses this conversation: {reason(error)}") from None


def stops(model: Any, tokenizer: Any) -> list[int]:
    """Return the ids that end an answer: those that the model's generation config stops at, and the EOS."""
    ends = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None})
