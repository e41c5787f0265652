"""Ask the latest stage of a recipe, and print the answer as it comes.

python -m rabbit_ko.evaluation.chat runs/smoke --prompt "피보나치 수열이 뭐야?"
python -m rabbit_ko.evaluation.chat runs/smoke
"""

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from prompt_strategies.template import Messages
from prompt_strategies.turns import without_oldest_exchange
from rabbit_ko.errors import reason
from rabbit_ko.evaluation.models import load


def latest_stage(run: Path) -> Path | None:
    """Return the folder of the last finished stage of a recipe, DPO before SFT."""
    return next((run / stage for stage in ("dpo", "sft") if (run / stage / "run.json").exists()), None)


def answer(
    model: Any, tokenizer: Any, messages: Messages, max_new_tokens: int, temperature: float
) -> tuple[str, bool]:
    """Stream an answer to standard output; return it, and whether the model ended it by itself.

    A temperature of 0 is greedy. A conversation that leaves no room for the answer loses its oldest exchanges.
    """
    from transformers import TextStreamer

    prompt = _encode(tokenizer, messages)
    while prompt["input_ids"].shape[1] + max_new_tokens > model.config.max_position_embeddings:
        if (shorter := without_oldest_exchange(messages)) is None:
            break
        messages, prompt = shorter, _encode(tokenizer, shorter)

    sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.9} if temperature else {"do_sample": False}
    output = model.generate(
        **prompt.to(model.device),
        **sampling,
        max_new_tokens=max_new_tokens,
        repetition_penalty=1.1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
    )
    ids = output[0, prompt["input_ids"].shape[1] :].tolist()
    return tokenizer.decode(ids, skip_special_tokens=True), ids[-1:] == [tokenizer.eos_token_id]


def _encode(tokenizer: Any, messages: Messages) -> Any:
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)


def chat(
    run: Annotated[Path, typer.Argument(metavar="RUNS/RECIPE", help="a recipe's folder under runs/")],
    prompt: Annotated[str, typer.Option(help="ask this and leave; without it, talk until Ctrl-D")] = "",
    system: Annotated[str, typer.Option(help="the instruction")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="the longest answer, in tokens")] = 512,
    temperature: Annotated[float, typer.Option(min=0, help="0 always takes the likeliest token")] = 0.7,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 0,
) -> None:
    """Ask the latest stage of a recipe."""
    stage = latest_stage(run)
    if stage is None:
        typer.echo(f"error: {run} holds no finished stage; run `make sft RECIPE={run.name}` first", err=True)
        raise typer.Exit(1)
    typer.echo(f"[{stage}]", err=True)
    # Optional kernels that are not installed here are no news to someone who wants to talk.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    try:
        _talk(
            stage,
            [{"role": "system", "content": system}] if system else [],
            prompt,
            max_new_tokens,
            temperature,
            seed,
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (OSError, ValueError) as error:
        typer.echo(f"error: {stage}: {reason(error)}", err=True)
        raise typer.Exit(1) from None


def _talk(stage: Path, messages: Messages, prompt: str, max_new_tokens: int, temperature: float, seed: int) -> None:
    from transformers import set_seed

    model, tokenizer = load(str(stage))
    set_seed(seed)
    while question := prompt or _read_question():
        messages = [*messages, {"role": "user", "content": question}]
        text, ended = answer(model, tokenizer, messages, max_new_tokens, temperature)
        if not ended:
            typer.echo(f"[cut after {max_new_tokens} tokens]", err=True)
        messages = [*messages, {"role": "assistant", "content": text}]
        if prompt:
            return


def _read_question() -> str:
    """Return the next line that is not blank, or nothing at the end of the input."""
    try:
        while not (line := input("> " if sys.stdin.isatty() else "").strip()):
            pass
    except (EOFError, KeyboardInterrupt):
        return ""
    return line


if __name__ == "__main__":
    typer.run(chat)
