"""Ask a judge at a server for verdicts, each on disk before the next step, and none paid for twice."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm  # type: ignore[import-untyped]

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError, printable
from rabbit_ko.evaluation.endpoint import ENDED, Ask, Endpoint, Refused, Reply, ask_for_each
from rabbit_ko.evaluation.journal import append, records
from rabbit_ko.evaluation.judge.manner import TEMPERATURE as TEMPERATURE
from rabbit_ko.evaluation.judge.manner import Manner, is_whole
from rabbit_ko.evaluation.judge.verdicts import Language, Mode, read_verdict

# A verdict that cannot be read is asked for again, so often in all.
ATTEMPTS = 3
# Characters a token, of Korean in the tokenizers of Llama 3 (1.48 in conversations, 1.51 in articles) and of Qwen 3
# (1.36 and 1.35), measured on ChatbotData and KoBEST. English has three times as many.
CHARACTERS_PER_TOKEN = 1.4
# What stands for a verdict that is not there yet, in characters.
VERDICT = 200
# So many refusals in a row, or verdicts that cannot be read, are of the judge and not of what it is asked: four times
# as often as the same is asked for.
IN_A_ROW = 12
# Of one of them, in characters.
SHOWN = 80


@dataclass(frozen=True)
class Work:
    """What is still to be asked of a server: so many requests, of about so many tokens, read and written."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.requests + other.requests, self.tokens + other.tokens)


class Request(NamedTuple):
    """A verdict that is wanted. key: of all that decides it; those with the same are sent once.

    about: what a journal says of it besides. messages: what the judge is asked, at first (False) and again (True).
    language: of its rubric.
    """

    key: str
    about: Mapping[str, Any]
    messages: Callable[[bool], Messages]
    language: Language = "ko"

    @property
    def judged(self) -> str:
        """What the judge reads of others: what the user says up to the last mark, behind which the rubric ends."""
        said = "\n".join(turn["content"] for turn in self.messages(False) if turn["role"] == "user")
        return said.rpartition("\n</")[0] or said


class Statement(NamedTuple):
    """What the judge said to one request, or why the server refused it.

    ended: whether the judge ended it. finish: why it ends, in the server's word.
    """

    score: float | None
    text: str
    ended: bool = False
    refused: bool = False
    finish: str = ""


Replies = dict[str, list[Statement]]


class Heard(NamedTuple):
    """All that a judge has said to its requests, and how many were sent for it now, those that failed among them."""

    replies: Replies
    sent: int


def known_replies(mode: Mode, requests: Iterable[Request], journal: Path, lowest: float = 1.0) -> Replies:
    """Return the replies in a journal; what was paid for is read anew, should more be read now than it was then.

    What a server has refused it may take in another run. requests: those that are wanted, by which their replies are
    read; others may be there, too. lowest: the lowest score that there is.
    """
    replies, wanted = defaultdict[str, list[Statement]](list), {request.key: request for request in requests}
    for record in records(journal, key=str, text=str, ended=bool, refused=bool):
        if not record["refused"]:
            request = wanted.get(record["key"])
            said = record["text"], record["ended"], str(record.get("finish", ""))
            replies[record["key"]].append(_read(mode, lowest, request.judged if request else "", *said))
    return replies


def still_missing(requests: Iterable[Request], replies: Replies) -> list[Request]:
    """Return the requests that have no verdict yet, and may be sent, once each."""
    wanted = {request.key: request for request in requests}
    return [request for key, request in wanted.items() if not _is_settled(replies[key])]


def work_of(missing: Sequence[Request]) -> Work:
    """Return what these requests come to, each read at the first attempt."""
    characters = VERDICT * len(missing)
    characters += sum(len(message["content"]) for request in missing for message in request.messages(False))
    return Work(len(missing), round(characters / CHARACTERS_PER_TOKEN))


def settings_for(verdicts: int) -> dict[str, Any]:
    """Return what is sent with each request where so many verdicts on the same are wanted."""
    return {"temperature": TEMPERATURE if verdicts > 1 else 0.0}


def verdict_of(replies: Sequence[Statement]) -> Statement:
    """Return the first reply that can be read, or the last one."""
    return next((reply for reply in replies if reply.score is not None), replies[-1])


def ask_all(
    mode: Mode,
    judge: Endpoint,
    requests: Sequence[Request],
    journal: Path,
    settings: dict[str, Any],
    most: int | None = None,
    lowest: float = 1.0,
    manner: Manner | None = None,
) -> Heard:
    """Have a judge answer requests, but those whose verdict is in the journal; return all replies by their keys.

    most: requests that may be sent. lowest: the lowest score that there is. manner: what is known of the judge's
    server, and what is learnt of it. Raises UserError where the server fails,
    refuses everything or needs more, and where nothing that the judge says can be read.
    """
    replies = known_replies(mode, requests, journal, lowest)
    missing, total = still_missing(requests, replies), len({request.key for request in requests})
    if most is not None and len(missing) > most:
        said = f"MAX_REQUESTS: {len(missing):,} verdicts are missing, and {most:,} requests may be sent"
        raise UserError(f"{said}; raise it, or ask for fewer")
    notes = _Notes(journal, judge.model, replies)
    manner = replace(manner) if manner else Manner(mode, settings)
    with tqdm(desc="judged", initial=total - len(missing), total=total, disable=None) as progress:

        async def work(ask: Ask, request: Request) -> None:
            while not _is_settled(before := notes.replies[request.key]):
                try:
                    asked = request.messages(bool(before))
                    said = await manner.ask(ask, asked, request.language, len(before))
                    reply = _read(mode, lowest, request.judged, _words(said), is_whole(said), said.finish)
                except Refused as refused:
                    reply = Statement(None, str(refused), refused=True)
                notes.take(request, reply)
            progress.update()

        sent = ask_for_each(judge, missing, work, most)
    notes.end({request.key for request in requests})
    return Heard(replies, sent)


@dataclass(frozen=True)
class _Notes:
    """What a journal holds of a judge's replies. refused, unreadable: replies in a row that are so."""

    journal: Path
    judge: str
    replies: Replies
    refused: list[Statement] = field(default_factory=list)
    unreadable: list[Statement] = field(default_factory=list)

    def take(self, request: Request, reply: Statement) -> None:
        """Take a reply, which is on disk when this returns; a refusal is for this run. Raises UserError."""
        self.replies[request.key].append(reply)
        if reply.refused:
            self.refused.append(reply)
            if len(self.refused) >= IN_A_ROW:
                raise UserError(f"{reply.text}; so it was {IN_A_ROW} times in a row, and no verdict could be had")
            return
        append(self.journal, {"key": request.key, **request.about, **reply._asdict(), "judge": self.judge})
        self.refused.clear()
        self.unreadable.append(reply)
        if reply.score is not None:
            self.unreadable.clear()
        if len(self.unreadable) >= IN_A_ROW:
            raise self._unreadable(f"none of {IN_A_ROW} verdicts in a row", reply)

    def end(self, keys: Iterable[str]) -> None:
        """Raise UserError where all that was asked now is refused, or nothing that was ever said can be read."""
        said = [reply for key in keys for reply in self.replies[key]]
        if said and all(reply.refused for reply in said):
            raise UserError(f"{said[0].text}; no verdict could be had")
        heard = [reply for reply in said if not reply.refused]
        if heard and all(reply.score is None for some in self.replies.values() for reply in some):
            raise self._unreadable(f"none of its {len(heard)} verdicts", heard[-1])

    def _unreadable(self, what: str, last: Statement) -> UserError:
        """Return the error that nothing can be read, with the last reply for an example."""
        said = printable(" ".join(last.text.split())[-SHOWN:])
        how = f"{_end_of(last)} `{said}`"
        advice = f"take another judge; what it said is in {self.journal}, take that away to ask it again"
        return UserError(f"{self.judge}: {what} can be read; the last {how if said else 'is empty'}; {advice}")


def _end_of(reply: Statement) -> str:
    if reply.ended:
        return "ends with"
    if reply.finish in ENDED:
        return "is nothing but thoughts, at the end"
    if reply.finish:
        return f"was cut by the server (finish_reason {printable(reply.finish)[:SHOWN]}) at"
    return "comes without a finish_reason, so that it may be cut at"


def _read(mode: Mode, lowest: float, judged: str, text: str, ended: bool, finish: str) -> Statement:
    score = read_verdict(mode, text, lowest, judged) if ended else None
    return Statement(score, text, ended, finish=finish)


def _words(reply: Reply) -> str:
    """Return what a judge says; where that is nothing but thoughts, which its server gives apart, those as such."""
    return str(reply) or (f"<think>{reply.thoughts}" if reply.thoughts else "")


def _is_settled(replies: Sequence[Statement]) -> bool:
    return len(replies) >= ATTEMPTS or any(reply.refused or reply.score is not None for reply in replies)
