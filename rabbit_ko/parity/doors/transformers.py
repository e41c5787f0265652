"""A folder of a model or an adapter through transformers alone, as someone without this project loads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from axolotl_plugins.checks.model_files import ADAPTER_CONFIG, accept_any_width, check_model, loading
from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.models import spare_threads, until_end
from rabbit_ko.export._safetensors import PUSHED
from rabbit_ko.parity.answers import BATCH, TOP, Answered, Token


@dataclass(frozen=True)
class TransformersDoor:
    """A model with its own tokenizer, chat template and generation config. dtype: as stored for auto."""

    name: str
    folder: Path
    quant: str
    dtype: str = "float32"
    trusted: bool = False

    @property
    def files(self) -> Sequence[Path]:
        """The weights, and what loads them."""
        return sorted(file for file in self.folder.iterdir() if PUSHED.fullmatch(file.name))

    def answer(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[Answered]:
        """Answer greedily, in batches. Raises UserError where the folder cannot be used, or its template refuses."""
        model, tokenizer = self._load()
        spare_threads(model)
        found: list[Answered] = []
        for start in tqdm(range(0, len(conversations), BATCH), desc=self.name, disable=None):
            found += self._batch(model, tokenizer, conversations[start : start + BATCH], max_new_tokens)
        return found

    def _load(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        check_model(self.folder, self.trusted)
        accept_any_width()
        with loading(f"{self.folder}: cannot be loaded", self.folder):
            tokenizer = AutoTokenizer.from_pretrained(
                self.folder, padding_side="left", trust_remote_code=self.trusted
            )
            options = {"dtype": self.dtype, "use_safetensors": True, "trust_remote_code": self.trusted}
            if (self.folder / ADAPTER_CONFIG).exists():
                from peft import AutoPeftModelForCausalLM

                model = AutoPeftModelForCausalLM.from_pretrained(self.folder, **options)
            else:
                model = AutoModelForCausalLM.from_pretrained(self.folder, **options)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer

    def _batch(self, model: Any, tokenizer: Any, asked: Sequence[Messages], most: int) -> list[Answered]:
        import torch

        options = {"add_generation_prompt": True}
        try:
            texts = [tokenizer.apply_chat_template(list(messages), tokenize=False, **options) for messages in asked]
            prompts = tokenizer.apply_chat_template(
                [*asked], padding=True, return_dict=True, return_tensors="pt", **options
            )
        except Exception as error:  # a template raises whatever it likes
            raise UserError(f"{self.folder}: its chat template refuses a conversation: {reason(error)}") from None
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "max_new_tokens": most}
        greedy |= {"output_logits": True, "return_dict_in_generate": True}
        try:
            with torch.inference_mode():
                output = model.generate(**prompts.to(model.device), **greedy, pad_token_id=tokenizer.pad_token_id)
        except torch.OutOfMemoryError:
            raise UserError(f"{self.folder}: the GPU's memory is too small for it in {self.dtype}") from None
        logprobs = torch.stack(output.logits, 1).float().log_softmax(-1).cpu()
        width, mask = prompts["input_ids"].shape[1], prompts["attention_mask"]
        ends = model.generation_config.eos_token_id
        ends = {*ends} if isinstance(ends, list) else {ends}
        answers = [until_end(row, ends) for row in output.sequences[:, width:].tolist()]
        return [
            Answered(
                text=tokenizer.decode(ids, skip_special_tokens=True),
                ended=bool(ids) and ids[-1] in ends,
                tokens=tuple(_tokens(ids, logprobs[place])),
                prompt=texts[place],
                prompt_ids=tuple(prompts["input_ids"][place][mask[place] == 1].tolist()),
                prompt_tokens=int(mask[place].sum()),
            )
            for place, ids in enumerate(answers)
        ]


def _tokens(ids: Sequence[int], logprobs: Any) -> Sequence[Token]:
    values, places = logprobs.topk(min(TOP, logprobs.shape[-1]))
    return [
        Token(token, float(logprobs[at, token]), tuple(zip(places[at].tolist(), values[at].tolist(), strict=True)))
        for at, token in enumerate(ids)
    ]
