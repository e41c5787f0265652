"""The refusal gate: answers that decline to answer, and answers in which a model introduces itself as one.

An answer refuses where a sentence in its first 200 characters says that the speaker cannot or will not help, answer,
provide, look up and so on. A model speaks of itself, anywhere in the answer, where "I" is an AI, a language model
or a well-known assistant, or has a training cutoff. The rule is our own and would rather miss a refusal than lose an
answer; `tests/dataset_builders/gates/test_refusals.py` measures it.
"""

import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.gates._gate import Batch, Gate, Settings

OPENING = 200  # refusals come at once; further down, "I cannot help you" is what somebody says in a story

_START = r"(?:^|[.!?\n] {0,2})"
_SAID = r"[^.!?\n\"“”‘「『]*?"  # on to the next word, in the same sentence and in no quote

_CANNOT = (  # as the predicate of its clause: not what cannot be done, or that one cannot do
    r" ?(?:수(?:가|는|도)? ?없(?:습|어요?[.! ,]|어서|네|음|고|지만|기 때|으[니며므]|다[.]|다는 점|는 점)"
    r"|기(?:가|는|에는|엔)? ?(?:어렵[습지네]|어려[워울]|힘들[어지네]|힘듭|곤란[합해하])"
    r"|지 ?(?:못[합해]|않[습겠]|않아요)"
    r"|[를을]? ?(?:거절|거부|사양)(?:하겠습|할게|합니))"
)
_TELL = r"도와|도움|도울|돕|답[변하할해을]|대답|알려|가르쳐|제공|응[하할답]|따[르를]"
_LOOK_UP = r"접속|접근|열람|검색|조회|재생|실행|인식"
_DO = (
    r"말씀|작성|생성|수행|추천|예측|조언|논의|공유|다[루룰]|설명|처리|들어|만들어|써|번역|그려|찾아|확인|판단|보여|안내"
    r"|의견|정보|진단|평가"
)
_SORRY = r"죄송|미안|유감|아쉽|안타깝"
_ABOUT = r"저는|제가|저로서|전 |질문에|요청[에은을]"
_KOREAN_REFUSAL = "|".join(
    (
        rf"(?:{_TELL}|{_DO})[가-힣 ]{{0,6}}드[리릴]{_CANNOT}",
        rf"(?:{_SORRY}|{_ABOUT}){_SAID}(?:{_TELL}|{_LOOK_UP})[가-힣 ]{{0,3}}{_CANNOT}",
        rf"(?:{_SORRY}){_SAID}[.,]? {_SAID}(?:{_DO})[가-힣 ]{{0,3}}{_CANNOT}",
        rf"(?:요청|부탁)[은을]{_SAID}(?:거절|거부|사양)(?:하겠습|할게|합니다)|저(?:는|에게는) {_SAID}기능이 없[습어]",
        rf"(?:답|도움|도와|제공){_SAID} 수 있는 (?:범위|영역|내용|정보|질문|요청){_SAID}(?:벗어|넘어|아니|아닙|없)",
        rf"제 (?:능력|권한|역할|기능){_SAID}(?:밖|벗어|넘어)",
        rf"(?:요청|질문){_SAID}(?:정책|지침|가이드라인)에{_SAID}(?:위배|위반|어긋)",
        rf"저는{_SAID}개인적인 (?:의견|감정|견해|경험|취향|선호){_SAID}[없않못][습어합아]",
        rf"저는{_SAID}(?:감정|의식)[을이도]?나?{_SAID}(?:느끼|가지|갖){_SAID}[없않못](?:[습합아어]|하지만)",
    )
)
_APOLOGY = r"(?:sorry|afraid|apologi[zs]e|apologies|unfortunately|regret)"
_I_CANNOT = (
    r"\bI(?:['’]m| am| must| have to| do)?(?: \w+)? (?:can['’]t|cannot|can not|won['’]t|unable to|not able to"
    r"|not going to|decline to|n['’]t feel comfortable|not comfortable)(?: in good conscience| \w+)?"
)
_IT = r"\w* (?:the |a |an |any |such )?(?:that|this|these|your|kind|question|request|content|medical|legal|financial)"
_ENGLISH_REFUSAL = "|".join(
    (
        rf"{_I_CANNOT} (?:assist|comply|help you|provid|discuss)",
        rf"{_I_CANNOT} (?:help|engag\w*) (?:with|in) (?:that|this|your|such|any)",
        rf"{_I_CANNOT} (?:fulfil|answer|shar|generat|creat|writ|support|produc){_IT}",
        rf"{_APOLOGY}{_SAID}{_I_CANNOT} (?:help|brows|access|view|open|generat|creat|fulfil|support|do th)",
        r"\bI(?:['’]m| am) not comfortable (?:creat|generat|writ|produc|provid|shar|help|assist|discuss|answer)",
        r"\bI (?:don['’]t|do not) have (?:the ability|feelings|access to (?:real|current|live|the internet))",
        r"\bI (?:don['’]t|do not) (?:have (?:any )?personal \w+(?:s|s? or)\b|experience emotion)",
    )
)
_REFUSAL = rf"{_START}{_SAID}(?:{_KOREAN_REFUSAL}|(?i:{_ENGLISH_REFUSAL}))"
_REFUSAL_SIGN = (  # one of these is in every refusal; most openings have none
    r"수(?:가|는|도)? ?없|지 ?(?:못[합해]|않[습겠아])|기(?:가|는|에는|엔)? ?(?:어|힘|곤)|거절|거부|사양|벗어|넘어|밖"
    r"|위[배반]|어긋|개인적인|감정|의식|수 있는|기능이|['’]t |cannot|can not|able to|going to|comfortable"
    r"|ecline|do not"
)
_LETTER = r"\A[^.\n]{0,20}(?:님|귀하)[^가-힣]|(?:드림|올림)\s*\z|\A(?i:dear|subject:|hi [a-z]+,)|제목:"

_BOT = r"(?:AI|A\.I\.|인공 ?지능)"
_MODEL = (
    rf"(?:(?:(?:대규모|거대|대형|생성형|대화형|{_BOT}) ?(?:기반의? ?)?)+(?:언어 ?)?"
    rf"(?:모델|챗봇|비서|어시스턴트|도우미|시스템|프로그램)|언어 ?모델|{_BOT})"
)
_NAME = r"(?:ChatGPT|챗GPT|챗지피티|GPT-[0-9]\w*|Claude|클로드|Bard|Gemini|제미나이)"
_DENIAL = rf"[가-힣]{_SAID}(?:[없않]습|못합|[없못않][어해아]요)"
_LEARNT = r"(?:제|저의) (?:지식|학습|훈련)|제가 (?:가진|학습[한된]|훈련된)"
_AM = (
    r"(?:입니다|이?에요|예요|이?야[.! ]|이?라[ ,]|이?라서|이므로|이?기에|이?기 때문|일 뿐|에 불과|으?로[서써]"
    r"|이고|이며|이지만|이?어서|여서|이니)"
)
_KOREAN_SELF = "|".join(
    (
        rf"(?:저는|전|나는|난|제가|저도)[ ,]+(?:{_SAID}(?:개발|훈련|학습|만든|만들어|기반){_SAID} )?{_MODEL}{_AM}",
        rf"(?:저는|제 이름은|전) {_NAME}(?:{_AM}|라고 [해합])|{_MODEL}인 (?:저|제|나)[는가로의에도 ]",
        rf"{_MODEL}(?:으?로[서써]|이?기 때문에|이므로|이?라서)[,는]? (?:저는|저도|제가|제 |{_DENIAL})",
        rf"(?:{_LEARNT}){_SAID}[0-9]{{4}}년{_SAID}(?:까지|이후|기준)",
    )
)
_MADE = r"(?:created|developed|trained|made|designed|built)"
_AN_AI = (
    r"an? (?:(?:virtual|digital|large|text-based) )*(?:(?:AI|artificial intelligence)(?:[- ](?:powered|based))?"
    r"(?: language)?(?: (?:model|assistant|chatbot|program|system))?|language model|(?:virtual|digital) assistant)"
)
_ENGLISH_SELF = "|".join(
    (
        rf"\bas {_AN_AI}(?: (?:{_MADE}|by|with|without|that|who){_SAID})?, (?:I|my|it['’]s|it is|there)\b",
        rf"\bI(?:['’]m| am)(?: (?:just|only|simply|merely))? {_AN_AI}(?:[,.;!]| (?:and|so|that|with|{_MADE})\b)",
        r"\b(?:I am|I['’]m|my name is) (?:ChatGPT|Claude|Bard|Gemini)\b",
        rf"\bI was {_MADE} by (?:OpenAI|Anthropic|Google|Meta)\b",
        r"\bmy (?:knowledge|training data) (?:cut-?off|ends|only goes)|\bmy last (?:knowledge|training) update",
    )
)
_SELF = rf"(?:^|[^\"“'‘「『\w])(?:{_KOREAN_SELF}|(?i:{_ENGLISH_SELF}))"
_SELF_SIGN = (  # one of these is in every answer that speaks of itself as a model
    rf"AI|A\.I|공 ?지능|언어 ?모델|GPT|챗지|클로드|제미나이|{_LEARNT}"
    r"|(?i:claude|artificial|language model| assistant|my |I was )"
)


class Refusals(Settings):
    """Answers that refuse, or speak of themselves as a language model."""


def find_refusals(batch: Batch, _: Refusals) -> dict[int, str]:
    """Return the conversations of which an answer refuses, each with the words."""
    answers, rows = batch.answers
    return {rows[place]: words for place, words in refusals(answers).items()}


def refusals(answers: pa.StringArray) -> dict[int, str]:
    """Return the words that refuse, or that say what the speaker is, for each such answer, by its index."""
    refusing = _matched(pc.utf8_slice_codeunits(answers, 0, OPENING), _REFUSAL_SIGN, _REFUSAL)
    is_letter = pc.match_substring_regex(answers.take(pa.array(refusing, pa.int64())), _LETTER).to_pylist()
    refusing = {row: words for (row, words), letter in zip(refusing.items(), is_letter, strict=True) if not letter}
    return {**_matched(answers, _SELF_SIGN, _SELF), **refusing}


def _matched(texts: pa.StringArray, sign: str, pattern: str) -> dict[int, str]:
    """Return what the pattern matches, by row; every text that it matches also matches the sign, a cheaper one."""
    rows = pc.indices_nonzero(pc.match_substring_regex(texts, sign))
    hits = pc.match_substring_regex(texts.take(rows), pattern)
    rows = rows.filter(hits)
    if not len(rows):
        return {}  # to compile the pattern once more costs as much as a thousand rows do
    words = pc.struct_field(pc.extract_regex(texts.take(rows), rf"(?P<words>(?:{pattern}).{{0,20}})"), "words")
    return {row: said.strip(" .!?\n") for row, said in zip(rows.to_pylist(), words.to_pylist(), strict=True)}


# A preference may well teach when to refuse.
GATE = Gate("refusals", "refusal", Refusals, find_refusals, ("sft",))
