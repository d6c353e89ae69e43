"""Every measurement there is: its short form and its full one, what it measures, what to reach, where its ratios are.

Read by bench/run.py, which runs them in this order, most worth knowing first, and by bench/told.py, which writes
docs/benchmarks.md. A path such as "restore.seconds" leads into the measurement's own JSON, "*" through a list.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """One measurement: the name of its result, and what the two readers of this file need to know of it."""

    name: str
    room: str
    short: str  # words after `python -m bench.`; empty where it runs by its name or with --full alone
    full: str
    seconds: int  # the short form on two quiet cores, its peers included, rounded up
    what: str
    what_zh: str
    reach: str
    reach_zh: str
    ratios: tuple[tuple[str, str], ...] = ()  # the peer; a path, or two and a stroke; above 1 where ours is better
    times: tuple[str, ...] = ()  # paths to repeated values, or to their least, median and greatest
    peers: str = ""  # the environment of bench/peers.py that it finds by itself


PG = "--store postgresql"
NEXT = ("fresh_person_ms", "after_200k_ms", "after_a_fifth_ms", "when_999_of_1000_are_done_ms")
ASKED = tuple(f"per_second_at_{ms}_ms.{who}" for ms in (0, 200) for who in ("ours", "aiohttp", "default"))

ENTRIES = (
    Entry(
        *("overlap_sqlite", "annotate", "overlap --ops 20000", "overlap", 15),
        "claims and submits of processes that are killed, click twice and come back late: over-assigned or lost",
        "进程被杀、重复点击、迟到返回时的领取与提交：超额分配或丢失",
        *("0", "0"),
    ),
    Entry(
        *("kill_sqlite", "annotate", "kill --kills 8", "kill", 25),
        "acknowledged submits lost while the server is killed under load",
        "服务器在负载下被杀时，已确认的提交丢失多少",
        *("0", "0"),
    ),
    Entry(
        *("closed_loop_sqlite", "annotate", "closed_loop --levels 10,100 --seconds 8", "closed_loop", 170),
        "next and submit without a pause, by people at once; Label Studio and Potato in the same run",
        "多人同时不停顿地领取与提交；同场比较 Label Studio 与 Potato",
        "4 × the better of the two; 0 failed",
        "两者中较好者的 4 倍；0 次失败",
        ratios=(("the better rival", "compared.*.times"),),
        peers="closed_loop",
    ),
    Entry(
        *("dedup", "curate", "dedup --rows 50000 --peer-rows 30000", "dedup", 25),
        "near-duplicates of texts of 900 characters; datasketch and rensa in the same run",
        "900 字符文本的近似重复；同场比较 datasketch 与 rensa",
        "precision 1.000, recall ≥ 0.995; 1,000,000 in < 60 s and < 2 GB",
        "精确率 1.000，召回率 ≥ 0.995；1,000,000 条 < 60 秒、< 2 GB",
        ratios=(("rensa", "at_fewer_rows.rensa.times_ours"), ("datasketch", "at_fewer_rows.datasketch.times_ours")),
        peers="dedup",
    ),
    Entry(
        *("aggregate", "curate", "aggregate --votes 1000000 --comparisons 100000 --rounds 200", "aggregate", 10),
        "Dawid-Skene and Bradley-Terry with bootstrap; crowd-kit and a logistic regression in the same run",
        "Dawid-Skene 与带自助法的 Bradley-Terry；同场比较 crowd-kit 与逻辑回归",
        "10,000,000 votes < 6 s and < 2 GB; 1,000 rounds < 5 s",
        "10,000,000 票 < 6 秒、< 2 GB；1,000 轮 < 5 秒",
        ratios=(("crowd-kit", "beside.crowd_kit_s / beside.ours_s"),),
        peers="aggregate",
    ),
    Entry(
        *("agreement", "curate", "agreement --units 100000", "agreement", 15),
        "ordinal alpha out of Parquet and its intervals; the krippendorff package on the same ratings",
        "从 Parquet 计算有序 alpha 及其区间；同一评分上的 krippendorff 包",
        "10,000,000 ratings < 1 s, < 1.5 GB; intervals < 3 s and < 30 s",
        "10,000,000 个评分 < 1 秒、< 1.5 GB；区间 < 3 秒与 < 30 秒",
        ratios=(("krippendorff", "package, 5 values.seconds / alpha, 5 values.seconds"),),
    ),
    Entry(
        *("dpo_speed", "train", "dpo_speed --pairs 16 --repeats 1", "dpo_speed", 65),
        "DPO with LoRA in fp32 beside a plain TRL script with the same rows, seconds of the processor",
        "fp32 LoRA 的 DPO，与同样数据的普通 TRL 脚本比较，按处理器秒计",
        "≥ 0.9 of the ceiling; losses equal to 1e-4",
        "≥ 上限的 0.9；损失相差不超过 1e-4",
        ratios=(("TRL, prompts shared", "with_prompts_shared"), ("TRL", "reference_once")),
        times=("seconds.shared", "seconds.two", "seconds.trl"),
    ),
    Entry(
        *("asking", "datagen", "asking --rounds 1", "asking", 90),
        "requests a second with log, budget and checks on; the bare openai package in the same run",
        "开着日志、预算与检查时每秒请求数；同场比较裸 openai 包",
        "≥ 0.8 × aiohttp, ≥ 1.8 × default (at 200 ms, 200 at once are 1,000/s at most)",
        "≥ aiohttp 的 0.8 倍，≥ 默认传输的 1.8 倍（延迟 200 毫秒、200 个并发时，上限为每秒 1,000 次）",
        ratios=(
            ("aiohttp, 0 ms", "ratios_at_0_ms.to_aiohttp"),
            ("default, 0 ms", "ratios_at_0_ms.to_default"),
            ("aiohttp, 200 ms", "ratios_at_200_ms.to_aiohttp"),
            ("default, 200 ms", "ratios_at_200_ms.to_default"),
        ),
        times=ASKED,
    ),
    Entry(
        *("novelty", "datagen", "novelty --rouge 300 --million 200000", "novelty", 35),
        "exact novelty of instructions, one by one; rouge_score in Self-Instruct's way in the same run",
        "逐条精确判断指令是否新颖；同场比较 Self-Instruct 用 rouge_score 的做法",
        "52,000 < 30 s, < 300 MB; < 1 ms; 0 decisions differ",
        "52,000 条 < 30 秒、< 300 MB；< 1 毫秒；0 个判断不同",
        ratios=(("rouge_score", "rouge_score.times"),),
        times=("at_pool_ms.clock", "chinese_at_pool_ms.clock", "at_million_ms.clock"),
    ),
    Entry(
        *("imports_sqlite", "annotate", "imports", "imports", 15),
        "tasks imported a second; a bare loop of pydantic and sqlite3 in the same run",
        "每秒导入的任务数；同场比较 pydantic 加 sqlite3 的裸循环",
        *("≥ 5,000", "≥ 5,000"),
        ratios=(("pydantic + sqlite3", "ratio"),),
        times=("seconds_each.ours", "seconds_each.bare"),
    ),
    Entry(
        *("page", "annotate", "page --tasks 40", "page", 60),
        "in Chromium, from the key that submits to the next task painted",
        "在 Chromium 中，从按键提交到下一个任务画出",
        *("p95 < 150 ms", "p95 < 150 毫秒"),
        times=("submit_to_next_painted_ms",),
    ),
    Entry(
        *("next_task_sqlite", "annotate", "next_task --tasks 200000", "next_task", 10),
        "the next task among many, for a fresh person, a veteran, and at the end",
        "从大量任务中领取下一个：新人、老手、接近做完时",
        *("p95 < 50 ms, < 500 MB", "p95 < 50 毫秒，< 500 MB"),
        times=NEXT,
    ),
    Entry(
        *("next_task_postgresql", "annotate", f"next_task {PG} --tasks 100000", f"next_task {PG}", 30),
        "the same on PostgreSQL",
        "同上，PostgreSQL",
        *("p95 < 50 ms, < 500 MB", "p95 < 50 毫秒，< 500 MB"),
        times=NEXT,
    ),
    Entry(
        *("gate", "train", "gate --sims 1000", "gate", 10),
        "how often the release gate passes a run that is no better; a bootstrap over cases and unpaid looks beside it",
        "门禁放行并不更好的训练的比例；同样数据上的逐例自助法与不付代价的多次查看",
        *("false pass ≤ 5%", "误放行 ≤ 5%"),
    ),
    Entry(
        *("scan", "curate", "scan --rows 20000 --seeds 3 --audit 20000", "scan", 20),
        "contamination, private data, planted faults, the whole audit; sets of n-grams and Python's re beside it",
        "污染、隐私数据、埋入的差错、整个审计；旁边是 n-gram 集合与 Python 的 re",
        "< 30 µs a row; ≥ 50 MB/s; every fault found, no false block",
        "每行 < 30 微秒；≥ 50 MB/s；错误全部找到，无误拦",
        ratios=(("re", "private_data.english.mb_per_s / private_data.english.python_re_mb_per_s"),),
    ),
    Entry(
        *("infer", "train", "infer --rounds 2 --singles 5 --texts 10", "infer", 30),
        "forms of one model: adapter, merged, LLM.int8, NF4: tokens a second, sizes, agreement",
        "一个模型的各种形式：适配器、合并、LLM.int8、NF4：每秒词元、大小、一致率",
        "merged agrees at ≥ 99.5% of tokens",
        "合并后 ≥ 99.5% 的词元一致",
        times=("forms.adapter.one_prompt_ms", "forms.merged_float32.one_prompt_ms", "forms.nf4.one_prompt_ms"),
    ),
    Entry(
        *("startup", "annotate", "startup --repeats 3", "startup", 35),
        "from the command to the page with 50,000 tasks, against importing Gradio alone",
        "从命令到页面（已载入 50,000 个任务），与单独导入 Gradio 比较",
        *("< 2 s more", "只多 < 2 秒"),
        ratios=(("import Gradio", "import_gradio_s / until_page_s"),),
        times=("seconds_each.page", "seconds_each.gradio"),
    ),
    Entry(
        *("exporting", "curate", "exporting --tasks 5000", "exporting", 20),
        "curate.export with every stage, and curate.verify of the folder",
        "curate.export 的全部阶段，以及 curate.verify 对文件夹的验证",
        "300,000 tasks < 90 s and < 3 GB",
        "300,000 个任务 < 90 秒、< 3 GB",
    ),
    Entry(
        *("resume", "datagen", "resume --requests 100000", "resume", 10),
        "a log with answered requests: from opening it to the first new request sent",
        "已有回答的请求日志：从打开到发出第一个新请求",
        *("< 10 s, < 1 GB", "< 10 秒，< 1 GB"),
    ),
    Entry(
        *("storm", "datagen", "asking --storm", "asking --storm", 265),
        "a server that allows 50 requests a second: the share used, and the requests refused",
        "每秒只允许 50 个请求的服务器：用了多少，被拒多少",
        *("≥ 90%, < 2%", "≥ 90%，< 2%"),
    ),
    Entry(
        *("backup_sqlite", "annotate", "backup --judgments 9000", "backup", 10),
        "backup and restore with every ledger recomputed; sqlite3's own backup in the same run",
        "备份与恢复，并重算每个账本；同场比较 sqlite3 自己的备份",
        *("as it falls", "如实报告"),
        ratios=(("sqlite3", "peer.copied_s / backup.seconds"),),
    ),
    Entry(
        *("backup_postgresql", "annotate", f"backup {PG} --judgments 9000", f"backup {PG}", 15),
        "the same from PostgreSQL; pg_dump in the same run",
        "同上，PostgreSQL；同场比较 pg_dump",
        *("as it falls", "如实报告"),
        ratios=(("pg_dump", "peer.copied_s / backup.seconds"),),
    ),
    Entry(
        *("overlap_postgresql", "annotate", f"overlap {PG} --ops 10000", f"overlap {PG}", 45),
        "claims and submits of processes that are killed, on PostgreSQL: over-assigned or lost",
        "进程被杀时的领取与提交，PostgreSQL：超额分配或丢失",
        *("0", "0"),
    ),
    Entry(
        *("drain_sqlite", "annotate", "drain --rounds 8", "drain", 15),
        "20 tasks worked until empty by 60 people, again and again",
        "20 个任务由 60 人做到空，反复多次",
        *("0 over-assigned, 0 left short", "0 个超额，0 个不足"),
    ),
    Entry(
        *("paced_100_sqlite", "annotate", "paced --seconds 30", "paced", 45),
        "next and submit of 100 people who submit every 10 s",
        "100 人每 10 秒提交一次时的领取与提交",
        *("p95 < 150 ms each", "p95 各 < 150 毫秒"),
        times=("next", "submit"),
    ),
    Entry(
        "paced_500_postgresql",
        "annotate",
        f"paced --people 500 {PG} --servers 2 --seconds 30",
        f"paced --people 500 {PG} --servers 2",
        65,
        "the same with 500 people, two servers and PostgreSQL",
        "同上，500 人、两个服务器、PostgreSQL",
        *("p95 < 150 ms each", "p95 各 < 150 毫秒"),
        times=("next", "submit"),
    ),
    Entry(
        *("dedup_small_memory", "curate", "dedup --rows 50000 --memory 500", "dedup --memory 500", 10),
        "near-duplicates with little memory",
        "小内存下的近似重复",
        *("within 500 MB", "不超过 500 MB"),
    ),
    Entry(
        *("dedup_command", "curate", "dedup --rows 50000 --command", "dedup --command", 15),
        "the whole command curate.dedup with --memory 500, out of Parquet and JSONL",
        "整个 curate.dedup 命令，--memory 500，Parquet 与 JSONL",
        *("within 500 MB, the same files", "不超过 500 MB，文件相同"),
    ),
    Entry(
        *("live_ab", "curate", "live --judgments 60000", "live", 15),
        "a look at live measures after 1,000 new votes; the same from scratch beside it",
        "1,000 张新票之后看一次实时指标；旁边是从头计算",
        *("milliseconds", "毫秒级"),
        times=("look_ms",),
    ),
    Entry(
        *("live_ranking", "curate", "live --judgments 30000 --kind ranking", "live --kind ranking", 10),
        "the same for rankings",
        "同上，排序题",
        *("milliseconds", "毫秒级"),
        times=("look_ms",),
    ),
    Entry(
        *("coverage", "curate", "coverage --sims 200", "coverage", 170),
        "how often 95% intervals hold the truth, kind by kind",
        "95% 区间包含真值的比例，逐类给出",
        *("93 to 97% on average", "平均 93% 到 97%"),
    ),
    Entry(
        *("win_rates", "train", "win_rates --sims 60", "win_rates", 10),
        "how often the 95% intervals of win rates hold the truth",
        "胜率的 95% 区间包含真值的比例",
        *("93 to 97% on average", "平均 93% 到 97%"),
    ),
    Entry(
        *("estimate", "train", "estimate --cells 6", "estimate", 20),
        "the estimator's bytes against the peak of tensors of TRL's trainers",
        "估算的字节数与 TRL 训练器张量峰值之比",
        *("median error ≤ 5%, worst ≤ 12%", "误差中位数 ≤ 5%，最差 ≤ 12%"),
    ),
    Entry(
        *("influence", "train", "influence --seeds 2", "influence", 25),
        "bad judges found by train.influence; majority and Dawid-Skene on the same votes",
        "train.influence 找出的坏标注者；同样的票上的多数票与 Dawid-Skene",
        *("AUC ≥ 0.95", "AUC ≥ 0.95"),
        ratios=(
            ("majority", "auc_mean.influence / auc_mean.majority"),
            ("Dawid-Skene", "auc_mean.influence / auc_mean.dawid_skene"),
        ),
        times=("auc_by_seed.influence", "auc_by_seed.majority", "auc_by_seed.dawid_skene"),
    ),
    Entry(
        *("label_noise", "train", "label_noise --seeds 3", "label_noise", 35),
        "reward models on the posterior of noisy votes, beside the majority's labels",
        "用带噪的票的后验训练奖励模型，旁边是多数票标签",
        "≥ 90% of the clean gain kept",
        "保留 ≥ 90% 的干净增益",
        ratios=(("majority", "share_kept.posterior.mean / share_kept.majority.mean"),),
    ),
    Entry(
        *("browsers", "annotate", "browsers --tasks 40 --people 8", "browsers", 35),
        "many browsers at once: what was clicked against what is exported",
        "多个浏览器同时：点击的与导出的是否相同",
        *("0 differences", "0 处不同"),
    ),
    Entry(
        *("learns", "train", "learns", "learns --real ../shared/real", 165),
        "the judged sample, and real sets where they are there, to a reward model and DPO: held-out accuracy",
        "从自带的已判断样本（有真实数据集时也用）到奖励模型与 DPO：留出准确率",
        "lower bounds above 0.5 on the sample; no lost row unlisted",
        "样本上区间下限高于 0.5；没有未列出的丢失行",
    ),
    Entry(
        *("gated", "train", "", "gated", 200),
        "one store to a gated adapter, twice, in empty workspaces",
        "从一个存储到过门禁的适配器，在空工作区中做两次",
        *("≤ 300 s; the same digests", "≤ 300 秒；摘要值相同"),
        times=("seconds",),
    ),
    Entry(
        *("gpu_train", "train", "", "gpu_train", 3600),
        "QLoRA SFT, reward model and DPO of Llama shapes on a CUDA GPU; plain TRL in the same run",
        "在 CUDA GPU 上对 Llama 形状做 QLoRA 的 SFT、奖励模型与 DPO；同场比较普通 TRL",
        "DPO of 8B at 1024: ≤ 10 GB, ≥ 1.5 × TRL",
        "8B、长度 1024 的 DPO：≤ 10 GB，≥ TRL 的 1.5 倍",
    ),
)
