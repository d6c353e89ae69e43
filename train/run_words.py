"""The words of a training run's page, in English and Chinese."""

from data.report import Words

TITLE = Words("Training run {name}", "训练运行 {name}")
TASK = {
    "sft": Words("Imitation of answers (SFT)", "模仿答案（SFT）"),
    "reward": Words("Reward model", "奖励模型"),
    "dpo": Words("Direct preference optimisation (DPO)", "直接偏好优化（DPO）"),
    "orpo": Words("Odds-ratio preference optimisation (ORPO)", "优势比偏好优化（ORPO）"),
    "kto": Words("Answers held good or bad (KTO)", "判为好或坏的答案（KTO）"),
}
LEAD = Words(
    "{task} from {base} on the export {export}: {rows} rows to train on, {steps} steps, method {method}.",
    "{task}：以 {base} 为起点，在导出 {export} 上训练；训练行 {rows} 行，共 {steps} 步，方法 {method}。",
)
RESUMED = Words(
    "It was taken up from a checkpoint {n} times; times and figures go on across them.",
    "中途曾从检查点继续 {n} 次；时间与各项数字连续计算。",
)

HELD_ACCURACY = Words("held-out accuracy", "留出准确率")
HELD_AUC = Words("held-out AUC, good against bad", "留出 AUC（好对坏）")
HELD_LOSS = Words("held-out loss per token", "留出每词元损失")
OF_ROWS = Words("{low} – {high} (95 %), {split}, n = {n}", "{low} – {high}（95 %），{split}，n = {n}")
FEW_ROWS = Words(
    "no interval: {clusters} prompt families, {split}, n = {n}", "无区间：仅 {clusters} 个提示族，{split}，n = {n}"
)
NONE_HELD = Words("the export has no held-out rows", "导出没有留出行")
LAST_LOSS = Words("training loss", "训练损失")
FIRST_WAS = Words("last tenth; {first} in the first", "最后十分之一；最初十分之一为 {first}")
DURATION = Words("training time", "训练时间")
PER_STEP = Words("{s} s a step", "每步 {s} 秒")
MOST_MEMORY = Words("most memory", "内存峰值")
ON = Words("on {device}", "设备 {device}")
PARAMETERS = Words("parameters trained", "训练的参数")
OF_ALL = Words("{share} of {all}", "占全部 {all} 的 {share}")
LOST = Words("rows cut or dropped", "被截断或丢弃的行")
OF_LOOKED = Words("of {n}", "共 {n} 行")
SPLIT = {
    "test": Words("test", "测试集"),
    "validation": Words("validation", "验证集"),
    "train": Words("train", "训练集"),
}

WARNINGS = Words("Warnings", "警告")
NO_WARNING = Words("Nothing was warned of while it trained.", "训练过程中没有警告。")
AT_STEP = Words("step {n}", "第 {n} 步")
NAMES = {
    "loss_not_finite": Words("loss is no number", "损失不是数字"),
    "gradients_zero": Words("no gradients", "没有梯度"),
    "likelihood_displacement": Words("both log-probabilities fall", "两边的对数概率都在下降"),
    "accuracy_at_once": Words("right at once", "一开始就全对"),
    "rewards_follow_length": Words("rewards follow length", "奖励跟随长度"),
    "kl_running_away": Words("far from the reference", "远离参考模型"),
    "loss_not_falling": Words("loss does not fall", "损失没有下降"),
    "overfitting": Words("learning by heart", "死记硬背"),
    "always_clipped": Words("gradient always clipped", "梯度总被裁剪"),
}

RESULTS = Words("On held-out rows", "在留出行上")
RESULTS_ABOUT = Words(
    "Rows that training did not see, by prompt family: whole families are held out and counted as one draw each, so "
    "the intervals (95 %) are honest about rows that are alike. Below 20 families there is none.",
    "训练没有见过的行，按提示族留出：区间（95 %）把每个提示族当作一次抽样，"
    "因此不会被彼此相似的行骗过。少于 20 族则不给区间。",
)
CHOSE_BY = Words(
    "Where validation was used to choose settings or when to stop, only the test split is evidence.",
    "若曾用验证集挑选设置或决定何时停止，则只有测试集算作证据。",
)
ACCURACY_TOLD = Words(
    "Share of rows in which the run takes people's side; the dashed line is a coin.",
    "模型与人的选择一致的行所占比例；虚线为抛硬币。",
)
AUC = Words("Good answers above bad", "好答案高于坏答案")
AUC_TOLD = Words(
    "The chance that an answer held good has a greater implicit reward, β · (log π − log π_ref), than one held bad "
    "(area under the ROC curve); the dashed line is a coin.",
    "判为好的答案的隐式奖励 β · (log π − log π_ref) 高于判为坏的答案的概率（ROC 曲线下面积）；虚线为抛硬币。",
)
AREA = Words("area under the ROC curve", "ROC 曲线下面积")
LOSS_TOLD = Words("Mean loss per token in nats, each answer counting once.", "每词元平均损失（奈特），每个答案计一次。")
SLICE = Words("rows of", "范围")
VALUE = Words("value", "数值")
INTERVAL = Words("interval (95 %)", "区间（95 %）")
ROWS = Words("rows", "行数")
CLUSTERS = Words("prompt families", "提示族")
SHARE_RIGHT = Words("share of rows on people's side", "与人一致的行所占比例")
LOSS_TOLD_KTO = Words(
    "Mean loss per token in nats, each answer counting once; of answers held good a small one is better, of those "
    "held bad a great one.",
    "每词元平均损失（奈特），每个答案计一次；判为好的答案越小越好，判为坏的越大越好。",
)
JUDGES = {
    "human": Words("people", "人"),
    "model": Words("a model", "模型"),
    "both": Words("both", "两者"),
    "rule": Words("a rule", "规则"),
}
LOSS_PER_TOKEN = Words("loss per token (nats)", "每词元损失（奈特）")
PERPLEXITY_TOLD = Words("A loss of {loss} nats a token is a perplexity of {p}.", "每词元 {loss} 奈特，即困惑度 {p}。")
RELIABILITY = Words("Do its probabilities hold?", "它的概率可信吗？")
RELIABILITY_ABOUT = Words(
    "How sure it was of the side it took against how often people took that side, in bins of about as many rows; on "
    "the dashed line the two agree. Mean distance {error}, Brier score {brier}.",
    "它对所选一方的把握，与人们选择该方的频率之比，每组行数大致相同；"
    "落在虚线上即两者一致。平均偏差 {error}，Brier 分数 {brier}。",
)
TOO_SURE = Words(
    " It is too sure of itself: its log-odds fit best divided by {t}.", "它过于自信：对数几率除以 {t} 最为贴合。"
)
TOO_UNSURE = Words(
    " It could be surer: its log-odds fit best divided by {t}.", "它本可更有把握：对数几率除以 {t} 最为贴合。"
)
FITS = Words(
    " Nothing says that they do not (temperature {t}, its interval spans 1).",
    "没有迹象表明不可信（温度 {t}，其区间含 1）。",
)
SURE = Words("how sure it was", "它的把握")
PEOPLE = Words("people on that side", "人们选该方的比例")

CURVES = Words("How it learnt", "学习过程")
CURVES_ABOUT = Words(
    "By step, from audit/metrics.jsonl; a long run is drawn through the means of stretches of steps. "
    "Figures from … to … are means over the first and the last tenth.",
    "按步绘制，数据在 audit/metrics.jsonl；步数多时画的是各段的平均值。“从……到……”为最初与最后十分之一的平均。",
)
STEP = Words("step", "步")
TRAINING = Words("training", "训练")
VALIDATION = Words("validation", "验证")
CHOSEN = Words("chosen", "选中")
REJECTED = Words("rejected", "落选")
FROM_TO = Words(" From {first} to {last} ({name}).", "从 {first} 到 {last}（{name}）。")
LOSS = Words("Loss", "损失")
LOSS_Y = Words("loss (nats)", "损失（奈特）")
LOSS_ABOUT = Words("What training makes small.", "训练要使之变小的量。")
ACCURACY = Words("Accuracy", "准确率")
ACCURACY_Y = Words("share of pairs right", "判断正确的比例")
ACCURACY_ABOUT = Words("Share of pairs whose chosen answer scores higher.", "选中答案得分更高的样本对所占比例。")
MARGIN = Words("Margin", "间隔")
MARGIN_Y = Words("chosen − rejected", "选中 − 落选")
MARGIN_ABOUT = Words("By how much the chosen answer scores higher.", "选中答案的得分高出多少。")
REWARDS = Words("Scores of chosen and rejected", "选中与落选答案的得分")
REWARDS_Y = Words("score", "得分")
REWARDS_ABOUT = Words(
    "A reward model's own score; in DPO and KTO β times the log-probability gained over the reference.",
    "奖励模型自身的得分；在 DPO 与 KTO 中为 β 乘以相对参考模型的对数概率增量。",
)
LOGPS = Words("Log-probabilities of chosen and rejected", "选中与落选答案的对数概率")
NATS = Words("nats an answer", "每个答案的奈特数")
LOGPS_ABOUT = Words("Where both fall, good answers become less likely too.", "两条都下降时，好答案也变得更不可能。")
KL = Words("Distance from the reference", "与参考模型的距离")
KL_ABOUT = Words(
    "Mean of log π − log π_ref over the batch's answers: an estimate of KL that can be below zero.",
    "批次答案上 log π − log π_ref 的均值：KL 的一个估计，可为负。",
)
LENGTH = Words("Margin and length", "间隔与长度")
CORRELATION = Words("correlation", "相关系数")
LENGTH_ABOUT = Words(
    "Correlation of the margin with how much longer the chosen answer is; near 1 it is length that is rewarded.",
    "间隔与选中答案多出的长度之间的相关系数；接近 1 说明奖励的是长度。",
)
GRADIENT = Words("Gradient norm", "梯度范数")
NORM = Words("norm before clipping", "裁剪前的范数")
GRADIENT_ABOUT = Words("Before it is clipped to max_grad_norm.", "按 max_grad_norm 裁剪之前。")
RATE = Words("Learning rate", "学习率")
RATE_Y = Words("millionths (10⁻⁶)", "百万分之一（10⁻⁶）")
RATE_ABOUT = Words("Rises in the warm-up, then as scheduled.", "预热时上升，之后按计划变化。")
MEMORY = Words("Memory", "内存")
GIB_Y = Words("greatest so far (GiB)", "迄今峰值（GiB）")
MEMORY_ABOUT = Words("Allocated on the GPU, or resident on the CPU.", "GPU 上为已分配，CPU 上为常驻。")
TIME = Words("Time of a step", "每步用时")
SECONDS = Words("seconds", "秒")
TIME_ABOUT = Words("Between one logged step and the next, evaluation included.", "两次记录之间的平均值，含评估。")

COST = Words("Memory and time", "内存与时间")
PREDICTED = Words("Predicted against used", "预测与实际")
PART = Words("part", "部分")
BEFORE = Words("predicted", "预测")
USED = Words("used", "实际")
OFF = Words("prediction off by", "预测偏差")
ESTIMATE_ABOUT = Words(
    "What train.estimate said before the run beside what the run took; the errors are kept in audit/estimate.jsonl.",
    "train.estimate 在运行前的预测与实际所用的对照；偏差保存在 audit/estimate.jsonl。",
)
PARTS = {
    "weights": Words("weights", "权重"),
    "adapter": Words("adapter", "适配器"),
    "gradients": Words("gradients", "梯度"),
    "optimizer": Words("optimiser", "优化器"),
    "optimiser": Words("optimiser", "优化器"),
    "activations": Words("activations", "激活"),
    "logits": Words("logits", "输出分布"),
    "reference": Words("reference model", "参考模型"),
    "total": Words("in all", "合计"),
    "peak": Words("peak", "峰值"),
    "time": Words("time", "时间"),
    "other": Words("other", "其他"),
}

PREFLIGHT = Words("What training did not see", "训练没有看到的内容")
NOTHING_LOST = Words("All {n} rows fit: nothing was cut, nothing dropped.", "全部 {n} 行都放得下：没有截断，没有丢弃。")
SOME_LOST = Words(
    "{lost} of {n} rows were not seen whole ({share}); every one is in audit/preflight.jsonl with its reason.",
    "{n} 行中有 {lost} 行未被完整看到（{share}）；每一行及其原因都在 audit/preflight.jsonl。",
)
FATE = Words("what became of it", "结果")
FATES = {
    "cut": Words("cut", "截断"),
    "dropped": Words("dropped", "丢弃"),
    "no signal": Words("nothing to learn", "无可学习"),
    "kept": Words("kept", "保留"),
}
WHY = Words("why", "原因")
ROW = Words("row", "行")
SPLIT_COLUMN = Words("split", "划分")
TOKENS = Words("tokens: prompt / chosen / rejected", "词元数：提示 / 选中 / 落选")

WORST = Words("What it did worst on", "表现最差的样本")
WORST_NONE = Words("It took people's side in every held-out row.", "在每一行留出样本上，它都与人的选择一致。")
WORST_PAIRS = Words(
    "Held-out rows in which it takes the other side than people did. Read them before you believe a figure: some are "
    "its mistakes, some are labels to be looked at again. All {n} are in audit/worst.jsonl, with task and "
    "judgment ids.",
    "它与人的选择相反的留出行。先读这些，再相信数字：有的是它的错误，有的是该重新审视的标签。"
    "全部 {n} 行在 audit/worst.jsonl，附任务与判断的编号。",
)
WORST_ANSWERS = Words(
    "Held-out answers that it finds least likely, or (held bad) still likely. All {n} are in audit/worst.jsonl.",
    "它认为最不可能的留出答案，或被判为坏却仍认为可能的答案。全部 {n} 行在 audit/worst.jsonl。",
)
AGAIN = Words(
    "To have people judge these pairs again, blind to how they were judged before, in a project of their own (a "
    "project's own tasks keep the overlap they were loaded with):",
    "若要请人重新判断这些样本对（看不到先前的判断），请放进单独的项目（原项目的任务保持载入时的重叠数）：",
)
TRACE = Words("Where a row came from, and what came of it:", "查看某一行的来历与去向：")
WHYS = {
    "against certain people": Words("people were certain", "人们意见确定"),
    "widest margin": Words("widest margin the wrong way", "反方向间隔最大"),
    "highest loss": Words("least likely", "最不可能"),
    "likely though held bad": Words("held bad, yet likely", "被判为坏却仍可能"),
}
PAIR_SAYS = Words(
    "People: {p} for the chosen answer. The run: {q} for the rejected one (margin {margin}).",
    "人们：{p} 认为选中的更好。模型：{q} 认为落选的更好（间隔 {margin}）。",
)
PAIR_SAYS_OTHER = Words(
    "People: {p} for the chosen answer. The run: {q} for it (margin {margin}).",
    "人们：{p} 认为选中的更好。模型：{q}（间隔 {margin}）。",
)
ANSWER_SAYS = Words("Loss per token {loss} nats.", "每词元损失 {loss} 奈特。")
PROMPT = Words("Prompt", "提示")
CHOSEN_BY_PEOPLE = Words("Chosen by people", "人们选中")
REJECTED_BY_PEOPLE = Words("Rejected", "落选")
HELD = {
    True: Words("Answer held good", "判为好的答案"),
    False: Words("Answer held bad", "判为坏的答案"),
    None: Words("Answer to imitate", "要模仿的答案"),
}
CUT_TEXT = Words("… {n} more characters", "……另有 {n} 个字符")
EMPTY = Words("(empty answer)", "（空答案）")
NO_TEXT = Words("its text is in the export", "原文见导出")

DATA = Words("The data", "数据")
LICENCE = Words("licence", "许可证")
SOURCE = Words("judged by", "由谁判断")
LANGUAGE = Words("language", "语言")
SPLITS = Words("split", "划分")

REPEAT = Words("To run it again", "再次运行")
REPEAT_ABOUT = Words(
    "The same export, settings, seed and threads give the same bytes on a CPU in float32; on a GPU the same figures to "
    "a tolerance. Settings as run are in audit/config.yaml.",
    "在 CPU 上以 float32 运行时，相同的导出、设置、种子与线程数得到相同的字节；"
    "在 GPU 上数字在容差内相同。所用设置在 audit/config.yaml。",
)
NEXT = Words("Then:", "接下来：")
SETTINGS = Words("Settings as run", "所用设置")
SETTING = Words("setting", "设置")
HASHES = Words("Hashes and versions", "哈希与版本")
WHAT = Words("of", "对象")
FILE = Words("file", "文件")
HOLDS = Words("what it holds", "内容")
ROW_IS = Words("Row {id}, task {task}, {split}", "行 {id}，任务 {task}，{split}")
ROW_ALONE = Words("Row {id}, {split}", "行 {id}，{split}")
FILES = Words("Files", "文件")
FILES_LISTED: tuple[tuple[str, Words], ...] = (
    ("model/", Words("the adapter or model, with tokenizer and chat template", "适配器或模型，连同分词器与对话模板")),
    ("README.md", Words("the model card", "模型卡")),
    ("data/held_out.jsonl", Words("every held-out row with its scores", "每一行留出样本及其得分")),
    ("audit/metrics.jsonl", Words("every logged step", "每一次记录")),
    ("audit/worst.jsonl", Words("the rows it did worst on", "表现最差的行")),
    ("audit/ask_again.jsonl", Words("those rows as tasks for people", "同样的行，可供人重新判断的任务")),
    ("audit/preflight.jsonl", Words("rows cut or dropped", "被截断或丢弃的行")),
    ("audit/warnings.jsonl", Words("warnings as they were told", "当时的警告")),
    ("audit/config.yaml", Words("settings as run", "所用设置")),
    ("manifest.json", Words("hashes of all of it", "全部内容的哈希")),
)
