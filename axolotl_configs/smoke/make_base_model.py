"""Make the smoke recipe's base model: a tiny Llama and its tokenizer, the same from the same seed and machine.

    python axolotl_configs/smoke/make_base_model.py runs/smoke/base

Without pre-training, LoRA on frozen random embeddings would learn next to nothing.
"""

import json
import shutil
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import QIR
from rabbit_ko.storage import make_readable

SAMPLES = Path(__file__).parents[2] / "dataset_builders" / "samples"
PREFERENCES = ("hh_rlhf_ko", "ko_ultrafeedback", "orca_math_ko_dpo")
NO_TEXT = {"from", "id", "source", "url"}
CONTEXT = 4096
BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on all texts of the samples, with Llama-3's pre-tokenization and special-token names."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=[BOS, EOS, "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stems = ("guanaco_ko", "koalpaca", "openorca_ko", *PREFERENCES)
    tokenizer.train_from_iterator(chain.from_iterable(map(sample_texts, stems)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=chat_template(QIR),
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Make a model of about a million weights, pre-trained on preferences alone, so that SFT meets new rows."""
    torch.set_num_threads(1)  # the same sums on any number of cores, and no slower where they are busy
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    documents = [text + tokenizer.eos_token for text in chain.from_iterable(map(sample_texts, PREFERENCES))]
    pretrain(model, torch.tensor([*chain.from_iterable(tokenizer(documents).input_ids)]))
    return model


def pretrain(model: LlamaForCausalLM, tokens: torch.Tensor, epochs: int = 5, block: int = 128) -> None:
    """Train on the next token of `tokens`, shape (n,), cut into blocks and shuffled anew in each epoch."""
    blocks = tokens[: len(tokens) // block * block].view(-1, block)
    batches = [batch for _ in range(epochs) for batch in torch.randperm(len(blocks)).split(8)]
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = {*model.parameters()} - {*matrices}
    optimizers = [
        torch.optim.Muon(matrices, lr=0.03),  # needs far fewer epochs than AdamW alone
        torch.optim.AdamW([weight for weight in model.parameters() if weight in others], lr=1e-2, fused=True),
    ]
    schedules = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(batches)) for optimizer in optimizers
    ]
    for batch in batches:
        model(input_ids=blocks[batch], labels=blocks[batch]).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for each in (*optimizers, *schedules):
            each.step()
        model.zero_grad()


def sample_texts(stem: str) -> list[str]:
    """Return every text of a sample file, in order."""
    return _texts([json.loads(line) for line in (SAMPLES / f"{stem}.jsonl").open(encoding="utf-8")])


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value if isinstance(value, list) else [value[key] for key in value if key not in NO_TEXT]
    return [*chain.from_iterable(map(_texts, items))]


def save(tokenizer: PreTrainedTokenizerFast, model: LlamaForCausalLM, folder: Path) -> None:
    """Write a tokenizer and its model; the folder appears when both are written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".base-", dir=folder.parent) as scratch:
        new = Path(scratch) / "base"
        tokenizer.save_pretrained(new)
        model.save_pretrained(new)
        make_readable(new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def main(folder: Path) -> None:
    """Make the base and write it into a folder."""
    tokenizer = make_tokenizer()
    save(tokenizer, make_model(tokenizer), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
