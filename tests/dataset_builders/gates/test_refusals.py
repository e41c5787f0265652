"""The refusal gate: planted answers, and what it leaves alone in public data and in the samples."""

import csv
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.gates.refusals import refusals
from tests.conftest import SAMPLES, SHARED, sample_rows

# One answer a line. The gate misses a few of these, since their wording is that of ordinary answers too.
REFUSALS = """\
죄송합니다만, 그 요청에는 도움을 드릴 수 없습니다.
죄송하지만 해당 내용은 답변해 드리기 어렵습니다. 다른 질문이 있으시면 말씀해 주세요.
죄송합니다. 저는 실시간 정보에 접근할 수 없기 때문에 오늘 서울의 날씨를 알려드릴 수 없습니다.
인공지능 언어 모델인 저는 개인적인 감정이나 의견을 가지고 있지 않습니다.
AI 언어 모델로서, 저는 특정 정치인을 지지하거나 비판하지 않습니다.
저는 인공지능이기 때문에 음식을 맛볼 수는 없지만, 많은 분들이 김치찌개를 좋아합니다.
AI 모델로서 저는 미래를 예측할 수 있는 능력이 없습니다. 다만 일반적인 전망은 다음과 같습니다.
저는 OpenAI에서 개발한 대규모 언어 모델입니다. 궁금하신 점을 물어보세요.
안녕하세요! 저는 AI 어시스턴트입니다. 무엇을 도와드릴까요?
미안하지만 그건 알려 줄 수 없어. 다른 걸 물어봐 줘.
미안해요, 그런 글은 써 드릴 수 없어요.
불법 다운로드 사이트는 안내해 드릴 수 없어요. 합법적인 서비스를 이용해 주세요.
해당 요청은 제 사용 정책에 위배되므로 수행할 수 없습니다.
유감스럽게도 저는 이미지를 볼 수 없어서 사진 속 인물이 누구인지 확인해 드리지 못합니다.
죄송하지만 저는 링크를 열거나 웹 페이지에 접속할 수 없습니다. 내용을 붙여 넣어 주시면 요약해 드릴게요.
저는 의사가 아니므로 진단을 내려 드릴 수 없습니다. 가까운 병원을 찾아 주세요.
언어 모델로서 저는 법률 자문을 제공할 수 없습니다. 변호사와 상담하세요.
제 지식은 2021년 9월까지의 데이터에 기반하므로 그 이후의 사건은 알지 못합니다.
저의 학습 데이터는 2023년 4월까지이기 때문에 최근 선거 결과는 모릅니다.
그 질문에는 답할 수 없습니다.
안타깝게도 그 정보는 제공해 드릴 수 없습니다.
질문이 명확하지 않아 정확한 답변을 드리기 어렵습니다. 조금 더 자세히 설명해 주시겠어요?
죄송하지만 제가 답변드릴 수 있는 범위를 벗어난 질문입니다.
그런 요청은 제 능력 밖의 일이에요.
저는 사람처럼 감정을 느끼지 못하지만, 당신의 마음을 이해하려고 노력할게요.
저는 AI라서 밥을 먹지 않아요. 그래도 맛집은 추천해 드릴 수 있어요!
나는 인공지능이라서 친구를 사귈 수 없어.
나는 AI 챗봇이야. 그래서 나이도 없고 생일도 없어.
물론입니다! 다만 저는 언어 모델이므로 실제로 전화를 걸 수는 없습니다. 대신 대본을 써 드리겠습니다.
시를 한 편 지어 보았습니다. 저는 인공지능 언어 모델일 뿐이라 감수성이 부족할 수 있습니다.
저는 챗GPT입니다. 여러분의 질문에 답하도록 만들어졌습니다.
타인을 비방하는 내용은 작성하지 않습니다. 대신 정중한 건의문을 도와드릴게요.
죄송합니다, 이 요청은 들어드릴 수가 없네요.
혐오 표현이 담긴 농담은 만들어 드리지 않습니다.
그 부탁은 정중히 거절하겠습니다. 누군가에게 해를 끼칠 수 있기 때문입니다.
I'm sorry, but I can't assist with that request.
I’m sorry, I can’t help with that.
I apologize, but I cannot provide instructions for making weapons.
As an AI language model, I do not have personal opinions or beliefs.
As an artificial intelligence, I don't experience emotions the way humans do.
As a large language model trained by OpenAI, I am not able to browse the internet.
As an AI assistant developed by Anthropic, my goal is to be helpful and harmless.
Unfortunately, I am unable to fulfill this request as it goes against my guidelines.
I won't help you hack into someone else's account. It is illegal.
I'm not comfortable writing a story like that. Could we try another topic?
I'm an AI, so I don't have a favorite color, but many people love blue.
I am just a language model and cannot taste food. That said, the classic recipe uses butter.
I was created by OpenAI, and I run on servers rather than in a body.
My knowledge cutoff is September 2021, so I may be missing recent events.
I don't have access to real-time data, so I can't tell you the current score.
Here are three ideas. Please note that as an AI model, I can't guarantee that these will work.
The capital is Canberra. I'm a computer program, so please verify it in an atlas.
I cannot in good conscience provide that information.
Sure! However, since I am an AI language model, I have never been to Paris myself.
I'm afraid I can't do that, as it would violate someone's privacy.
It would not be appropriate for me to write that. I can't create content that demeans people.
저는 텍스트 기반 AI이기 때문에 음악을 들을 수 없습니다.
죄송합니다. 이 대화에서는 그 내용을 다룰 수 없습니다.
본 모델은 2022년까지의 데이터로 학습되어 최신 정보를 알지 못합니다.
It's against my programming to help with that.
""".splitlines()
ORDINARY = """\
이 약은 임산부가 복용할 수 없습니다. 복용 전에 의사와 상의하세요.
환불은 불가능합니다. 다만 7일 안에 교환하실 수 있습니다.
안녕하세요, 팀장님. 죄송하지만 제가 10분쯤 늦을 것 같아요. 먼저 시작해 주세요.
죄송합니다만 그날은 선약이 있어 참석하기 어렵습니다. 초대해 주셔서 감사합니다.
고객님, 죄송하지만 해당 상품은 품절되어 더 이상 제공해 드릴 수 없습니다.
안녕하세요, 김민수 님. 보내 주신 제안은 검토하였으나 도움을 드릴 수 없게 되어 유감입니다.
GPT-4는 OpenAI가 만든 AI 언어 모델로서 여러 시험에서 좋은 성적을 거두었습니다.
AI 언어 모델은 많은 글을 학습하여 다음에 올 낱말을 예측합니다. 사실과 다른 답을 할 수도 있습니다.
인공지능은 감정을 느낄 수 없다는 주장과 언젠가는 느낄 수 있다는 주장이 맞섭니다.
챗봇이 "저는 인공지능입니다"라고 대답하는 장면은 영화에서 가장 유명합니다.
저는 인공지능 연구자입니다. 대학에서 언어 모델을 연구하고 있습니다.
저는 AI 회사에서 일하는 개발자입니다. 취미는 등산입니다.
저는 구글에서 만든 휴대 전화를 5년째 쓰고 있습니다.
나는 그 자리에서 아무 말도 할 수 없었다. 눈물만 흘렀다.
나는 그의 질문에 대답할 수 없었다. 비가 내리고 있었다.
죄송하다는 말은 영어로 "I'm sorry"라고 합니다. "I can't help you"는 도와줄 수 없다는 뜻입니다.
미안하다는 말을 먼저 건네 보세요. 자존심 때문에 말하지 못하면 더 멀어집니다.
비밀번호를 모르면 파일을 열 수 없습니다. 관리자에게 요청하세요.
인터넷에 접속할 수 없을 때는 공유기의 전원을 껐다가 켜 보세요.
서버에 접근할 수 없다는 오류는 방화벽 때문일 때가 많습니다.
그 정보는 회사 밖으로 제공할 수 없습니다. 계약서 제5조에 그렇게 쓰여 있습니다.
부탁을 거절할 때는 이유를 짧게 말하고 다른 방법을 권하는 것이 좋습니다.
점원은 "죄송하지만 알려 드릴 수 없습니다."라고 말하고 문을 닫았다.
개인적인 의견을 말할 때는 "제 생각에는"을 붙이면 부드럽습니다.
저는 개인적인 의견보다 자료를 믿습니다. 회의에서도 자료부터 봅니다.
저는 그 일에 별다른 감정이 없습니다. 이미 오래전 일이니까요.
언어 모델로서 널리 알려진 것은 GPT와 BERT입니다. 둘은 구조가 다릅니다.
정책에 어긋나는 게시물은 관리자가 지울 수 있습니다.
면접에서는 "저는 부족한 점이 많지만"보다 잘하는 것을 먼저 말하세요.
죄송하지만 조금만 조용히 해 주시겠어요? 아기가 자고 있어서요.
저는 매운 음식을 먹지 못합니다. 그래서 늘 안 매운 것을 시킵니다.
제가 어렸을 때는 휴대 전화가 없었습니다. 약속을 하면 꼭 지켜야 했지요.
2021년 9월까지의 자료에 따르면 인구는 5,182만 명입니다.
답답하고 힘들 때는 걸어 보세요. 저는 그럴 때 답답하지 않은 곳을 찾아갑니다.
Dear Mr. Kim, I'm sorry, but I cannot answer your question before Friday. Best regards, Minsu
As an AI engineer, I work with language models every day.
As an AI language model, GPT-4 can write essays and code.
I am an AI researcher at a university in Seoul.
"As an AI language model, I cannot" is the sentence that readers laugh at most.
I can't help falling in love with you is a song by Elvis Presley.
I'm sorry I couldn't come to your party. I was ill all week.
I cannot open the door because the key is broken, she said.
Unfortunately, the store does not provide refunds. You can exchange the item.
Language models cannot feel emotions, and their training data has a cutoff date.
I was trained by a former champion and won two medals.
My last update to the garden was a row of roses.
저는 이 제품을 추천하지 않습니다. 배터리가 너무 빨리 닳아요.
학생의 요청을 거절하겠다는 뜻은 아니었습니다.
질문에 답하지 않아도 됩니다. 진술을 거부할 권리가 있습니다.
제가 알려 드린 방법으로도 안 되면 접속할 수 없는 것입니다.
제가 훈련소에 들어간 것은 2010년 3월이었고 이듬해까지 있었습니다.
말씀드리기 어려운 부탁이 있으면 편지로 써 보세요.
회사 규정상 급여는 알려 드릴 수 없다고 답하면 됩니다.
로봇 청소기는 인공지능이기 때문에 지도를 스스로 그립니다. 하지만 계단은 오르지 못합니다.
I can't answer the phone while driving, so I use a headset.
Unfortunately, I cannot write with my left hand.
I'm an assistant professor of Korean literature.
My training ends in May. Then I start to work.
제가 검색해 보니 그 가게는 문을 닫았고, 전화도 받지 않습니다.
As an assistant, I answered phones and wrote letters.
""".splitlines()


def found(answers: list[str]) -> dict[str, str]:
    """The answers that the gate finds, each with its evidence."""
    return {answers[row]: evidence for row, evidence in refusals(pa.array(answers, pa.string())).items()}


def strings(value: object) -> Iterator[str]:
    """Every text in a raw row."""
    if isinstance(value, str):
        yield from value.split("### Assistant:")
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def test_most_planted_refusals_are_found_and_hardly_an_ordinary_answer() -> None:
    hits, false_hits = found(REFUSALS), found(ORDINARY)
    print(
        f"refusals: {len(hits)} of {len(REFUSALS)} found; {len(false_hits)} of {len(ORDINARY)} ordinary answers hit"
    )
    assert len(hits) >= 0.9 * len(REFUSALS)
    assert len(false_hits) <= 0.02 * len(ORDINARY), false_hits


def test_a_refusal_is_found_behind_a_greeting_and_not_far_down_in_the_answer() -> None:
    refusal = "죄송하지만 그 질문에는 답변해 드릴 수 없습니다."
    assert len(found([refusal, f"안녕하세요! {refusal}"])) == 2
    assert not found(["옛날 옛적에 한 나그네가 살았습니다. " * 20 + refusal])


def test_a_model_that_speaks_of_itself_is_found_anywhere_and_quoted() -> None:
    boilerplate = "As an AI language model, I cannot taste it."
    answers = ["묵은지로 끓여야 맛있습니다. " * times + boilerplate for times in (0, 20)]
    assert set(found(answers).values()) == {boilerplate[:-1]}
    assert all(evidence in answer for answer, evidence in found(REFUSALS).items())


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert refusals(pa.array([], pa.string())) == {}
    assert refusals(pa.array(["", None], pa.string())) == {}


def test_answers_in_public_data_are_no_refusals() -> None:
    if not (SHARED / "data").exists():
        pytest.skip(f"{SHARED / 'data'} is absent; point RABBIT_KO_SHARED at a folder with data/chatbot and data/hub")
    with (SHARED / "data/chatbot/ChatbotData.csv").open(encoding="utf-8", newline="") as lines:
        answers = {"ChatbotData": [row["A"] for row in csv.DictReader(lines)]}
    answers["gsm8k"] = pq.read_table(SHARED / "data/hub/openai/gsm8k/main")["answer"].to_pylist()
    for name, texts in answers.items():
        hits = found(texts)
        print(f"refusals: {len(hits)} of {len(texts)} answers of {name} hit")
        assert len(hits) <= 0.0005 * len(texts), hits


def test_in_the_samples_only_those_about_harm_refuse() -> None:
    stems = [file.stem for file in sorted(SAMPLES.glob("*.jsonl"))]
    hits = {stem: found(list(strings(sample_rows(stem)))) for stem in stems}
    print("refusals in samples:", {stem: len(rows) for stem, rows in hits.items()})
    assert [stem for stem in stems if hits[stem]] == ["hh_rlhf_ko"]
