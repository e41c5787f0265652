"""An OpenAI-compatible server as a door; vLLM and llama.cpp tell more of what they read."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm  # type: ignore[import-untyped]

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, Reply, ask_for_each, find_endpoint
from rabbit_ko.parity.answers import TOP, Answered, Token
from rabbit_ko.web import BoundedClient

# What servers are asked for beside the answer, less and less where one refuses: probabilities, and tokens by id.
_PROBABILITIES = {"logprobs": True, "top_logprobs": TOP}
_VLLM = {"return_token_ids": True, "return_tokens_as_token_ids": True, "return_prompt_text": True}
_LLAMA_CPP = {"return_tokens": True, "verbose": True}
ASKED: tuple[dict[str, Any], ...] = ({**_PROBABILITIES, "extra_body": {**_VLLM, **_LLAMA_CPP}}, _PROBABILITIES, {})
TOKEN_ID = "token_id:"
# Seconds, for an answer.
TIMEOUT = 600.0


@dataclass(frozen=True)
class ServerDoor:
    """A server that has a stage's model. quant: how its weights are stored there."""

    name: str
    endpoint: Endpoint
    quant: str
    files: Sequence[Path] = ()

    def answer(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[Answered]:
        """Ask for each answer with temperature 0. Raises UserError where the server is none, or refuses."""
        wanted = self._understood(conversations[0])
        replies: dict[int, Reply] = {}

        async def work(ask: Ask, place: int) -> None:
            try:
                replies[place] = await _ask(ask, conversations[place], max_new_tokens, wanted)
                progress.update()
            except Refused as refused:
                raise UserError(f"{refused}; it was asked: {conversations[place][-1]['content'][:60]!r}") from None

        with tqdm(desc=self.name, total=len(conversations), disable=None) as progress:
            ask_for_each(self.endpoint, range(len(conversations)), work)
        answers = [_answered(replies[place]) for place in range(len(conversations))]
        prompts = asyncio.run(self._prompts(conversations))
        return [
            replace(found, prompt=_prompt(found.prompt, prompt), prompt_ids=found.prompt_ids or ids)
            for found, (prompt, ids) in zip(answers, prompts, strict=True)
        ]

    def _understood(self, messages: Messages) -> Mapping[str, Any]:
        """Return the most of what servers are asked for that this one takes."""
        found: list[Mapping[str, Any]] = []

        async def work(ask: Ask, settings: Mapping[str, Any]) -> None:
            try:
                if not found:
                    await _ask(ask, messages, 1, settings)
                    found.append(settings)
            except Refused:
                if settings is ASKED[-1]:
                    raise

        try:
            ask_for_each(replace(self.endpoint, concurrency=1), ASKED, work)
        except Refused as refused:
            raise UserError(str(refused)) from None
        return found[0]

    async def _prompts(self, conversations: Sequence[Messages]) -> list[tuple[str | None, tuple[int, ...] | None]]:
        """Return the prompts and their ids as llama.cpp tells them, by routes of its own; of other servers, none."""
        root, headers = self.endpoint.url.rstrip("/").removesuffix("/v1"), self.endpoint.headers
        found: list[tuple[str | None, tuple[int, ...] | None]] = [(None, None)] * len(conversations)
        async with BoundedClient(self.endpoint.timeout) as client:
            for place, messages in enumerate(conversations):
                text = await _post(
                    client, f"{root}/apply-template", self.endpoint.headers, {"messages": list(messages)}
                )
                if not isinstance(prompt := text.get("prompt"), str):
                    break
                given = {"content": prompt, "add_special": True, "parse_special": True}
                ids = (await _post(client, f"{root}/tokenize", headers, given)).get("tokens")
                found[place] = prompt, tuple(ids) if isinstance(ids, list) else None
        return found


def find_server(url: str, model: str) -> Endpoint:
    """Return a server by its URL, with the only model that it has where none is named.

    Raises UnknownName for a URL that is no server's, and UserError.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise UnknownName(f"AGAINST={url}: not the URL of a server; say http://HOST:PORT/v1")
    server = find_endpoint("MODEL", url, model, 1, TIMEOUT, option="AGAINST", advice="")
    return server if model else replace(server, model=only_model(server))


def only_model(endpoint: Endpoint) -> str:
    """Return the name of the one model that a server lists. Raises UserError where it lists none, or several."""
    url = f"{endpoint.url.rstrip('/')}/models"

    async def names() -> tuple[int, Any]:
        async with BoundedClient(endpoint.timeout) as client:
            answer = await client.get(url, headers=endpoint.headers)
            return answer.status_code, answer.json() if answer.status_code == 200 else None

    try:
        status, listed = asyncio.run(names())
        if status != 200:
            advice = f"say which model with MODEL_NAME, or check {endpoint.option} and MODEL_API_KEY"
            raise endpoint.failure(f"answers {status} to {url}; {advice}")
        found = [str(model["id"]) for model in listed["data"]]
    except httpx.RequestError:
        raise endpoint.failure() from None
    except (ValueError, LookupError, TypeError):
        raise UserError(f"{url}: does not list its models; say which with MODEL_NAME") from None
    if len(found) != 1:
        raise UserError(
            f"{url}: lists {len(found)} models{': ' if found else ''}{', '.join(found[:8])}; say MODEL_NAME"
        )
    return found[0]


def _prompt(read: str | None, rendered: str | None) -> str | None:
    """Return the prompt that a server has rendered, unless it says that it has read another one.

    llama.cpp makes that from its tokens, without some of the spaces.
    """
    if read is None or rendered is None:
        return read or rendered
    return rendered if "".join(read.split()).endswith("".join(rendered.split())) else read


async def _ask(ask: Ask, messages: Messages, most: int, wanted: Mapping[str, Any]) -> Reply:
    return await ask(list(messages), temperature=0, max_tokens=most, seed=0, **wanted)


async def _post(client: httpx.AsyncClient, url: str, headers: dict[str, str], given: Any) -> dict[str, Any]:
    try:
        answer = await client.post(url, json=given, headers=headers)
        said = answer.json() if answer.status_code == 200 else {}
    except (httpx.RequestError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _answered(reply: Reply) -> Answered:
    completion = reply.completion
    extra, choice, usage = completion.model_extra or {}, completion.choices[0], completion.usage
    ids, verbose = extra.get("prompt_token_ids"), extra.get("__verbose") or {}
    told = _tokens(getattr(choice.logprobs, "content", None) or ())
    return Answered(
        text=str(reply),
        ended=reply.ended,
        tokens=_complete(told, verbose.get("tokens"), getattr(usage, "completion_tokens", None)),
        prompt=verbose.get("prompt") or extra.get("prompt_text"),
        prompt_ids=tuple(ids) if isinstance(ids, list) else None,
        prompt_tokens=getattr(usage, "prompt_tokens", None),
    )


def _tokens(content: Any) -> list[Token] | None:
    """Return the tokens of an answer as they are told; None where they are not told by their ids."""
    found = []
    for item in content:
        if (token := _id(item)) is None:
            return None
        likeliest = [(_id(other), float(other.logprob)) for other in item.top_logprobs or ()]
        top = tuple((other, logprob) for other, logprob in likeliest if other is not None)
        found.append(Token(token, float(item.logprob), top))
    return found


def _complete(told: list[Token] | None, ids: Any, count: int | None) -> tuple[Token, ...] | None:
    """Return all tokens of an answer; None where not all are told.

    llama.cpp tells no probabilities of a token that leaves a character open, so that its list is shorter than that of
    ids. Where equal ids stand side by side, it can be of either, and then it is of none.
    """
    if not isinstance(ids, list):
        return tuple(told) if told and len(told) == (count or len(told)) else None
    tokens = [Token(token, None) for token in ids]
    from_left = _places(ids, [token.id for token in told or ()])
    from_right = [len(ids) - 1 - at for at in _places(ids[::-1], [token.id for token in reversed(told or [])])][::-1]
    for at, other, token in zip(from_left, from_right, told or (), strict=False):
        if at == other:
            tokens[at] = token
    return tuple(tokens)


def _places(ids: Sequence[int], some: Sequence[int]) -> list[int]:
    """Return the first places at which some ids stand among all, in their order."""
    rest = enumerate(ids)
    return [at for wanted in some for at in [next((at for at, token in rest if token == wanted), len(ids))]]


def _id(item: Any) -> int | None:
    told = (item.model_extra or {}).get("id")
    if isinstance(told, int):
        return told
    number = str(item.token).removeprefix(TOKEN_ID)
    return int(number) if number != item.token and number.isdecimal() else None
