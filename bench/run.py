"""Every measurement, one after another, and one table at the end.

make bench                         (some minutes: shorter forms where the full one takes long)
make bench ARGS=--full             (about two hours: what the README gives)
make bench ARGS="imports startup"  (only these)
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS: dict[str, tuple[list[str], list[str]]] = {  # name of the result: the short form, the full one
    "overlap_sqlite": (["overlap", "--ops", "20000"], ["overlap"]),
    "overlap_postgresql": (
        ["overlap", "--store", "postgresql", "--ops", "20000"],
        ["overlap", "--store", "postgresql"],
    ),
    "kill_sqlite": (["kill", "--kills", "10"], ["kill"]),
    "next_task_sqlite": (["next_task"], ["next_task"]),
    "next_task_postgresql": (["next_task", "--store", "postgresql"], ["next_task", "--store", "postgresql"]),
    "startup": (["startup"], ["startup"]),
    "imports_sqlite": (["imports"], ["imports"]),
    "page": (["page", "--tasks", "40"], ["page"]),
    "closed_loop_sqlite": (["closed_loop", "--seconds", "8"], ["closed_loop"]),
    "paced_100_sqlite": (["paced", "--seconds", "40"], ["paced"]),
    "paced_500_postgresql": (
        ["paced", "--people", "500", "--store", "postgresql", "--servers", "2", "--seconds", "40"],
        ["paced", "--people", "500", "--store", "postgresql", "--servers", "2"],
    ),
    "drain_sqlite": (["drain", "--rounds", "10"], ["drain"]),
    "novelty": (["novelty", "--rouge", "300"], ["novelty"]),
    "asking": (["asking", "--requests", "2000", "--rounds", "1"], ["asking"]),
    "storm": (["asking", "--storm", "--minutes", "1"], ["asking", "--storm"]),
    "resume": (["resume", "--requests", "100000"], ["resume"]),
    "dedup": (["dedup", "--rows", "50000"], ["dedup"]),
    "dedup_small_memory": (["dedup", "--rows", "50000", "--memory", "500"], ["dedup", "--memory", "500"]),
    "dedup_command": (["dedup", "--rows", "50000", "--command"], ["dedup", "--command"]),
    "scan": (["scan", "--rows", "5000", "--seeds", "3", "--audit", "20000"], ["scan"]),
    "aggregate": (["aggregate", "--votes", "1000000", "--comparisons", "100000", "--rounds", "200"], ["aggregate"]),
    "agreement": (["agreement", "--units", "100000"], ["agreement"]),
    "live_ab": (["live", "--judgments", "100000"], ["live"]),
    "live_ranking": (["live", "--judgments", "30000", "--kind", "ranking"], ["live", "--kind", "ranking"]),
    "backup_sqlite": (["backup", "--judgments", "9000"], ["backup"]),
    "backup_postgresql": (
        ["backup", "--store", "postgresql", "--judgments", "9000"],
        ["backup", "--store", "postgresql"],
    ),
    "exporting": (["exporting", "--tasks", "5000"], ["exporting"]),
    "estimate": (["estimate", "--cells", "6"], ["estimate"]),
    "coverage": (["coverage", "--sims", "30", "--replicates", "300"], ["coverage"]),
    "gate": (["gate", "--sims", "1000"], ["gate"]),
    "win_rates": (["win_rates", "--sims", "60"], ["win_rates"]),
    "dpo_speed": (["dpo_speed", "--pairs", "16", "--repeats", "1"], ["dpo_speed"]),
    "learns": (["learns"], ["learns", "--real", "../shared/real"]),
    "infer": (["infer", "--rounds", "2", "--singles", "5", "--texts", "10"], ["infer"]),
    "gated": (["gated"], ["gated"]),
    "influence": (["influence", "--seeds", "2"], ["influence"]),
    "label_noise": (["label_noise", "--seeds", "3"], ["label_noise"]),
    "browsers": (["browsers", "--tasks", "60", "--people", "10"], ["browsers"]),
}


def main() -> int:
    """Run what was asked for; 1 when a figure was not reached."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(RUNS)} (or the start of a name)")
    args.add_argument("--full", action="store_true", help="the full sizes")
    asked = args.parse_args()
    chosen = [name for name in RUNS if not asked.names or name.startswith(tuple(asked.names))]
    if not chosen:
        args.error(f"no measurement is named {' '.join(asked.names)}")
    statuses = {}
    for name in chosen:
        module, *flags = RUNS[name][asked.full]
        print(f"\npython -m bench.{' '.join([module, *flags])}", flush=True)
        statuses[name] = subprocess.run([sys.executable, "-m", f"bench.{module}", *flags], cwd=ROOT).returncode
    print()
    for name, status in statuses.items():
        kept = ROOT / "bench" / "results" / f"{name}.json"
        said = json.loads(kept.read_text("utf-8")) if status in (0, 1) and kept.exists() else None
        verdict = {0: "reached", 1: "NOT reached"}.get(status, "FAILED")
        print(f"{verdict:12}{name:22}{said['figure'] if said else 'see above'}")
        if said:
            print(f"{'':34}against: {said['against']}")
    return int(any(statuses.values()))


if __name__ == "__main__":
    sys.exit(main())
