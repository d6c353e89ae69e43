"""What simulated tasks say: prompts and answers of four grades, in English and Chinese.

An answer's text follows from its true worth (its grade) and from how many sentences that
add nothing are hung onto it, so a model trained on the simulated judgments has something
to learn, and a judge who falls for length has something to fall for.
"""

from typing import NamedTuple

GRADES = ("wrong", "vague", "thin", "full")  # worst first


class Topic(NamedTuple):
    """A question in five wordings, the values that fill it, and one answer per grade, worst first.

    A value is a tuple: the first fills `{0}` of the prompt, all of them fill the answers.
    """

    tag: str
    language: str
    prompts: tuple[str, str, str, str, str]
    values: list[tuple[str, ...]]
    answers: tuple[str, str, str, str]


def sums(rate: int) -> list[tuple[str, ...]]:
    """Twelve percentages to work out: the sum, its right result, and one ten times too large."""
    wholes = range(120, 360, 20)
    return [(f"{rate}% × {w}", str(w * rate // 100), str(w * rate // 10)) for w in wholes]


CAPITALS = [
    ("Australia", "Canberra", "Sydney", "澳大利亚", "堪培拉", "悉尼"),
    ("Canada", "Ottawa", "Toronto", "加拿大", "渥太华", "多伦多"),
    ("Brazil", "Brasília", "Rio de Janeiro", "巴西", "巴西利亚", "里约热内卢"),
    ("Switzerland", "Bern", "Zurich", "瑞士", "伯尔尼", "苏黎世"),
    ("Türkiye", "Ankara", "Istanbul", "土耳其", "安卡拉", "伊斯坦布尔"),
    ("New Zealand", "Wellington", "Auckland", "新西兰", "惠灵顿", "奥克兰"),
    ("Morocco", "Rabat", "Casablanca", "摩洛哥", "拉巴特", "卡萨布兰卡"),
    ("Vietnam", "Hanoi", "Ho Chi Minh City", "越南", "河内", "胡志明市"),
    ("Kazakhstan", "Astana", "Almaty", "哈萨克斯坦", "阿斯塔纳", "阿拉木图"),
    ("Nigeria", "Abuja", "Lagos", "尼日利亚", "阿布贾", "拉各斯"),
    ("Pakistan", "Islamabad", "Karachi", "巴基斯坦", "伊斯兰堡", "卡拉奇"),
    ("Ecuador", "Quito", "Guayaquil", "厄瓜多尔", "基多", "瓜亚基尔"),
]

REQUESTS = [
    ("Send me the report today.", "the report", "今天把报告发给我。", "报告"),
    ("Your invoice is wrong, fix it.", "the invoice", "你的发票错了，改一下。", "发票"),
    ("I can't come on Friday.", "Friday", "周五我来不了。", "周五的安排"),
    ("Stop changing the plan.", "the plan", "别再改计划了。", "计划"),
    ("You forgot the attachment.", "the attachment", "你忘了加附件。", "附件"),
    ("I need the keys back.", "the keys", "把钥匙还给我。", "钥匙"),
    ("Answer my question.", "my question", "回答我的问题。", "我的问题"),
    ("Turn the music down.", "the music", "音乐小声点。", "音乐"),
    ("The room must be free by ten.", "the room", "十点前把房间腾出来。", "房间"),
    ("Your dog barks all night.", "the barking", "你家的狗整晚在叫。", "狗叫的事"),
    ("Don't park in front of my gate.", "the parking", "别把车停在我门口。", "停车的事"),
    ("We won't pay for the delay.", "the delay", "延误的钱我们不付。", "延误"),
]

HABITS = [
    ("sleep better", "睡得更好"),
    ("read more books", "多读书"),
    ("drink less coffee", "少喝咖啡"),
    ("learn thirty new words a week", "每周学三十个生词"),
    ("run five kilometres", "跑完五公里"),
    ("spend less on takeaway", "少点外卖"),
    ("keep my desk tidy", "让书桌保持整洁"),
    ("speak up in meetings", "在会上多发言"),
    ("call my grandparents regularly", "常给祖父母打电话"),
    ("stop checking my phone in bed", "不在床上看手机"),
    ("cook at home on weekdays", "工作日在家做饭"),
    ("play the guitar every day", "每天弹吉他"),
]

# 0.6214 miles to the kilometre, rounded to a tenth in whole numbers; the wrong way round is times 1.6
KILOMETRES = [
    (str(k), f"{(k * 6214 + 500) // 10000}.{(k * 6214 + 500) // 1000 % 10}", str(k * 8 // 5)) for k in range(5, 65, 5)
]

TOPICS = [
    Topic(
        "maths",
        "en",
        (
            "What is {0}?",
            "Please work out {0} for me.",
            "I keep getting a different result every time: how much is {0}?",
            "Till receipt in hand, no calculator. {0} = ?",
            "My daughter has {0} in her homework. What should she write down?",
        ),
        sums(15),
        (
            "{0} is {2}.",
            "You multiply the number by the rate; the result depends on how you round.",
            "{1}.",
            "Move the decimal point for 10%, then add the rest in proportion: {0} = **{1}**.",
        ),
    ),
    Topic(
        "maths",
        "zh",
        (
            "{0} 等于多少？",
            "请帮我算一下 {0}。",
            "手边没有计算器，{0} 是多少？",
            "孩子的作业里有 {0}，答案应该写什么？",
            "我每次算出来都不一样：{0} 到底得多少？",
        ),
        sums(35),
        (
            "{0} = {2}。",
            "用这个数乘以百分比就行，结果看怎么取整。",
            "{1}。",
            "先算 10%，再按比例相加：{0} = **{1}**。",
        ),
    ),
    Topic(
        "facts",
        "en",
        (
            "What is the capital of {0}?",
            "I am preparing a pub quiz. Which city should I accept as the capital of {0}?",
            "Where does the government of {0} have its seat?",
            "My nephew insists I have the capital of {0} wrong. Which city is it?",
            "Fill in one row of my table. Country: {0}. Capital:",
        ),
        [c[:3] for c in CAPITALS],
        (
            "The capital of {0} is {2}.",
            "{0} has several important cities, and which one counts most is debated.",
            "{1}.",
            "The capital of {0} is **{1}**; {2} may be better known, but the government does not sit there.",
        ),
    ),
    Topic(
        "facts",
        "zh",
        (
            "{0}的首都是哪里？",
            "我在准备知识竞赛，{0}的首都应该填哪座城市？",
            "{0}的中央政府设在哪座城市？",
            "同学说我把{0}的首都记错了，到底是哪座城市？",
            "帮我填一行表格。国家：{0}；首都：",
        ),
        [c[3:] for c in CAPITALS],
        (
            "{0}的首都是{2}。",
            "{0}有好几座重要的城市，哪座最重要说法不一。",
            "{1}。",
            "{0}的首都是**{1}**；{2}规模更大或名气更响，但政府并不设在那里。",
        ),
    ),
    Topic(
        "writing",
        "en",
        (
            'Make this polite, in one sentence: "{0}"',
            'I am about to write to a neighbour: "{0}" Can you soften it? One sentence only.',
            'How would a diplomat put "{0}" in a single sentence?',
            'Rewrite for a formal letter, one sentence. Draft: "{0}"',
            'My boss told me that "{0}" sounds rude. What is a courteous sentence instead?',
        ),
        [r[:2] for r in REQUESTS],
        (
            "{0} And do it now.",
            "You could say the same about {1} in a friendlier tone.",
            "Please: {0}",
            "I hope you are well; could we find a moment to sort out {1}? It would help me a great deal.",
        ),
    ),
    Topic(
        "writing",
        "zh",
        (
            "把这句话改得礼貌一些，只用一句：“{0}”",
            "我想给邻居留张纸条：“{0}”能说得委婉点吗？只写一句。",
            "“{0}”——换成外交官会怎么说？一句话。",
            "请改写成正式信函里的一句话。草稿：“{0}”",
            "领导说“{0}”听起来太冲，换一句得体的怎么说？",
        ),
        [r[2:] for r in REQUESTS],
        (
            "{0}快点。",
            "关于{1}，你可以换个更友好的语气。",
            "麻烦你：{0}",
            "您好，关于{1}，不知您方不方便和我一起处理一下？非常感谢。",
        ),
    ),
    Topic(
        "advice",
        "en",
        (
            "I want to {0}. Give me two concrete first steps.",
            "New year, same old resolution: {0}. Where do I begin? Two things I can do today.",
            "Nothing I try helps me to {0}. Name two small changes that might.",
            "A friend would like to {0} and asked me for two tips. What do I tell her?",
            "As a coach, which two exercises would you set somebody who hopes to {0}?",
        ),
        [h[:1] for h in HABITS],
        (
            "If you have to ask how to {0}, it will not work anyway.",
            "To {0}, stay motivated and believe in yourself.",
            "To {0}: start small, and track it.",
            "To {0}:\n\n1. Tie it to something you already do every day, and keep it under five minutes.\n"
            "2. Put one tick on a calendar each time; after a week, look at which days failed and why.",
        ),
    ),
    Topic(
        "advice",
        "zh",
        (
            "我想{0}，请给我两个具体的起步办法。",
            "又是新年，老愿望还是{0}。今天就能做的两件事是什么？",
            "试了很多次都没能{0}，说两个也许管用的小改变。",
            "朋友希望{0}，让我出两个主意，我该怎么说？",
            "如果你是教练，对希望{0}的人会布置哪两个练习？",
        ),
        [h[1:] for h in HABITS],
        (
            "连怎么{0}都要问，多半做不到。",
            "想{0}，要有动力，相信自己。",
            "想{0}：从小处开始，做好记录。",
            "想{0}：\n\n1. 把它挂在一件每天必做的事后面，一次不超过五分钟。\n"
            "2. 每做到一次就在日历上打个勾；一周后看看哪几天没做到、为什么。",
        ),
    ),
    Topic(
        "units",
        "en",
        (
            "Roughly how many miles are {0} kilometres?",
            "The sign says {0} km. I think in miles; what is that?",
            "Convert for a British reader: a road of {0} km.",
            "Is a ride of {0} km long? Tell me in miles.",
            "Distance left: {0} km. Miles, please, to one decimal.",
        ),
        list(KILOMETRES),
        (
            "{0} kilometres are about {2} miles.",
            "Miles are longer than kilometres, so it is fewer than {0}.",
            "About {1}.",
            "A kilometre is 0.621 miles, so {0} km ≈ **{1} miles**.",
        ),
    ),
    Topic(
        "units",
        "zh",
        (
            "{0} 公里大约是多少英里？",
            "路牌上写着 {0} 公里，换成英里是多少？",
            "请为英国读者换算：全程 {0} 公里的公路。",
            "骑行 {0} 公里算远吗？用英里告诉我。",
            "剩余路程 {0} 公里，请换算成英里，保留一位小数。",
        ),
        list(KILOMETRES),
        (
            "{0} 公里大约是 {2} 英里。",
            "英里比公里长，所以比 {0} 少。",
            "大约 {1}。",
            "1 公里约合 0.621 英里，所以 {0} 公里 ≈ **{1} 英里**。",
        ),
    ),
]

PADDING = {
    "en": (
        "That is a good question, and many people ask it.",
        "Of course, there is always more that could be said about this.",
        "I hope this is of some use to you, and feel free to ask again at any time.",
        "As with most things, it is worth keeping the wider picture in mind.",
    ),
    "zh": (
        "这是个好问题，很多人都会这样问。",
        "当然，关于这一点总还有更多可以说的。",
        "希望这对你有所帮助，有问题随时可以再问。",
        "和大多数事情一样，不妨把眼光放得更宽一些。",
    ),
}
