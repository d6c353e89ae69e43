"""The tour's words in both languages: what each stage is, and what each claim says."""

from data.report import Words

STAGES: dict[str, Words] = {
    "self_instruct": Words("Grow prompts from seed tasks", "由种子任务生成提示"),
    "dedup": Words("Take out near-duplicates", "去除近似重复"),
    "self_instruct_held": Words("Grow other prompts, for experts", "另生成一批提示，供专家标注"),
    "dedup_held": Words("Take out what is near the first", "去除与第一批近似的"),
    "respond": Words("Two models answer each prompt", "两个模型各答一次"),
    "respond_held": Words("The same for the experts' prompts", "专家的提示同样作答"),
    "constitutional": Words("Answers revised by principles", "按原则修订回答"),
    "load_answers": Words("Tasks into a project", "任务载入项目"),
    "load_held": Words("Tasks into the experts' project", "任务载入专家的项目"),
    "lead": Words("A lead who lets people in", "由负责人邀请标注者"),
    "people": Words("People judge at the page's routes", "标注者通过页面接口标注"),
    "judge": Words("A model judges too, in both orders", "模型也来判断，两种顺序都问"),
    "load_judge": Words("Its judgments beside people's", "模型的判断与人的并列"),
    "load_revised": Words("Revisions into a project", "修订载入项目"),
    "calibrate": Words("The model judge held against people", "以人为准检验模型裁判"),
    "snapshot": Words("The store, frozen", "冻结存储"),
    "agreement": Words("Agreement beyond chance", "超出偶然的一致性"),
    "aggregate": Words("What many votes say together", "汇总众人的票"),
    "audit": Words("Biases, leaks and faults", "偏差、泄漏与差错"),
    "export": Words("Preference pairs with their proof", "带证明的偏好对"),
    "export_held": Words("The experts' pairs", "专家的偏好对"),
    "export_sft": Words("The best answers, to imitate", "最好的回答，供模仿"),
    "verify": Words("The export proved against the store", "对照存储验证导出"),
    "reward": Words("A reward model", "奖励模型"),
    "sft": Words("Imitation of good answers (QLoRA)", "模仿好回答（QLoRA）"),
    "dpo": Words("Preferences learnt directly (QLoRA DPO)", "直接学习偏好（QLoRA DPO）"),
    "evaluate": Words("Held to what experts judged", "以专家的判断来评估"),
    "gate": Words("The gate", "门禁"),
    "release": Words("Release", "发布"),
    "gate_undecided": Words("A contract that nothing can decide", "一份无法判定的契约"),
    "trace": Words("One pair's way", "一个偏好对的来路与去处"),
    "generate": Words("New answers by the released model", "已发布模型的新回答"),
    "load_next": Words("Back to people", "交还给标注者"),
}

CLAIMS: dict[str, tuple[Words, Words]] = {
    "alpha": (
        Words("Agreement is what the people's skills imply", "一致性与标注者的能力相符"),
        Words(
            "Estimate minus truth: {error} on average ({low} to {high}); {inside} of {of} intervals hold the truth.",
            "估计减真值平均为 {error}（95% 区间 {low} 至 {high}）；{of} 个区间中 {inside} 个包含真值。",
        ),
    ),
    "reliability": (
        Words("Each annotator's reliability is found from votes alone", "仅凭投票就能得出每位标注者的可靠程度"),
        Words(
            "Mean error {error} ({low} to {high}); the true skill lies in {inside} of {of} intervals.",
            "平均误差 {error}（{low} 至 {high}）；{of} 个区间中 {inside} 个包含真实能力。",
        ),
    ),
    "preferences": (
        Words("The export knows how often it is wrong", "导出知道自己错了多少"),
        Words(
            "{error} of the chosen truly are the worse ({low} to {high}); its probabilities foretold {foretold}.",
            "有 {error} 的 chosen 其实更差（{low} 至 {high}）；它自己的概率预言了 {foretold}。",
        ),
    ),
    "reward": (
        Words("The reward model learnt the true preference", "奖励模型学到了真实的偏好"),
        Words(
            "It scores the truly better answer higher in {right} of {n} held-out pairs ({low} to {high}).",
            "在 {n} 个留出的偏好对中，它有 {right} 给真正更好的回答更高的分（{low} 至 {high}）。",
        ),
    ),
    "passes": (
        Words("A good adapter passes its gate", "好的适配器通过门禁"),
        Words("The gate said: {gates}.", "门禁判定：{gates}。"),
    ),
    "refuses": (
        Words("An adapter of people who hardly look is refused", "由敷衍的标注者训练的适配器被拒绝"),
        Words("The gate said: {gates}.", "门禁判定：{gates}。"),
    ),
    "undecided": (
        Words("Too few cases end in “not enough evidence”", "用例太少时以“证据不足”告终"),
        Words("Exit status {status}, of 3.", "退出状态 {status}，应为 3。"),
    ),
}

OUTCOMES: dict[str, Words] = {
    "pass": Words("pass", "通过"),
    "fail": Words("fail", "不通过"),
    "not enough evidence": Words("not enough evidence", "证据不足"),
}
"""What a gate may say."""

COUNTED: dict[str, Words] = {
    "rows": Words("{n} rows", "{n} 行"),
    "removed": Words("{n} removed", "去除 {n}"),
    "kept": Words("{n} kept", "保留 {n}"),
    "tasks": Words("{n} tasks", "{n} 个任务"),
    "people": Words("{n} people", "{n} 人"),
    "judgments": Words("{n} judgments", "{n} 条判断"),
    "comparisons": Words("{n} comparisons", "{n} 次比较"),
    "findings": Words("{n} findings", "{n} 项发现"),
    "pairs": Words("{n} pairs", "{n} 个偏好对"),
    "train": Words("{n} to train on", "{n} 用于训练"),
    "test": Words("{n} held out", "{n} 留出"),
    "choice, people: alpha": Words("alpha {n}", "alpha {n}"),
    "ledger": Words("the ledger: {n}", "账本：{n}"),
    "steps": Words("{n} steps", "{n} 步"),
    "test_accuracy": Words("held-out accuracy {n}", "留出准确率 {n}"),
    "accuracy": Words("accuracy {n}", "准确率 {n}"),
    "decision": Words("{n}", "{n}"),
    "passed": Words("{n}", "{n}"),
    "current": Words("released: {n}", "已发布：{n}"),
    "answers": Words("{n} answers", "{n} 条回答"),
}
"""Keys of commands' summaries that the page shows, in this order."""
SPELT = {"choice, people: alpha", "ledger", "accuracy", "passed", "current"}
"""Those whose value is a text."""
SUMMED = {"removed", "comparisons", "findings"}
"""Those whose value is several counts by name."""
