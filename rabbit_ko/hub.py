"""The hub: the commit that a name stands for, and a push in one commit, tried again until it is there."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from typing import Literal

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import (
    disable_progress_bars,
    parse_ratelimit_headers,
    set_client_factory,
    validate_repo_id,
)
from huggingface_hub.utils._http import default_client_factory
from huggingface_hub.utils.logging import set_verbosity_error

from rabbit_ko.errors import UserError, reason
from rabbit_ko.hashing import listing_digest
from rabbit_ko.methods import ROW_KINDS
from rabbit_ko.recipes import RUNS
from rabbit_ko.secrets import hide
from rabbit_ko.web import ACCEPTED, ANSWER_BYTES, CONNECT_SECONDS, PASSING, QUIET_SECONDS, TooSlow, bound_answer

WAITS = (1.0, 5.0, 25.0)
_ADVICE = {
    401: "run `hf auth login`, or set HF_TOKEN to a token that may write",
    403: "check the name, and that the token may write there",
    404: "check the name",
    412: "it changed during the push; push again",
}
# What an earlier push left and this one does not bring goes.
_REPLACED = {
    "dataset": re.compile(rf"({'|'.join(ROW_KINDS)})/.*\.parquet"),
    "model": re.compile(r"[^/]*\.safetensors(\.index\.json)?|adapter_config\.json"),
}

# The names of all files of a large repo are one answer; a commit may take the hub minutes.
HUB_ANSWER_BYTES = 4 * ANSWER_BYTES
COMMIT_SECONDS = 300.0
# The hub counts requests in windows of five minutes.
LONGEST_WAIT = 310.0
# Larger than a page or a license is.
SMALL_BYTES = 1_000_000

Files = dict[str, Path | bytes]
RepoType = Literal["dataset", "model"]


def _bounded_client() -> httpx.Client:
    client: httpx.Client = default_client_factory()
    client.headers.update(ACCEPTED)
    client.event_hooks["request"].append(_limit_time)
    client.event_hooks["response"].append(_limit_size)
    return client


def _limit_time(request: httpx.Request) -> None:
    read = QUIET_SECONDS if request.method in ("GET", "HEAD") else COMMIT_SECONDS
    limits = {"connect": CONNECT_SECONDS, "read": read, "write": QUIET_SECONDS, "pool": QUIET_SECONDS}
    given = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {what: given.get(what) or limit for what, limit in limits.items()}


def _limit_size(response: httpx.Response) -> None:
    limit = parse_ratelimit_headers(response.headers) if response.status_code == 429 else None
    if limit and limit.reset_in_seconds > LONGEST_WAIT:
        raise TooSlow(f"the hub asks to wait {limit.reset_in_seconds:,} s")
    is_api = "/api/" in response.request.url.path
    bound_answer(response, HUB_ANSWER_BYTES if is_api else constants.MAX_HTTP_DOWNLOAD_SIZE)


def commit(repo: str, files: Files, message: str, public: bool, repo_type: RepoType = "dataset") -> str:
    """Put files into the hub's `org/name` in one commit, without shards or weights of earlier ones; return its URL.

    The repo is made where there is none. What passes (429, 5xx, a dropped connection) is tried again.
    Raises UserError where the repo exists with the other visibility, and where the hub refuses or cannot be reached:
    then nothing is committed.
    """
    _check_name(repo)
    # At lower levels it logs the addresses of uploads, which are signed.
    set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        return _retry(partial(_commit, repo, files, message, public, repo_type))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{repo}: {hide(_explain(error))}") from None


def hub_commit(repo: str, kind: str, revision: str | None) -> str:
    """Return the commit of a hub repo, from the hub or from the local cache; empty where neither knows it."""
    try:
        return str(HfApi().repo_info(repo, repo_type=kind, revision=revision).sha)
    except Exception:  # the network's, the hub's or a bad name's: what is read then comes from the local cache
        cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type=kind)
        branch = cached / "refs" / (revision or "main")
        return branch.read_text(encoding="utf-8") if branch.is_file() else revision or ""


def hub_digest(repo: str, kind: str, revision: str | None, patterns: Sequence[str]) -> str:
    """Return a digest of a hub repo's files that match, by what the hub says of them; empty where it says nothing.

    A commit would not do: it is another one with each change of a README.
    """
    try:
        files = HfApi().repo_info(repo, repo_type=kind, revision=revision, files_metadata=True).siblings
    except Exception:  # the network's, the hub's or a bad name's
        return ""
    names = [pattern.replace("**/", "") for pattern in patterns]
    found = [file for file in files or [] if any(map(partial(fnmatchcase, file.rfilename), names))]
    found = [file for file in found if file.rfilename not in (".gitattributes", "README.md")]
    return listing_digest(sorted((file.rfilename, file.lfs.sha256 if file.lfs else file.blob_id) for file in found))


def hub_files(repo: str, names: re.Pattern[str]) -> dict[str, Path]:
    """Return a hub model's small files whose names match, from the hub or the local cache; those that can be had."""
    disable_progress_bars("huggingface_hub.http_get")
    try:
        listed = HfApi().model_info(repo, files_metadata=True).siblings or []
        known = [file.rfilename for file in listed if (file.size or 0) <= SMALL_BYTES]
    except Exception:  # the network's, the hub's or a bad name's
        cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
        known = [file.name for file in (cached / "snapshots" / hub_commit(repo, "model", None)).glob("*")]
    found = {}
    for name in filter(names.fullmatch, known):
        with suppress(Exception):
            found[name] = Path(hf_hub_download(repo, name))
    return found


def hub_id(name: str) -> str | None:
    """Return a name that may be one on the hub; None for a place on this machine, made or yet to be made."""
    if Path(name).exists() or Path(name).is_relative_to(RUNS):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def _check_name(repo: str) -> None:
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"{repo}: not a name on the hub: {reason(error)}; say org/name") from None
    if "/" not in repo:
        raise UserError(f"{repo}: whose? say org/name")


def _commit(repo: str, files: Files, message: str, public: bool, repo_type: RepoType) -> str:
    """Make one attempt; it asks what is there first, so that it can follow one whose answer was lost."""
    api = HfApi()
    api.create_repo(repo, repo_type=repo_type, private=not public, exist_ok=True)
    info = api.repo_info(repo, repo_type=repo_type)
    if info.private and public:
        raise UserError(
            f"{repo}: is private; push without PUBLIC, or make it public in its settings on the hub first"
        )
    if not info.private and not public:
        raise UserError(f"{repo}: is public; say PUBLIC=1 if all may read this, or push to another name")
    there = [file.rfilename for file in info.siblings]
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    old = [name for name in there if _REPLACED[repo_type].fullmatch(name) and name not in files]
    operations += [CommitOperationDelete(name) for name in old]
    made = api.create_commit(repo, operations, commit_message=message, repo_type=repo_type, parent_commit=info.sha)
    return str(made.commit_url)


def _retry(step: Callable[[], str]) -> str:
    """Repeat what `huggingface_hub` does not: it tries uploads again, but not the commit, nor what comes before."""
    for wait in WAITS:
        try:
            return step()
        except Exception as error:
            cause = _cause(error)
            if not _passes(cause):
                raise
        time.sleep(max(wait, _asked_wait(cause)))
    return step()


def _cause(error: Exception) -> BaseException:
    """Return what stopped an upload, which `huggingface_hub` wraps in a RuntimeError."""
    return error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error


def _passes(error: BaseException) -> bool:
    """Tell whether it may go by itself; an answer that is no JSON is an error page, and hf_xet has no other error."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    if isinstance(error, RecursionError):
        return False
    is_sent = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.LocalProtocolError)
    return is_sent or isinstance(error, (JSONDecodeError, RuntimeError))


def _asked_wait(error: BaseException) -> float:
    """Return the seconds after which the hub's limit on requests lets the next one through."""
    if not isinstance(error, HfHubHTTPError) or error.response.status_code != 429:
        return 0.0
    limit = parse_ratelimit_headers(error.response.headers)
    return limit.reset_in_seconds + 1.0 if limit else 0.0


def _explain(error: Exception) -> str:
    cause = _cause(error)
    if isinstance(cause, HfHubHTTPError):
        status = cause.response.status_code
        said = hide(" ".join((cause.server_message or "").split()))[:200]
        return f"the hub answers {status}{said and f', {said}'}; {_ADVICE.get(status, 'push again later')}"
    if isinstance(cause, (httpx.LocalProtocolError, UnicodeError)):
        return "the token cannot be sent as it is; run `hf auth login`, or set HF_TOKEN"
    return f"the push broke off: {reason(cause)}; check the network and push again"


# All of this process that asks the hub hangs up where it says nothing, or no end comes.
set_client_factory(_bounded_client)
