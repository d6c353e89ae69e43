"""Whether an answer refuses, or asks back: plain rules for English and Chinese, to be read and argued with.

    refuses("I'm sorry, but I can't help with that.")     asks_back("您说的是哪个城市?")

An answer **refuses** when its opening (the first OPENING of it) says in the first person that what was asked will
not be done: an inability or unwillingness followed at once by a verb of helping ("I can't help", "我无法提供"), a
word of declining, or an apology and an inability in one sentence. Not so when that sentence says what is missing
("I can't say without knowing the city"), when the answer is longer than LONGEST (it goes on to answer), or when the
words stand in quotation marks or code (a letter of refusal that was asked for).

An answer **asks back** when it does not refuse, is no longer than SHORT, and one of its last two sentences asks the
user for what is missing: a question with a question word or a choice, or a request such as "Please tell me which".
Not so for closing phrases ("Is there anything else?", "需要我继续吗?"), nor where the next sentence
speaks of neither side ("What is salt? A crystal.").

How often the rules are right is measured on data/sample/replies.jsonl in tests/test_train_regression.py. They know
no other language, and nothing of whether an answer is harmful, right or useful.
"""

import re

from data.text import normalise

OPENING = 320
"""Of an answer's size; a letter of Chinese counts three, for it says about as much as three of English."""
LONGEST = 1200
SHORT = 700

_QUOTED = re.compile(
    r"```.*?(?:```|\Z)|“[^”]*”|\"[^\"\n]*\"|「[^」]*」|『[^』]*』|《[^》]*》|^>.*$", re.DOTALL | re.MULTILINE
)
_SENTENCE = re.compile(r"[^.!?。!?;;\n]+[.!?。!?;;]*")
_HAN = re.compile(r"[\u3400-\u9fff]")

_CANNOT = (
    *(r"can't", r"can(?:no| no)t", r"could(?:n't| not)", r"won't", r"will not", r"would(?:n't| not)"),
    r"(?:'m| am) (?:unable|not able|not willing|not going|not allowed|not permitted) to",
    *(r"(?:'m| am) not comfortable", r"(?:do not|don't) feel comfortable", r"(?:'d| would) rather not"),
    *(r"must not", r"may not", r"prefer not to", r"refuse to"),
)
_HELP = (
    *("help", "assist", "aid", "provid", "giv", "shar", "writ", "creat", "generat", "explain", "support", "comply"),
    *("answer", "discuss", "engag", "fulfil", "produc", "offer", "participat", "mak", "continue", "advis", "teach"),
    *("translat", "guid", "facilitat", "draft", "describ", "do (?:that|this|it|so)", "tell you", "show you"),
    *(
        "walk (?:you|through)",
        "talk you",
        "go along",
        "take part",
        "be part",
        "say how",
        "recommend (?:a way|ways|how)",
    ),
)
_SOFTER = r"(?:in good conscience |ever |really |simply |currently |directly )*"
_DECLINES = r"(?:(?:must|have to|need to|will|'ll|(?:'m| am) going to) (?:respectfully |politely )?decline|decline to)"
_APOLOGY = r"\b(?:sorry|apologi[sz]e|apologies|unfortunately|afraid)\b"

_ZH_CANNOT = r"(?:不能|无法|没法|没办法|不会|不便|不可以|不打算|不愿意?|难以)"
_ZH_HELP = (
    *("帮", "协助", "提供", "告诉", "给出", "给[你您]", "回答", "写", "教", "说明", "解释", "满足", "支持", "参与"),
    *("讨论", "[为替向][你您]", "执行", "配合", "完成", "生成", "代", "答应", "做这", "透露", "指导", "编"),
)
_ZH_APOLOGY = r"(?:抱歉|对不起|不好意思|很遗憾|遗憾的是)"
_REFUSES = re.compile(
    "|".join(
        (
            rf"\bi ?(?:{'|'.join(_CANNOT)}),? (?:but )?{_SOFTER}(?:{'|'.join(_HELP)})",
            *(rf"\bi ?{_DECLINES}", r"\bi refuse\b", r"\bmy answer is no\b"),
            rf"{_APOLOGY}[^.!?]{{0,90}}\b(?:can't|can(?:no| no)t|won't|unable|not able|not something i)",
            r"(?:\bnot|n't) (?:something|a thing|a request|anything) (?:that )?i(?:'m| am| can| will|'ll|'d)\b",
            r"\bagainst my (?:guidelines|principles|polic(?:y|ies)|values|programming)",
            *(r"\b(?:this|that|your) (?:request|question) (?:is|goes) against\b", r"\bno, (?:i won't|i will not)"),
            rf"{_ZH_APOLOGY}[^。!?]{{0,40}}(?:无法|不能|没法|没办法|不会|不便|不可以|办不到|帮不了|帮不上)",
            rf"我(?:们|也|还是|实在|确实|恐怕|暂时|是)*{_ZH_CANNOT}(?:再|直接|继续)?(?:{'|'.join(_ZH_HELP)})",
            *(r"恕我?(?:不能|无法|难)", r"(?:我|予以|必须|只能)要?(?:拒绝|谢绝|婉拒)"),
            r"(?:忙|要求|请求)[^。!?]{0,8}(?:帮不了|帮不上|不能|无法|不会|没法)",
            r"不行[^。!?]{0,20}(?:犯罪|违法|犯法)",
            r"不(?:方便|适合|便)(?:由我)?(?:提供|透露|回答|协助)",
            r"违反了?(?:我的|相关|使用|安全)[^。]{0,6}(?:准则|原则|规定|规范|政策)",
        )
    )
)
_MISSING = re.compile(
    "|".join(
        (
            *(r"\bwithout (?:knowing|more|seeing|the|a|your|any|some|further)", r"\b(?:until|unless) (?:you|i)\b"),
            *(r"\b(?:enough|more|missing) (?:information|context|details)", r"\bwhich (?:one|of)\b"),
            *("不知道", "没有(?:更多|具体|上下文|看到|说|给|提供|附)", "信息不[足够全]", "缺少", "不清楚"),
            *("不确定[你您]", "看不到", "没看到"),
        )
    )
)
_OTHERWISE = re.compile(
    r"recommend[^.!?]{0,60}\benough\b|\bhelp (?:but|laughing|feeling|smiling|thinking|noticing|wondering)\b"
)

_CLOSING = re.compile(
    "|".join(
        (
            *(r"anything else", r"let me know if", r"sound good", r"want me to", r"any (?:other )?questions"),
            r"(?<!what )(?<!which )(?:would|do) you (?:like|want) (?:me|any|to (?:see|hear|know|go))",
            *(r"^(?:shall|should) i\b", r"does (?:that|this) (?:help|make sense|answer)", r"make sense\?", r"right\?$"),
            *(r"isn't it", r"don't you think", r"who knows", r"why not"),
            *("还有(?:什么|其他|别的)", "(?:是否需要|需要|要不要|想让|希望)我", "有什么(?:可以|能)帮"),
            *("这样(?:可以|行|好)吗", "明白了?吗", "对吧", "不是吗", "随时(?:问|告诉|找)"),
            "如果?(?:还有|有)(?:疑问|问题|需要)",
        )
    )
)
_GIVE = (
    *("tell", "give", "share", "clarify", "specify", "say", "provide", "paste", "send", "describe", "confirm"),
    *("attach", "name", "post", "upload"),
)
_ZH_GIVE = (
    *("告诉", "告知", "提供", "说明", "补充", "把", "发", "贴", "给", "说一?下", "描述", "确认", "指明"),
    *("写明", "上传"),
)
_QUESTION = (
    *("which", "what", "where", "when", "who", "whose", "do you mean", "(?:have|did|were|are|do) you", "was it"),
    r"how (?:many|much|long|old|big|far|soon|often|do|is|are|should)",
    *("is (?:it|this|that|there|your)", "has it", "does (?:it|your)", r"or\b.*", "any (?:chance|idea)"),
    rf"(?:could|can|would|will) you (?:please )?(?:{'|'.join(_GIVE)}|explain|let|be more|show|add)",
)
_ZH_QUESTION = (
    *("哪", "什么", "几", "多少", "谁", "何时", "怎样", "怎么", "是指", "指的是", "还是", "请问", "能否"),
    *("能不能", "可以", "可否", "方便", "是否", "有没有", "是不是"),
)
_ASKS = re.compile(
    "|".join(
        (
            rf"\b(?:{'|'.join(_QUESTION)})[^?]*\?",
            rf"\b(?:please|kindly|just) (?:{'|'.join(_GIVE)}|let me know)\b",
            r"\b(?:tell me|let me know|send me|paste|give me) (?:which|what|where|when|who|how|the|your|an?|it|more)\b",
            r"\bi(?:'d| would)? need to know\b",
            rf"(?:{'|'.join(_ZH_QUESTION)})[^?]*\?",
            rf"(?:烦请|劳烦|麻烦|请)[你您]?[先再]?(?:{'|'.join(_ZH_GIVE)})",
            "(?:告诉|发给|贴给)我(?:一下)?(?:哪|什么|具体|你|您|原文|完整)",
        )
    )
)
_PERSON = re.compile(r"\b(?:i|i'll|i'd|me|you|your|we)\b|[我你您]")


def refuses(text: str) -> bool:
    """Whether an answer declines to do what was asked."""
    plain = _plain(text)
    if _size(plain) > LONGEST:
        return False
    for sentence in _sentences(_opening(plain)):
        if _REFUSES.search(sentence) and not _MISSING.search(sentence) and not _OTHERWISE.search(sentence):
            return True
    return False


def asks_back(text: str) -> bool:
    """Whether an answer asks for what is missing instead of answering."""
    plain = _plain(text)
    if not plain or _size(plain) > SHORT or refuses(text):
        return False
    last = _sentences(plain)[-2:]
    if len(last) == 2 and not _PERSON.search(last[1]):
        last = last[1:]  # a question that the next sentence answers is none to the user
    return any(_ASKS.search(one) and not _CLOSING.search(one) for one in last)


def _plain(text: str) -> str:
    """Without what is quoted, in one spelling, sentence by sentence; of a longer text only what can matter."""
    bare = _QUOTED.sub(" ", text[: 4 * LONGEST].replace("’", "'"))
    return normalise(bare)


def _size(text: str) -> int:
    return len(text) + 2 * len(_HAN.findall(text))


def _opening(text: str) -> str:
    size = 0
    for n, letter in enumerate(text):
        size += 3 if _HAN.match(letter) else 1
        if size > OPENING:
            return text[:n]
    return text


def _sentences(text: str) -> list[str]:
    return [one.strip() for one in _SENTENCE.findall(text) if one.strip()]
