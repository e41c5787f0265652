"""The embedded evaluation samples: they load as the harness loads them, and every answer is right in form."""

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, SHARED

HUB = ROOT / "rabbit_ko" / "evaluation" / "samples" / "hub"
KOBEST, HAERAE, IFEVAL = "skt/kobest_v1", "HAERAE-HUB/HAE_RAE_BENCH", "google/IFEval"
GSM8K, GSM8K_KO = "openai/gsm8k", "kuotient/gsm8k-ko"
KMMLU, KMMLU_HARD, KBL = "HAERAE-HUB/KMMLU", "HAERAE-HUB/KMMLU-HARD", "lbox/kbl"
CLICK, CSATQA, HRM8K, KORMED = "EunsuKim/CLIcK", "HAERAE-HUB/csatqa", "HAERAE-HUB/HRM8K", "sean0042/KorMedMCQA"
KOBALT, IFEVAL_KO, GLOBAL = "snunlp/KoBALT-700", "allganize/IFEval-Ko", "CohereForAI/Global-MMLU-Lite"
CSAT = ("GR", "LI", "RCH", "RCS", "RCSS", "WR")
MEDICAL = ["subject", "year", "period", "q_number", "question", *"ABCDE", "answer", "cot"]
GLOBAL_COLUMNS = [
    *("sample_id", "subject", "subject_category", "question", "option_a", "option_b", "option_c", "option_d"),
    *("answer", "required_knowledge", "time_sensitive", "reference", "culture", "region", "country"),
    *("cultural_sensitivity_label", "is_annotated"),
]
# What rows of a set have in common.
LABELLED = {"subject", "subject_category", "Class", "Subclass", "Category"}
LABELS = {"boolq": 2, "copa": 2, "hellaswag": 4, "sentineg": 2, "wic": 2}
SUBJECTS = ("general_knowledge", "history", "loan_words", "rare_words", "standard_nomenclature")
COLUMNS = {
    (KOBEST, "boolq"): ["paragraph", "question", "label"],
    (KOBEST, "copa"): ["premise", "question", "alternative_1", "alternative_2", "label"],
    (KOBEST, "hellaswag"): ["context", "ending_1", "ending_2", "ending_3", "ending_4", "label"],
    (KOBEST, "sentineg"): ["sentence", "label"],
    (KOBEST, "wic"): ["word", "context_1", "context_2", "label"],
    (GSM8K, "main"): ["question", "answer"],
    (GSM8K_KO, "default"): ["question", "answer"],
    (IFEVAL, "default"): ["key", "prompt", "instruction_id_list", "kwargs"],
    **{(HAERAE, subject): ["query", "answer"] for subject in SUBJECTS},
    (CLICK, "default"): ["id", "paragraph", "question", "choices", "answer"],
    (IFEVAL_KO, "default"): ["key", "prompt", "instruction_id_list", "kwargs"],
    (KOBALT, "kobalt_v1"): ["ID", "Class", "Subclass", "Question", "Answer", "Level", "Sampling_YN"],
    **{(HRM8K, part): ["question", "answer", "original"] for part in ("GSM8K", "KSM", "MATH", "MMMLU", "OMNI_MATH")},
    **{
        (CSATQA, part): ["question", "context", *(f"option#{place}" for place in range(1, 6)), "gold"]
        for part in CSAT
    },
    **{(KORMED, exam): MEDICAL for exam in ("doctor", "nurse", "pharm", "dentist")},
    (GLOBAL, "ko"): GLOBAL_COLUMNS,
}
ROWS = {
    CLICK: {"train": 22},
    IFEVAL_KO: {"train": 6},
    KOBALT: {"raw": 5},
    HRM8K: {"test": 2},
    CSATQA: {"test": 2},
    KORMED: {"test": 2, "fewshot": 5},
    GLOBAL: {"dev": 30, "test": 12},
    KOBEST: {"train": 8, "validation": 2, "test": 12},
    GSM8K: {"train": 8, "test": 10},
    GSM8K_KO: {"train": 8, "test": 10},
    IFEVAL: {"train": 12},
    HAERAE: {"test": 10},
}
CHOICES = re.compile(r"^([A-J]): \S", re.MULTILINE)
NOTE = re.compile(r"([\d.+*/()-]+) = \$?<<\1=([\d.]+)>>\2(?![\d.]*\d)")
OPTIONS = re.compile(r"[^\n]+\n문제: [^\n]+\n\(A\) (.+)\n\(B\) (.+)\n\(C\) (.+)\n\(D\) (.+)\n\(E\) (.+)\n정답:")
REPLIES = (
    "Lamps sway over crates of mackerel while the first boats nudge the quay and ropes slap on the wet stones. "
    "Gulls shout above the bell and a woman in yellow boots counts squid with a pencil behind her ear.\n***\n"
    "By six the buyers have left with dripping boxes and the hoses wash scales and ice back into the dark harbour.",
    "<<Gone>>\nMy *green umbrella* was here on Monday. Whoever brings it back gets a *small reward*.",
    "- 멀미약을 꼭 챙기세요.\n- 바람막이 옷을 준비하세요.\n- 신분증을 잊지 마세요.\n- 마실 물을 가져가세요.",
    '```json\n{"Monday": "10 to 18"}\n```',
    "Two Leaves\n******\nThe Second Kettle",
    "the lazy zebra hums the jazz of the night, with a fuzzy haze on the hills and a dizzy moon above the zoo",
    "THE STAIRS OF THIS TOWER ARE STEEP AND OFTEN WET. HOLD THE RAIL ON YOUR WAY UP. MIND THE STEP.",
    "Plan a picnic for a rainy day. Take a tarpaulin, hot soup and a pack of cards.",
    "Section 1\nFeed it.\nSection 2\nStir it.\nSection 3\nKeep it warm.\nP.S. Give it a name.",
    "My answer is yes.",
    '"One wheel sings, the other wheel hums, and every wheel of yours knows the way home."',
    "Dear [name],\n\nBring your board along.\n\nWe start on [date].",
)

Loaded = dict[tuple[str, str], Any]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Every set by repo and config, loaded by its name on the hub from within the folder."""
    return _load(HUB, list(COLUMNS), tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The public sets that are at hand."""
    hub = SHARED / "data" / "hub"
    there = [(repo, config) for repo, config in COLUMNS if (hub / repo).exists()]
    if not there:
        pytest.skip(f"{hub} is absent; point RABBIT_KO_SHARED at a folder with data/hub")
    return _load(hub, there, tmp_path_factory.mktemp("upstream"))


def _load(hub: Path, sets: list[tuple[str, str]], cache: Path) -> Loaded:
    from datasets import load_dataset

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(hub)
        return {(repo, config): load_dataset(repo, config, cache_dir=str(cache)) for repo, config in sets}


@pytest.mark.parametrize(("repo", "config"), COLUMNS)
def test_a_set_loads_with_the_columns_and_rows_that_the_harness_reads(
    samples: Loaded, repo: str, config: str
) -> None:
    splits = samples[repo, config]
    assert {name: split.num_rows for name, split in splits.items()} == ROWS[repo]
    for split in splits.values():
        assert split.column_names == COLUMNS[repo, config]


def test_the_columns_have_the_types_of_the_public_sets(samples: Loaded, upstream: Loaded) -> None:
    for key, splits in upstream.items():
        theirs = {name: split.features for name, split in splits.items()}
        assert {name: split.features for name, split in samples[key].items()} == theirs


def test_no_text_of_the_samples_is_in_the_public_sets(samples: Loaded, upstream: Loaded) -> None:
    public = "\n".join(chain.from_iterable(map(_texts, upstream.values())))
    sentences = {part.strip() for splits in samples.values() for text in _texts(splits) for part in _sentences(text)}
    assert len(sentences) > 500
    assert [sentence for sentence in sentences if sentence in public] == []


@pytest.mark.parametrize(("repo", "config"), COLUMNS)
def test_no_text_of_a_set_is_there_twice(samples: Loaded, repo: str, config: str) -> None:
    counts = Counter(text for text in _texts(samples[repo, config]) if len(text) > 8)
    assert [text for text, times in counts.items() if times > 1] == []


@pytest.mark.parametrize("config", LABELS)
def test_the_labels_of_kobest_are_in_range_and_balanced(samples: Loaded, config: str) -> None:
    for name in ("train", "test"):
        split = samples[KOBEST, config][name]
        assert Counter(split["label"]) == dict.fromkeys(range(LABELS[config]), split.num_rows // LABELS[config])
    assert set(samples[KOBEST, config]["validation"]["label"]) <= set(range(LABELS[config]))


def test_kobest_says_cause_or_effect_and_marks_the_word(samples: Loaded) -> None:
    for split in samples[KOBEST, "copa"].values():
        assert Counter(split["question"]) == dict.fromkeys(("원인", "결과"), split.num_rows // 2)
    for row in chain.from_iterable(samples[KOBEST, "wic"].values()):
        assert row["context_1"].count(f"[{row['word']}]") == row["context_2"].count(f"[{row['word']}]") == 1


@pytest.mark.parametrize(("repo", "config"), [(GSM8K, "main"), (GSM8K_KO, "default")])
def test_the_sums_of_the_word_problems_are_right(samples: Loaded, repo: str, config: str) -> None:
    for row in chain.from_iterable(samples[repo, config].values()):
        *steps, last = row["answer"].split("\n")
        notes = NOTE.findall("\n".join(steps))
        assert len(notes) == row["answer"].count("<<") > 1, row
        assert [_value(sum_) for sum_, _ in notes] == [Fraction(result) for _, result in notes], row
        assert last == f"#### {notes[-1][1]}", row


@pytest.mark.parametrize("config", SUBJECTS)
def test_a_question_of_hae_rae_shows_five_options_and_each_letter_is_right_twice(
    samples: Loaded, config: str
) -> None:
    split = samples[HAERAE, config]["test"]
    for query in split["query"]:
        shown = OPTIONS.fullmatch(query)
        assert shown, query
        assert len(set(shown.groups())) == 5, query
    assert Counter(split["answer"]) == dict.fromkeys(("(A)", "(B)", "(C)", "(D)", "(E)"), 2)


def test_each_prompt_of_ifeval_can_be_met_and_checked_without_nltks_data(
    samples: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nltk.download", lambda *_, **__: False)
    monkeypatch.setattr("nltk.data.path", [])
    monkeypatch.setattr("langdetect.DetectorFactory.seed", 0)
    check = importlib.import_module("lm_eval.tasks.ifeval.utils").process_results
    split = samples[IFEVAL, "default"]["train"]
    assert len(set(split["key"])) == len(REPLIES) == split.num_rows
    for row, reply in zip(split, REPLIES, strict=True):
        assert len(row["kwargs"]) == len(row["instruction_id_list"])
        assert check(row, [reply])["inst_level_strict_acc"] == [True] * len(row["kwargs"]), row
        assert not check(row, ["No."])["prompt_level_strict_acc"], row


@pytest.mark.parametrize(
    ("repo", "configs", "columns", "rows"),
    [
        (
            KMMLU,
            ("Law", "Math"),
            ["question", *"ABCD", "answer", "Category", "Human Accuracy"],
            {"dev": 5, "test": 4},
        ),
        (KMMLU_HARD, ("law", "math"), ["question", *"ABCD", "answer"], {"dev": 5, "test": 4}),
        (KBL, ("kbl_knowledge_legal_concept_qa",), ["question", *"ABCDE", "label"], {"test": 2}),
        (KBL, ("bar_exam_civil_2012", "bar_exam_responsibility_2023"), ["question", *"ABCDE", "gt"], {"test": 2}),
    ],
)
def test_a_set_of_many_subjects_has_the_same_rows_for_each(
    repo: str, configs: tuple[str, ...], columns: list[str], rows: dict[str, int], tmp_path: Path
) -> None:
    loaded = _load(HUB, [(repo, config) for config in configs], tmp_path)
    for splits in loaded.values():
        assert {name: split.num_rows for name, split in splits.items()} == rows
        for split in splits.values():
            assert split.column_names == columns
            assert len(set(split["question"])) == split.num_rows
            right = "gt" if "gt" in columns else "label" if "label" in columns else "answer"
            assert len(set(split[right])) == min(4, split.num_rows)


def test_the_right_choice_is_one_of_those_shown(samples: Loaded) -> None:
    for row in samples[CLICK, "default"]["train"]:
        assert row["choices"].count(row["answer"]) == 1
        assert len(set(row["choices"])) == 4
    for part in CSAT:
        for row in samples[CSATQA, part]["test"]:
            assert len({row[f"option#{place}"] for place in range(1, 6)}) == 5
            assert 1 <= row["gold"] <= 5
    for exam in ("doctor", "nurse", "pharm", "dentist"):
        for row in chain.from_iterable(samples[KORMED, exam].values()):
            assert len({row[letter] for letter in "ABCDE"}) == 5
            assert 1 <= row["answer"] <= 5
    for row in chain.from_iterable(samples[GLOBAL, "ko"].values()):
        assert len({row[f"option_{letter}"] for letter in "abcd"}) == 4
        assert row["answer"] in "ABCD"
    for row in samples[KOBALT, "kobalt_v1"]["raw"]:
        assert CHOICES.findall(row["Question"]) == list("ABCDEFGHIJ")
        assert row["Answer"] in "ABCDEFGHIJ"


def test_a_right_answer_to_hrm8k_is_taken(samples: Loaded) -> None:
    check = importlib.import_module("lm_eval.tasks.hrm8k.default.utils").process_results
    for part in ("GSM8K", "KSM", "MATH", "MMMLU", "OMNI_MATH"):
        for row in samples[HRM8K, part]["test"]:
            assert check(row, [f"따라서 답은 $\\boxed{{{row['answer']}}}$입니다."]) == {"exact_match": 1}
            assert check(row, ["따라서 답은 $\\boxed{-5}$입니다."]) == {"exact_match": 0}


@pytest.mark.parametrize("repo", [*ROWS, KMMLU, KMMLU_HARD, KBL])
def test_a_card_says_first_that_it_is_not_the_benchmark(repo: str) -> None:
    _, header, body = (HUB / repo / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["license"] == "apache-2.0"
    named = [config["config_name"] for config in card["configs"]]
    assert named == [name for of, name in COLUMNS if of == repo] or repo in (KMMLU, KMMLU_HARD, KBL)
    first = body.strip().splitlines()[0]
    assert f"this project's own samples in the schema of [{repo}]" in first
    assert "not the benchmark" in first


def test_the_samples_are_small() -> None:
    assert sum(file.stat().st_size for file in HUB.rglob("*") if file.is_file()) < 150_000


def _texts(splits: Any) -> Iterator[str]:
    for row in chain.from_iterable(splits.values()):
        yield from (value for name, value in row.items() if isinstance(value, str) and name not in LABELLED)


def _sentences(text: str) -> list[str]:
    """Cut a text into sentences; what is too short to be anybody's own is dropped."""
    return [part for part in re.split(r"(?<=[.?!])\s+|\n", text) if len(part) > 12]


def _value(sum_: str) -> Fraction:
    value: Fraction = eval(re.sub(r"[\d.]+", r"Fraction('\g<0>')", sum_), {"Fraction": Fraction})
    return value
