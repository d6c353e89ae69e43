"""The words of curate's report pages that stand for what the data says: reasons, verdicts, findings, measures.

Each text is there in English and Chinese; what a report's own sentences say stands beside the code that
builds them. A reason that is not known here (a retraction's, for one) is shown as it was given.
"""

import re
from collections.abc import Mapping

from markupsafe import Markup

from curate.findings import Finding
from data.report import Words, between, code, data, number, percent, say
from data.text import excerpt

_REASONS: tuple[tuple[str, Words], ...] = (
    ("tie", Words("tie: neither is better", "平局：不分优劣")),
    ("identical texts", Words("the two texts are identical", "两段文本完全相同")),
    ("nobody compared them", Words("nobody compared the two", "没有人比较过这两条")),
    ("no other response is left", Words("no other response is left", "没有其他回答可比")),
    ("no judgments", Words("nobody has judged the task", "任务尚无人判断")),
    ("all bad, says the majority", Words("all answers are bad, says the majority", "多数人认为所有回答都不好")),
    ("no two responses were compared", Words("no two responses were compared", "没有任何两条回答被比较")),
    (
        "ratings only; --criterion names one to compare by",
        Words("ratings only; --criterion names one to compare by", "只有评分；用 --criterion 指定按哪项标准比较"),
    ),
    (r"no two responses were rated on (.*)", Words("no two responses were rated on {0}", "没有两条回答按“{0}”评过分")),
    (r"fewer than (\d+) votes", Words("fewer than {0} votes", "票数少于 {0}")),
    (r"probability below (.*)", Words("probability below {0}", "概率低于 {0}")),
    (r"agreement below (.*)", Words("agreement below {0}", "一致程度低于 {0}")),
    (r"beyond the (\d+) pairs of its prompt", Words("beyond the {0} pairs of its prompt", "超出每个提示 {0} 对的上限")),
    (r"(\S+) has no place for (.*)", Words("{0} has no place for {1}", "{0} 格式容不下：{1}")),
    (r"task retracted: (.*)", Words("task retracted: {0}", "任务已撤回：{0}")),
    (r"prompt retracted: (.*)", Words("prompt retracted: {0}", "提示已撤回：{0}")),
    (r"response retracted: (.*)", Words("response retracted: {0}", "回答已撤回：{0}")),
    (r"judgment retracted: (.*)", Words("judgment retracted: {0}", "判断已撤回：{0}")),
    (r"surplus: .*", Words("surplus: the task had all its judgments", "多余：任务的判断已满")),
    ("superseded by the same annotator", Words("revised later by the same annotator", "后来被同一标注者修改")),
    ("cannot judge", Words("the annotator could not judge", "标注者表示无法判断")),
    (r"purpose (.*)", Words("given for another purpose: {0}", "用于其他目的：{0}")),
    ("by a person", Words("by a person, whom the rules leave out", "由人给出，规则未采用")),
    ("by a model", Words("by a model, which the rules leave out", "由模型给出，规则未采用")),
    ("by a rule", Words("by a rule, which the rules leave out", "由规则给出，规则未采用")),
    ("exact duplicate", Words("exact duplicate", "完全重复")),
    ("near duplicate", Words("near duplicate", "近似重复")),
    ("exact duplicate of --against", Words("exact duplicate of the other set", "与另一数据集完全重复")),
    ("near duplicate of --against", Words("near duplicate of the other set", "与另一数据集近似重复")),
    ("no pairable unit", Words("no unit has two judgments", "没有任何单元有两个判断")),
    ("one value only", Words("only one value was ever given", "只出现过一个取值")),
    ("human", Words("people", "人")),
    ("model", Words("a model", "模型")),
    ("rule", Words("a rule", "规则")),
    ("both", Words("people and others", "人与其他来源")),
    ("train", Words("train", "训练集（train）")),
    ("validation", Words("validation", "验证集（validation）")),
    ("test", Words("test", "测试集（test）")),
    ("person", Words("person", "人")),
)

_CASES: tuple[tuple[str, Words], ...] = (
    ("no licence", Words("no licence", "没有许可证")),
    ("both are empty", Words("both are empty", "两条都为空")),
    (r"the same as (\S+)", Words("the same as {0}", "与 {0} 相同")),
    (r"the other way round than (\S+): (.*)", Words("the other way round than {0}: {1}", "与 {0} 选择相反：{1}")),
    (
        r"shown first got (\S+) of (\d+) judgments \((\S+) to (\S+)\)",
        Words("shown first got {0} of {1} judgments ({2} to {3})", "{1} 个判断中先显示的一侧占 {0}（{2} 至 {3}）"),
    ),
    (
        r"agrees with the majority of the others in (\S+) of (\d+) judgments \((\S+) to (\S+)\); usual is (\S+)",
        Words(
            "agrees with the majority of the others in {0} of {1} judgments ({2} to {3}); usual is {4}",
            "{1} 个判断中与他人多数一致的占 {0}（{2} 至 {3}）；通常为 {4}",
        ),
    ),
    (
        r"(\S+) s at the median, usual is (\S+) s; (\d+) judgments",
        Words("{0} s at the median, usual is {1} s; {2} judgments", "中位用时 {0} 秒，通常为 {1} 秒；{2} 个判断"),
    ),
    (
        r"(\d+) characters against (\d+); without length the probability is (\S+)",
        Words(
            "{0} characters against {1}; without length the probability is {2}",
            "{0} 个字符对 {1} 个；去除长度影响后概率为 {2}",
        ),
    ),
    (
        r"(\w+); its prompt is (\S+) like that of (\S+) \((\w+)\)",
        Words("{0}; its prompt is {1} like that of {2} ({3})", "{0}；其提示与 {2}（{3}）的相似度为 {1}"),
    ),
    (r"(\S+) alike: (.*)", Words("{0} alike: {1}", "相似度 {0}：{1}")),
    (r"(.*) at (\d+)", Words("{0} at {1}", "{0}，位置 {1}")),
    (
        r"(\d+) of (\d+) tokens of (.*); characters (\d+) to (\d+): (.*)",
        Words(
            "{0} of {1} tokens of {2}; characters {3} to {4}: {5}",
            "与 {2} 的 {1} 个词元中有 {0} 个相同；字符 {3} 至 {4}：{5}",
        ),
    ),
    (r"annotator (.*): (.* > .*)", Words("annotator {0}: {1}", "标注者 {0}：{1}")),
    (r"the majority: (.* > .*)", Words("the majority: {0}", "多数：{0}")),
    (r"rows: (.* > .*)", Words("rows: {0}", "数据行：{0}")),
)

VERDICTS = {
    "reached": Words("reached", "达到"),
    "not reached": Words("not reached", "未达到"),
    "not enough data": Words("not enough data", "数据不足"),
}
MEASURES = {
    "alpha": Words("Krippendorff's alpha", "Krippendorff α"),
    "cross_alpha": Words("alpha, people against models", "α（人对模型）"),
    "percent": Words("percent agreement", "一致比例"),
    "ac1": Words("Gwet's AC1", "Gwet AC1"),
    "kendall_w": Words("Kendall's W", "Kendall W"),
}
GROUPS = {
    "people": Words("people", "人"),
    "models": Words("models", "模型"),
    "all": Words("all annotators", "全部标注者"),
    "people against models": Words("people against models", "人对模型"),
}
CRITERIA = {"choice": Words("choice", "二选一"), "ranking": Words("ranking", "排序"), "value": Words("value", "取值")}
"""Criteria that are ours; a project's own are shown as they are called."""
SLICES = {
    "language": Words("language", "语言"),
    "kind": Words("kind of task", "任务类型"),
    "guideline": Words("guideline", "标注指南"),
    "month": Words("month", "月份"),
    "tag": Words("tag", "标签"),
}
LEVELS = {
    "good": Words("fine", "正常"),
    "info": Words("to know", "提示"),
    "warn": Words("look at it", "需查看"),
    "block": Words("stops an export", "阻止导出"),
}
FINDINGS = {
    "position_bias": Words("The answer shown first wins too often", "先显示的回答胜出过多"),
    "position_bias_person": Words("Somebody prefers one side of the screen", "有人偏好屏幕的一侧"),
    "length_bias": Words("The longer answer wins too often", "较长的回答胜出过多"),
    "style_bias": Words("Lists, headers, bold or code win too often", "列表、标题、粗体或代码胜出过多"),
    "language_mismatch": Words(
        "The chosen answer is in another script than the prompt", "被选回答与提示的文字不同，而被拒回答相同"
    ),
    "speed_outlier": Words("Somebody is far quicker than the others", "有人远比其他人快"),
    "agreement_outlier": Words(
        "Somebody agrees with the others hardly more than chance", "有人与他人的一致程度接近随机"
    ),
    "label_leak": Words("The text gives the label away", "文本泄露了标签"),
    "one_sided_mark": Words("A word at an answer's edge tells which is chosen", "回答首尾的某个词透露了哪条被选"),
    "answer_in_prompt": Words("The prompt holds the chosen answer", "提示中含有被选回答"),
    "identical_answers": Words("Chosen and rejected are the same text", "被选与被拒文本相同"),
    "near_identical_answers": Words("Chosen and rejected differ by very little", "被选与被拒几乎相同"),
    "duplicate_rows": Words("A row stands there twice", "数据行重复"),
    "contradiction": Words("The same two answers, chosen one way and the other", "同样两条回答，选择结果相反"),
    "split_leak": Words("A prompt stands in two splits", "同一提示出现在两个划分中"),
    "contamination": Words("A text is in an evaluation file", "文本出现在评测文件中"),
    "private_data": Words("Private data in a text", "文本含有个人信息"),
    "licence_unknown": Words("Rows without a licence", "数据行没有许可证"),
    "licence_mixed": Words("Rows under different licences", "数据行的许可证不一"),
    "licence_restricted": Words("A licence forbids commercial use or changes", "许可证禁止商用或修改"),
    "intransitive": Words("Judgments that go round in a circle", "判断形成循环"),
}
NEUTRAL = {
    "position_bias": Words("How often the answer shown first wins", "先显示的回答胜出的比例"),
    "position_bias_person": Words("Which side of the screen each annotator takes", "各标注者选择屏幕哪一侧"),
    "length_bias": Words("How often the longer answer wins", "较长的回答胜出的比例"),
    "style_bias": Words(
        "How often answers with lists, headers, bold or code win", "带列表、标题、粗体或代码的回答胜出的比例"
    ),
    "language_mismatch": Words("Scripts of the chosen answer and of its prompt", "被选回答与提示所用的文字"),
    "speed_outlier": Words("How quick each annotator is", "各标注者的用时"),
    "agreement_outlier": Words("How far each annotator agrees with the others", "各标注者与他人的一致程度"),
    "label_leak": Words("Words of labels in the texts", "文本中的标签用语"),
    "one_sided_mark": Words("Words that stand at one side's edge more often", "在一侧回答首尾出现较多的词"),
    "answer_in_prompt": Words("Chosen answers that stand in their prompt", "出现在提示中的被选回答"),
    "identical_answers": Words("Pairs of the same text", "文本相同的偏好对"),
    "near_identical_answers": Words("Pairs of nearly the same text", "文本几乎相同的偏好对"),
    "duplicate_rows": Words("Rows that come again", "再次出现的数据行"),
    "contradiction": Words("Pairs judged both ways", "两种选择都有的偏好对"),
    "split_leak": Words("Prompts in more than one split", "出现在多个划分中的提示"),
    "contamination": Words("Texts in common with evaluation files", "与评测文件相同的文本"),
    "private_data": Words("What looks like private data", "形似个人信息的内容"),
    "licence_unknown": Words("Rows and their licences", "数据行及其许可证"),
    "licence_mixed": Words("Licences of the rows", "数据行的各种许可证"),
    "licence_restricted": Words("What the licences allow", "许可证允许的用途"),
    "intransitive": Words("Whether judgments go round in circles", "判断是否形成循环"),
}
"""Titles of findings that are only to know: what was looked at, with nobody found guilty."""
_TRACES = {
    "each case names its file and line": Words("Each case names its file and line.", "每处都注明文件与行号。"),
    "audit/judgments.jsonl has what they judged, by annotator": Words(
        "audit/judgments.jsonl has what they judged, by annotator.", "audit/judgments.jsonl 按标注者列出其判断。"
    ),
}
_FIGURES = {
    "share": "占比",
    "slope": "斜率（对数优势）",
    "error": "标准误",
    "element": "元素",
    "marks": "词数",
    "n": "词元数",
}


def reason(text: str) -> Markup:
    """A reason, a source or a split in both languages; as it is where it is none of ours."""
    return _worded(text, _REASONS, 60)


def case_says(text: str) -> Markup:
    """What was found in one case (curate/findings.py), in both languages where the words are ours."""
    return _worded(text, _CASES, 160)


def _worded(text: str, known: tuple[tuple[str, Words], ...], limit: int) -> Markup:
    for pattern, words in known:
        if found := re.fullmatch(pattern, text, re.DOTALL):
            return say(Words(*(_placed(one, found.groups(), limit) for one in words)))
    return data(text, limit)


def _placed(text: str, groups: tuple[str, ...], limit: int) -> str:
    """The text with its places filled by pieces of data, which can hold no place themselves."""
    for place, group in enumerate(groups):
        short = excerpt(group, limit).replace("{", "(").replace("}", ")")
        text = text.replace(f"{{{place}}}", short)
    return text


def reasons(counts: Mapping[str, int]) -> dict[Markup, int]:
    """Counts by reason, worded; reasons that read alike are added up."""
    found: dict[Markup, int] = {}
    for text, n in counts.items():
        worded = reason(text) if text else Markup()
        found[worded] = found.get(worded, 0) + n
    return found


def verdict(text: str | None) -> Markup:
    """A verdict of curate.agreement in both languages."""
    if text is None:
        return Markup()
    why = text.removeprefix("no answer: ")
    if why != text:
        return say(Words("no answer: {why}", "无法得出：{why}"), why=reason(why))
    return say(VERDICTS[text]) if text in VERDICTS else data(text)


def how_to_trace(one: Finding) -> Markup:
    """What to type, or where to look, to see where a finding's cases came from."""
    if one.trace.startswith("python "):
        return say(Words("To trace it: {line}", "追溯：{line}"), line=code(one.trace))
    if one.trace in _TRACES:
        return say(_TRACES[one.trace])
    return code(one.trace) if one.trace else Markup()


def finding_title(one: Finding) -> Markup:
    """What a finding is called: as a fault where it is to be looked at, by its subject where it is only to know."""
    titles = NEUTRAL if one.level == "info" else FINDINGS
    return say(titles[one.name]) if one.name in titles else data(one.name)


def finding_says(one: Finding) -> Markup:
    """A finding in a sentence with its numbers: its own in English, made from its figures in Chinese."""
    parts = [f"{one.count:,} 处（共检查 {one.of:,}）"]
    figures = dict(one.figures)
    low, high = figures.pop("low", None), figures.pop("high", None)
    for name, value in figures.items():
        if value is None:
            continue
        spelled = excerpt(number(value) if isinstance(value, float | int) else value, 40)
        spelled = percent(value) if name == "share" and isinstance(value, float) else spelled
        if name == "share" and isinstance(low, float) and isinstance(high, float):
            spelled += f"（{between(low, high, percent)}）"
        parts.append(f"{_FIGURES.get(name, name)} {spelled}")
    said = one.says[:1].upper() + one.says[1:]
    english, chinese = (Markup("<bdi>{}</bdi>").format(excerpt(text, 300)) for text in (said, "；".join(parts)))
    return say(Words("{english}.", "{chinese}。"), english=english, chinese=chinese)
