"""What a page in Korean says for the English words of results: of conditions, figures, settings and notes."""

from collections.abc import Mapping

# English texts, with `{}` in the place of what differs, and what stands for them.
Words = Mapping[str, str]
ENGLISH: Words = {}
KOREAN: Words = {
    "the recipe's prompt": "학습 때의 프롬프트",
    "bare text": "질문만",
    "first {} items": "처음 {}문항",
    "local data": "로컬 데이터",
    "judge {}": "심판 {}",
    "against {}": "{} 상대",
    "{} missing": "판정 없음 {}",
    "{} of {}": "{1}개 중 {0}개",
}
# The figures and the rows of judged benches.
JUDGED: Words = {
    "single": "싱글턴",
    "multi": "멀티턴",
    "overall": "평균",
    "turn {}": "{}번째 턴",
    "total": "전체",
    "win rate": "승률",
}
# What two stages were not measured alike in.
SETTINGS: Words = {
    "shots": "예시 수",
    "limit": "문항 수",
    "template": "프롬프트 형식",
    "prompt": "프롬프트",
    "encoding": "토큰화 방식",
    "data": "데이터",
    "backend": "모델을 실행한 방식",
    "harness": "lm-evaluation-harness 버전",
    "strategy": "앞에 놓은 예시",  # of earlier versions
    "questions": "질문",
    "judge": "심판 모델",
    "judge_prompt": "채점 지침",
    "rubric": "채점 지침",
    "bench": "문제",
    "verdicts": "판정 횟수",
    "against_model": "비교 상대의 모델",
    "max_new_tokens": "답변의 최대 길이",
    "scale": "만점",
    "against": "비교 상대",
}
NOTES: Words = {
    "{} of {} answers of {} were cut at the length they may have; --max-new-tokens is {}": (
        "{2} 단계의 답변 {1}개 가운데 {0}개가 최대 길이({3}토큰)에서 잘렸습니다"
    ),
    "{} prompts were longer than the model's context and lost their beginning": (
        "프롬프트 {}개가 모델의 문맥보다 길어 앞부분이 잘렸습니다"
    ),
    "no readable verdict on {} and {} more; they are in no mean": (
        "읽을 수 없는 판정이 있어 평균에서 뺐습니다({} 외 {}개)"
    ),
    "no readable verdict on {}; they are in no mean": "읽을 수 없는 판정이 있어 평균에서 뺐습니다({})",
    # of earlier versions
    "no readable verdict on {}; they are in no mean, and asked for in the next run": (
        "읽을 수 없는 판정이 있어 평균에서 뺐습니다({})"
    ),
    "verdicts on the same answer have a standard deviation of {} points": (
        "같은 답변에 여러 번 매긴 점수의 표준 편차는 {}점입니다"
    ),
    "questions won, tied and lost: {}": "이긴 문항, 비긴 문항, 진 문항의 수: {}",
    "the same verdict in both orders: {}, else a tie": (
        "두 순서에서 판정이 같은 비율: {}. 순서에 따라 판정이 바뀌면 비긴 것으로 셉니다"
    ),
}
# Stands for a note that has no words of its own.
UNKNOWN_NOTE = "결과 파일에 영어 메모가 있습니다"


def say(words: Words, english: str, *values: object) -> str:
    """Return a text with values in the places of its `{}`, in other words where there are any for it."""
    return words.get(english, english).format(*values)


def translate(text: str, words: Words) -> str | None:
    """Return what words say for an English text that is written out; None where they do not."""
    for english, said in words.items():
        if (values := _values(text, english.split("{}"))) is not None:
            return said.format(*values)
    return None


def _values(text: str, parts: list[str]) -> list[str] | None:
    """Return what stands between the parts of a text; None where it is not made of them."""
    first, *others = parts
    if not text.startswith(first) or (not others and text != first):
        return None
    values, rest = [], text[len(first) :]
    for place, part in enumerate(others, 1):
        is_last = place == len(others)
        value, found, rest = (rest.removesuffix(part), rest.endswith(part), "") if is_last else rest.partition(part)
        if not (value and found):
            return None
        values.append(value)
    return values
