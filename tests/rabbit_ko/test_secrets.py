"""Secrets are hidden wherever they come back from, in part as well; what is none stays."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.secrets import PIECE, check_no_secret, hide, known_secrets, redact, remember, remember_url
from rabbit_ko.terminal import say
from rabbit_ko.training.process import run_logged
from tests.soon import soon

KEYS = ("hf_aSecretThatNobodyMayRead", "sk-0123456789abcdef", "a/b+c==" * 30)
pytestmark = pytest.mark.hostile


@pytest.mark.parametrize("key", KEYS)
def test_a_key_without_four_of_its_characters_is_hidden(key: str) -> None:
    for at in range(len(key) - 4):
        for shown in (key[:at] + key[at + 4 :], f"{key[:at]}****{key[at + 4 :]}"):
            pieces = [piece for piece in (shown[:at], shown[at:].lstrip("*")) if len(piece) >= PIECE]
            hidden = hide(f"bad key: {shown}!", [key])
            assert not any(piece in hidden for piece in pieces)
            assert hidden.startswith("bad key: ")


def test_a_masked_echo_that_shows_less_than_half_stays_and_so_does_what_is_alike() -> None:
    key = "sk-0123456789abcdefghij"
    for text in ("sk-01***", "0123", "sk-other", "https://api.example/v1", ""):
        assert hide(text, [key]) == text


def test_two_secrets_that_share_a_part_are_both_hidden() -> None:
    secrets = ["shared-0123456789-first", "0123456789"]
    assert hide(f"{secrets[0]}, {secrets[1]}.", secrets) == "***, ***."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:SECRET@host/a.jsonl: refused", "https://***@host/a.jsonl: refused"),
        ("https://SECRET@host/a", "https://***@host/a"),
        ("s3://key:sec/ret@bucket/x", "s3://***@bucket/x"),
        ("https://user:p@ss@host/x", "https://***@host/x"),
        ("https://host/a?token=SECRET: 401", "https://host/a?***: 401"),
        ("'https://host/a?X-Sig=a%2Fb&y=1', and", "'https://host/a?***', and"),
        ("http://127.0.0.1:8000/v1, judge: said", "http://127.0.0.1:8000/v1, judge: said"),
        ("hf://datasets/org/name@main/a.parquet", "hf://datasets/org/name@main/a.parquet"),
        ("https://hub.example/a@b and me@host", "https://hub.example/a@b and me@host"),
        ("무엇? a=b", "무엇? a=b"),
    ],
)
def test_logins_and_queries_of_urls_are_hidden_and_places_stay(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_what_was_given_in_a_url_or_under_a_secrets_name_is_known_from_then_on() -> None:
    remember_url("s3://AKIA0000:pass%2Fword-1@bucket/x?sig=0123456789abc")
    remember(
        {"hub_token": "yaml-0123456789", "special": {"pad_token": "<|pad|>"}, "list": [{"api_key": "listed-key"}]}
    )
    said = ["pass/word-1", "pass%2Fword-1", "0123456789abc", "yaml-0123456789", "<|pad|>", "listed-key"]
    assert list(map(hide, said)) == ["***", "***", "***", "***", "<|pad|>", "***"]


NAMED = (
    *("secretAccessKey", "clientSecret", "AccountKey", "api-key", "X-Api-Key", "Authorization", "passphrase"),
    *("HF_TOKEN", "hub_token", "token2", "connection_string", "hf_token_read", "cookie", "DB_PASS", "password"),
)


@pytest.mark.parametrize("name", NAMED)
def test_keys_that_are_named_like_secrets_are_not_recorded_and_not_taken_in_a_config(name: str) -> None:
    assert redact({name: "0123456789", "kept": {name: "0123456789"}}) == {"kept": {}}
    with pytest.raises(UserError, match=f"{name}: a secret, and a run writes its config into files; set"):
        check_no_secret({name: "0123456789"})


def test_what_is_no_secret_is_recorded_and_taken() -> None:
    tokens = {"pad_token": "PAD", "eos_token": "</s>", "bos_token_id": 1}
    config = {
        "special_tokens": tokens,
        "hf_use_auth_token": True,
        "max_new_tokens": 5,
        "tokenizer_type": "x",
    }
    assert redact(config) == config
    check_no_secret(config | {"base_model": "https://host/a?download=1"})


@pytest.mark.parametrize(
    "value", ["https://me:word@host", ["s3://key:sec/ret@bucket"], {"x": "https://h/?token=abcdefgh"}]
)
def test_a_config_with_a_login_in_a_url_is_not_taken(value: Any) -> None:
    with pytest.raises(UserError, match="uri: a URL with a login, and a run writes its config into files"):
        check_no_secret({"uri": value})


def test_a_config_with_a_secret_of_the_environment_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEYS[0])
    with pytest.raises(UserError, match="note: has a secret of the environment in it") as raised:
        check_no_secret({"note": [f"mine is {KEYS[0]}"]})
    assert KEYS[0] not in str(raised.value)


def test_what_is_recorded_depends_on_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "smoke-pw")
    monkeypatch.setenv("SORT_KEY", "koalpaca")
    remember_url("http://host/data.jsonl?file=koalpaca.jsonl&v=openorca")
    config = {"path": "samples/koalpaca.jsonl", "base_model": "runs/smoke-pw/base", "source": "openorca"}
    assert redact(config) == config
    assert hide("openorca: koalpaca.json") == "openorca: ***.json"


def test_a_variable_that_says_where_a_secret_is_hides_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", str(tmp_path / "no-such-file"))
    assert str(tmp_path) not in known_secrets()
    assert str(tmp_path / "no-such-file") in known_secrets()


def test_hiding_takes_time_in_proportion_to_the_text() -> None:
    key, size = "sk-0123456789abcdef", 1 << 20
    texts = [f"{key}://?@" * (size // 25), "://" * (size // 3), "a@" * (size // 2), "?" * size]
    with soon(10):
        list(map(partial(hide, secrets=[key]), texts))


def test_neither_the_log_of_a_process_nor_what_is_said_of_it_has_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEYS[0])
    said = f"[x] [INFO] [axolotl.guard] key {KEYS[0]}"
    command = [sys.executable, "-c", f"print({said!r}); raise ValueError({KEYS[0][:-4]!r})"]
    with pytest.raises(UserError) as raised:
        run_logged(command, tmp_path / "log.txt", "training")
    say(raised.value)
    everything = capsys.readouterr().out + (tmp_path / "log.txt").read_text()
    assert "key ***" in everything
    assert KEYS[0][:12] not in everything
