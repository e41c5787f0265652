"""Whether flash-attn can be built is one line, before anything is compiled."""

from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.training.flash_attn import describe_build, main, nvcc_release

NVCC = "#!/bin/sh\necho 'Cuda compilation tools, release 12.4, V12.4.131'\n"


@pytest.fixture
def nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler of CUDA 12.4 on the PATH, and nothing else."""
    (tmp_path / "nvcc").write_text(NVCC)
    (tmp_path / "nvcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("nvcc")
def test_the_compiler_is_the_one_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nvcc_release() == "12.4"
    monkeypatch.setenv("PATH", "")
    assert nvcc_release() is None


@pytest.mark.parametrize(
    ("built_for", "nvcc", "why"),
    [
        (None, "13.0", "torch 2.13.0 is a build for the CPU"),
        ("13.0", None, "there is no nvcc on the PATH; install the CUDA toolkit 13 for torch"),
        ("13.0", "12.8", "nvcc is of CUDA 12.8, and torch 2.13.0 is built for CUDA 13.0"),
    ],
)
def test_what_cannot_be_built_is_told_why(built_for: str | None, nvcc: str | None, why: str) -> None:
    with pytest.raises(UserError) as error:
        describe_build("2.13.0", built_for, nvcc)
    assert str(error.value) == why


@pytest.mark.usefixtures("nvcc")
def test_setup_stops_in_one_line_or_says_that_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.version.cuda", "13.0")
    with pytest.raises(SystemExit, match=r"^setup: flash-attn cannot be built here: nvcc is of CUDA 12\.4.*EXTRAS"):
        main()
    monkeypatch.setattr("torch.version.cuda", "12.6")
    main()
    said = capsys.readouterr().out
    assert said.startswith("setup: flash-attn is compiled by nvcc of CUDA 12.4 for torch 2.")
    assert "hours" in said
    assert len(said.splitlines()) == 1
