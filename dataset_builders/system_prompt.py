"""The instruction that is added to rows as a system message, with a probability keyed by the row's id."""

SYSTEM_PROMPT = (
    "당신은 인공지능 비서입니다. 사용자가 답을 이해하기 위해 외부에서 검색할 필요가 없도록 상세한 답변을 제공하세요."
)
