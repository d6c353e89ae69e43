"""The words of an export's report (curate/report.py), in English and Chinese."""

from data.report import Words

TITLE = Words("{name}: what is in this dataset", "{name}：这个数据集里有什么")
PATH = Words("From tasks to rows", "从任务到数据行")
ROWS = Words("What the rows are", "数据行的构成")
CERTAINTY = Words("How sure the rows are", "数据行有多可靠")
FOUND = Words("What the checks found", "检查结果")
AGREEMENT = Words("How far annotators agree", "标注者有多一致")
ANNOTATORS = Words("The annotators", "标注者")
AGGREGATE = Words("Votes put together", "票数汇总")
JUDGES = Words("Model judges against people", "模型裁判与人")
DUPLICATES = Words("Duplicates and contradictions", "重复与矛盾")
SPLITS = Words("Train, validation and test", "训练、验证与测试")
RULES = Words("The rules that made it", "生成规则")
CHECK = Words("Check it yourself", "自行核查")

KINDS = {
    "trl": Words(
        "Each row is a pair of answers to one prompt, the better one named",
        "每行是同一提示的两条回答，并标明较好的一条",
    ),
    "trl-unpaired": Words("Each row is one answer, marked good or bad", "每行是一条回答，标为好或坏"),
    "sft": Words("Each row is a prompt with its best answer", "每行是一个提示及其最佳回答"),
}
WHAT = Words("This dataset has {rows} rows, made from {made}. {each}.", "本数据集共 {rows} 行，来自{made}。{each}。")
WHAT_ROWS = Words("This dataset has {rows} rows.", "本数据集共 {rows} 行。")
MADE_FROM = Words("{judgments} judgments of {tasks} tasks", "对 {tasks} 个任务的 {judgments} 个判断")
AGREE = Words(
    "Annotators agree to alpha {alpha} (1: always, 0: no more than chance); the goal of {rule}: {verdict}.",
    "标注者一致程度 α 为 {alpha}（1 为完全一致，0 为与随机相同）；目标 {rule}：{verdict}。",
)
STOPS = Words(
    "Findings that stop this export until they are mended or allowed by name ({n}):",
    "阻止导出的发现，须修正或按名称放行（{n} 项）：",
)
PASSED = Words(
    "Findings that would have stopped this export and were allowed by name ({n}):",
    "本会阻止导出、已按名称放行的发现（{n} 项）：",
)
LOOK = Words("Findings to look at before training on this ({n}):", "用于训练前须查看的发现（{n} 项）：")
FINE = Words("The checks found nothing that needs looking at.", "各项检查未发现需要查看的问题。")

ROWS_KEY = Words("rows", "数据行")
PROMPTS = Words("prompts", "提示")
EACH = Words("{n} rows each on average", "平均每个 {n} 行")
JUDGMENTS = Words("judgments used", "采用的判断")
JUDGMENTS_ALL = Words("judgments", "判断")
NOT_USED = Words("{n} more not used", "另有 {n} 个未采用")
PEOPLE = Words("annotators", "标注者")
TO_LOOK_AT = Words("findings to look at", "需查看的发现")
OF_FOUND = Words("of {n} in all", "共 {n} 项")
TASKS = Words("tasks", "任务")
JUDGED = Words("tasks judged", "已判断的任务")
PAIRS = Words("pairs", "回答对")
WHY_UNUSED = Words("judgments not used, because", "未采用判断的原因")
WHY_LEFT_OUT = Words("answers that gave no row, because", "未成为数据行的原因")
TIMES = Words("times", "次数")
WHERE_LOST = Words("{unused} and {left} name each of them.", "{unused} 与 {left} 逐一列出。")
SOURCE = Words(
    "“Judged by” says who stands behind a row: people, a model, a rule (a revision is assumed better), or people"
    " together with others.",
    "“判断来源”指一行背后是谁：人、模型、规则（假定修订版更好），或人与其他来源一起。",
)
JUDGED_BY = Words("judged by", "判断来源")
LANGUAGE = Words("language", "语言")
LICENCE = Words("licence", "许可证")
GUIDELINE = Words("guideline version", "标注指南版本")
MONTH = Words("month", "月份")

PROBABILITY = Words("Probability that chosen is better", "被选回答更好的概率")
PROBABILITY_X = Words("probability (0.5: undecided, 1: certain)", "概率（0.5 为不分上下，1 为确定）")
PROBABILITY_SAYS = Words(
    "Each row says how probable it is that the chosen answer is the better one. A few votes never make it certain: a"
    " small number of imagined votes stands on both sides (the prior).",
    "每行都给出被选回答确实更好的概率。几票不足以完全确定：双方都预先加上少量虚拟票（先验）。",
)
PROBABILITY_TOLD = Words("{share} of the rows have 0.8 or more.", "{share} 的数据行概率不低于 0.8。")
METHOD = Words("As a formula: {method}", "公式：{method}")
WEIGHT = Words("Weight", "权重")
WEIGHT_X = Words("weight (votes that the row stands for)", "权重（该行相当于多少票）")
WEIGHT_SAYS = Words(
    "Pairs of one ranking share its weight, so that a long ranking does not count more.",
    "同一排序产生的各对平分权重，排序长也不会多算。",
)
MARGIN = Words("Margin", "分差")
MARGIN_X = Words("score of chosen less score of rejected", "被选得分减被拒得分")
MARGIN_SAYS = Words(
    "The margin is how far apart the two answers are; reward models can be trained on it.",
    "分差表示两条回答差多远，可用于训练奖励模型。",
)
VOTES = Words("Votes per pair", "每对的票数")
VOTES_X = Words("votes for either side or a tie", "投给任一方或平局的票数")
VOTES_SAYS = Words("Pairs with one vote rest on one opinion.", "只有一票的对只代表一个人的意见。")
PER_PROMPT = Words("Rows per prompt", "每个提示的行数")
PER_PROMPT_X = Words("rows of one prompt", "同一提示的行数")
PER_PROMPT_SAYS = Words("Prompts with many rows weigh more in training.", "行数多的提示在训练中占比更大。")
SPREAD = Words("From {low} to {high}, half of them at most {middle}.", "从 {low} 到 {high}，一半不超过 {middle}。")
ALL_ONE = Words("The same everywhere: {value}.", "全部相同：{value}。")
LENGTHS = Words("Length of the answers", "回答长度")
CHARACTERS = Words("characters (logarithmic)", "字符数（对数刻度）")
SIDES = {"chosen": Words("chosen", "被选"), "rejected": Words("rejected", "被拒")}
LENGTHS_TOLD = [
    Words("Half of the answers have at most about {a} characters.", "一半回答不超过约 {a} 个字符。"),
    Words(
        "Half of the chosen answers have at most about {a} characters, half of the rejected {b}. Where chosen is"
        " longer throughout, a model may learn length instead of quality.",
        "被选回答的中位长度约 {a} 个字符，被拒约 {b} 个。若被选普遍更长，模型可能学到的是长度而非质量。",
    ),
]

AGGREGATED = Words(
    "Several votes on the same two answers are put together. The majority counts heads; Dawid-Skene also learns how"
    " reliable each annotator is and weighs the votes by it.",
    "对同样两条回答的多票需要汇总。多数决只数人头；Dawid-Skene 同时估计每位标注者的可靠度并据此加权。",
)
DIFFER = Words(
    "The weighed result differs from the plain majority on {n} pairs; {even} majorities are even.",
    "加权结果与简单多数在 {n} 对上不同；{even} 对票数相等。",
)
ITERATIONS = Words("It settled after {n} passes over the votes.", "迭代 {n} 遍后收敛。")
NO_END = Words("It had not settled after {n} passes; take it with care.", "迭代 {n} 遍仍未收敛，请谨慎使用。")
WHY_REMOVED = Words("taken out, because", "移除原因")
REMOVED = Words(
    "{file} names each, with the row kept for it and how alike the two are.",
    "{file} 逐一列出，并注明保留的行与相似度。",
)
CONTRADICTIONS = Words(
    "Pairs of rows that say the opposite of each other (the same two answers, chosen the other way round): {n}."
    " They are kept and reported.",
    "互相矛盾的数据行（同样两条回答，选择相反）：{n} 组。它们被保留并报告。",
)
GROUPS = Words(
    "Prompts that are nearly alike, and dialogues that share their beginning, stay on one side: {n} groups, the"
    " largest with {largest} rows.",
    "近似的提示以及开头相同的对话保持在同一划分：共 {n} 组，最大一组 {largest} 行。",
)
FAR_APART = Words(
    "No two prompts on different sides are {least} alike or more.", "不同划分之间没有相似度达到 {least} 的提示。"
)
NEAREST = Words(
    "The most alike prompts on different sides share {value} of their word sequences (1: the same): {a} and {b}.",
    "不同划分之间最相似的提示，词序列重合度为 {value}（1 为相同）：{a} 与 {b}。",
)
SPLIT = Words("split", "划分")
RULES_SAY = Words(
    "The same rules on the same judgments give the same rows, byte for byte.",
    "同样的规则与判断会得到逐字节相同的数据行。",
)
SETTING = Words("setting", "项目")
VALUE = Words("value", "值")
LEDGER = Words("newest event of the ledger when it was read", "读取时账本的最新事件")
DIGEST = Words("digest", "摘要值")
READ_AT = Words("read", "读取时间")
FORMAT = Words("format", "格式")
VERIFY = Words(
    "Whether every file is as it was written, and every row follows from its judgments:",
    "每个文件是否未被改动，每行是否由其判断得出：",
)
TRACE = Words(
    "Where a row, answer or judgment came from, and what came of it:", "某行、某回答或某判断从何而来、产生了什么："
)
DIFF = Words("What changed against another export, and why:", "与另一次导出相比有何变化、为何变化：")
