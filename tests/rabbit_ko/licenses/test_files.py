"""What a base's license wants beside a model goes along, and nothing else of its folder."""

import json
from pathlib import Path

import pytest

from rabbit_ko.evaluation.stages import fingerprint
from rabbit_ko.hub import SMALL_BYTES
from rabbit_ko.licenses.files import carried_files, carry
from rabbit_ko.licenses.known import LICENSES
from rabbit_ko.run_record import check_run, describe_files

TEXT = "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\n"
NOTICE = LICENSES["llama3.2"].notice
RUN = Path("runs/mine/sft")


@pytest.fixture
def base(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base on this machine that came from the hub, and a run on it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    base = Path("base")
    base.mkdir()
    for name in (
        "LICENSE.txt",
        "USE_POLICY.md",
        "config.json",
        "LICENSE.safetensors",
        "LICENSE.py",
        "NOTICES",
        ".env",
    ):
        (base / name).write_text(TEXT if name == "LICENSE.txt" else f"{name}\n")
    put_run("base")
    return base


def put_run(base: str) -> None:
    """Write a run on a base."""
    (RUN / "merged").mkdir(parents=True, exist_ok=True)
    for folder in (RUN, RUN / "merged"):
        (folder / "model.safetensors").write_text("weights")
    (RUN / "run.json").write_text(json.dumps({"config": {"base_model": base}}))


def test_text_policy_and_notice_go_along(base: Path) -> None:
    carried = carried_files(RUN)
    assert sorted(carried.files) == ["LICENSE.txt", "NOTICE", "USE_POLICY.md"]
    assert carried.files["LICENSE.txt"] == TEXT.encode()
    lines = carried.files["NOTICE"].decode().splitlines()
    assert lines == [NOTICE, "", "The weights of the base were changed: it was trained further. README.md says how."]
    assert not carried.missing


def test_a_notice_of_the_base_stays_and_one_that_says_it_already_is_all(base: Path) -> None:
    (base / "NOTICE").write_text("Of others.\n")
    content = carried_files(RUN).files["NOTICE"].decode()
    assert content.startswith(f"{NOTICE}\n")
    assert content.endswith("Of others.\n")
    (base / "NOTICE").write_text(f"{NOTICE}\n")
    assert carried_files(RUN).files["NOTICE"].decode() == f"{NOTICE}\n"


def test_what_a_run_of_a_run_carries_is_of_the_first_base(base: Path) -> None:
    dpo = Path("runs/mine/dpo")
    dpo.mkdir()
    (dpo / "run.json").write_text(json.dumps({"config": {"base_model": f"{RUN}/merged"}}))
    assert carried_files(dpo) == carried_files(RUN)


def test_a_text_that_was_not_found_is_told_and_one_in_the_run_is_taken(base: Path) -> None:
    put_run("beomi/Llama-3-Open-Ko-8B")
    carried = carried_files(RUN)
    assert list(carried.files) == ["NOTICE"]
    assert carried.missing == [
        "beomi/Llama-3-Open-Ko-8B: its license has to go along, and no file of it was found; save it as "
        "runs/mine/sft/LICENSE: Meta Llama 3 Community License Agreement https://www.llama.com/llama3/license/"
    ]
    assert carried.hints == [
        "beomi/Llama-3-Open-Ko-8B: no file of its use policy was found; save "
        "https://llama.meta.com/llama3/use-policy as runs/mine/sft/USE_POLICY.md"
    ]
    (RUN / "LICENSE").write_text("META LLAMA 3 COMMUNITY LICENSE AGREEMENT\n")
    (RUN / "USE_POLICY.md").write_text("Meta Llama 3 Acceptable Use Policy\n")
    carried = carried_files(RUN)
    assert (carried.files["LICENSE"][:12], carried.missing, carried.hints) == (b"META LLAMA 3", [], [])
    assert carry(RUN, RUN / "merged") == []


def test_the_text_of_another_license_is_none_of_this_one(base: Path) -> None:
    (base / "README.md").write_text("---\nlicense: llama3.1\n---\n")
    (base / "LICENSE.txt").unlink()
    (base / "LICENSE").write_text("MIT License\n\nCopyright (c) 2026 somebody\n")
    [line] = carried_files(RUN).missing
    assert "save it as runs/mine/sft/LICENSE-llama3_1: Llama 3.1 Community License Agreement https://" in line
    assert carry(RUN, RUN / "merged") == [line]
    (RUN / "LICENSE-llama3_1").write_text("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\n")
    carried = carried_files(RUN)
    assert (carried.missing, sorted(carried.files)) == (
        [],
        ["LICENSE", "LICENSE-llama3_1", "NOTICE", "USE_POLICY.md"],
    )


@pytest.mark.parametrize(
    ("license", "text"),
    [
        ("mit", "Copyright (c) 2026 somebody\n\nPermission is hereby granted\n"),
        ("cc-by-nc-4.0", "Creative Commons Attribution-NonCommercial 4.0 International\n"),
        ("our-own", "What we say.\n"),
    ],
)
def test_a_text_without_a_known_title_may_be_that_of_such_a_license(base: Path, license: str, text: str) -> None:
    (base / "README.md").write_text(f"---\nlicense: {license}\n---\n")
    (base / "LICENSE.txt").write_text(text)
    carried = carried_files(RUN)
    assert (carried.missing, carried.hints) == ([], [])
    (base / "LICENSE.txt").write_text("Gemma Terms of Use\n")
    assert len([line for line in carried_files(RUN).hints if "its license has to go along" in line]) == 1


@pytest.mark.hostile
def test_no_path_of_this_machine_is_in_what_goes_along(base: Path) -> None:
    put_run(str(base.absolute()))
    assert carry(RUN, RUN / "merged") == []
    assert str(base.absolute().parent) not in (RUN / "merged/NOTICE").read_text()
    assert not [it for it in carried_files(RUN).files.values() if str(base.absolute().parent).encode() in it]


def test_the_notice_names_a_base_of_the_hub(base: Path) -> None:
    put_run("beomi/Llama-3-Open-Ko-8B")
    assert b"The weights of beomi/Llama-3-Open-Ko-8B were changed" in carried_files(RUN).files["NOTICE"]


def test_a_base_of_the_recipes_own_brings_nothing(base: Path) -> None:
    Path("runs/mine/base").mkdir()
    Path("axolotl_configs/mine").mkdir(parents=True)
    Path("axolotl_configs/mine/make_base_model.py").touch()
    (Path("runs/mine/base") / "LICENSE").write_text(TEXT)
    put_run("runs/mine/base")
    assert carried_files(RUN).files == {}
    assert carried_files(RUN).missing == []


def test_files_beside_a_model_make_it_no_other(base: Path) -> None:
    files = {name: it.model_dump() for name, it in describe_files(RUN).items()}
    (RUN / "run.json").write_text(json.dumps({"config": {"base_model": "base"}, "files": files}))
    before = [fingerprint(str(folder)) for folder in (RUN, RUN / "merged")]
    for folder in (RUN, RUN / "merged"):
        assert carry(RUN, folder) == []
        assert (folder / "NOTICE").read_text().startswith(NOTICE)
    assert [fingerprint(str(folder)) for folder in (RUN, RUN / "merged")] == before
    check_run(RUN)


@pytest.mark.hostile
def test_no_link_that_leads_elsewhere_nor_what_is_large_is_carried(base: Path) -> None:
    Path("secret").write_text("secret")
    (base / "LICENSE-SECRET").symlink_to(Path("secret").absolute())
    (base / "NOTICE.txt").write_bytes(bytes(SMALL_BYTES + 1))
    (base / "COPYING").mkdir()
    assert sorted(carried_files(RUN).files) == ["LICENSE.txt", "NOTICE", "USE_POLICY.md"]


def test_a_snapshot_of_the_hubs_cache_is_a_folder_of_links(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cache = Path("models--org--base")
    snapshot, blob = cache / "snapshots/0", cache / "blobs/1"
    for folder in (snapshot, blob.parent):
        folder.mkdir(parents=True)
    blob.write_text(TEXT)
    (snapshot / "LICENSE.txt").symlink_to("../../blobs/1")
    put_run(str(snapshot))
    assert carried_files(RUN).files["LICENSE.txt"] == TEXT.encode()
