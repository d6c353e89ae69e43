"""What a Self-Instruct run is expected to ask, before it asks anything: for --dry-run."""

from math import ceil

from datagen.asking import Plan, rough_tokens
from datagen.growth import Growth
from datagen.request import Request
from datagen.rounds import draw
from datagen.steps import Steps

KEPT_OF_ASKED = 0.4  # of the instructions asked for: what passes the filters and gets instances, over a whole run
KEPT_OF_PASSED = 0.85  # of those that pass the filters: what gets instances


def plans(steps: Steps, growth: Growth) -> list[Plan]:
    """The stages of a run that reaches its number, in whole rounds; the yield is a guess, and stated above."""
    rules = growth.rules
    rounds = ceil(rules.num / (rules.round * rules.wanted * KEPT_OF_ASKED))
    drawn = draw(growth.seeds, [], rules, 0, 0)
    if rules.one_pass:
        return [_plan(steps, steps.one_pass(drawn.seeds), rounds * rules.round)]
    passed = ceil(rules.num / KEPT_OF_PASSED)
    some = growth.seeds[0].instruction
    labels = sum(seed.is_classification for seed in growth.seeds)
    labelled = ceil(passed * labels / len(growth.seeds))
    return [
        _plan(steps, steps.instructions(drawn.texts), rounds * rules.round),
        _plan(steps, steps.classification(some), passed),
        _plan(steps, steps.instances(some, label_first=False), passed - labelled),
        _plan(steps, steps.instances(some, label_first=True), labelled),
    ]


def _plan(steps: Steps, request: Request, times: int) -> Plan:
    most = int(request.params.get("max_tokens", 1024))
    return Plan(request.stage, steps.model, times, times * rough_tokens(request.messages), times * most)
