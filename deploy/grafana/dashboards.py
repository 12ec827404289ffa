#!/usr/bin/env python3
"""Writes the dashboards: `deploy/grafana/dashboards.py` after a change here. A test holds the files against this, has a real
Prometheus answer every query, and finds panels that overlap or have no unit."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent / "dashboards"
CH = 'job="hefu", channel=~"$channel"'
PR = 'job="hefu", provider=~"$provider"'
RATE = "[$__rate_interval]"


def panel(title, unit, *queries, kind="timeseries", width=8, height=8, help="", stack=False):
    """A panel; each query is an expression and its legend."""
    return dict(title=title, unit=unit, queries=queries, kind=kind, width=width, height=height, help=help, stack=stack)


def row(title):
    return dict(title=title, kind="row", width=24, height=1)


def p(quantile, metric, by, labels):
    return f"histogram_quantile({quantile}, sum by ({by}, le) (rate({metric}_bucket{{{labels}}}{RATE})))"


OPERATIONS = [
    row("Does it do its work?"),
    panel("Ready", "short", (f'up{{job="hefu"}}', "{{instance}}"), kind="stat", width=4, height=5),
    panel("Not judged, not sent or in doubt", "percentunit", ("hefu:requests_bad:ratio_rate5m", "5 min"), kind="stat", width=5,
          height=5, help="The promise is 99.9 %: HefuAvailabilityBurnsFast."),
    panel("Slower than 10 ms", "percentunit", ("hefu:overhead_slow:ratio_rate5m", "5 min"), kind="stat", width=5, height=5,
          help="Time in Hefu, without channel and provider. The promise is 99 %."),
    panel("Configuration loaded", "short", ('hefu_config_last_reload_successful{job="hefu"}', "{{instance}}"), kind="stat",
          width=5, height=5, help="0: the new files have problems, and the old ones are in force."),
    panel("Version", "short", ('count by (version) (hefu_build_info{job="hefu"})', "{{version}}"), kind="stat", width=5, height=5),
    row("The core's messages"),
    panel("By how they ended", "reqps",
          (f'sum by (ending) (rate(hefu_requests_total{{job="hefu", listener="core"}}{RATE}))', "{{ending}}"), width=12, stack=True),
    panel("By channel", "reqps",
          (f'sum by (channel) (rate(hefu_requests_total{{job="hefu", listener="core"}}{RATE}))', "{{channel}}"), width=12, stack=True),
    panel("Time in Hefu", "s", (p(0.5, "hefu_overhead_seconds", "channel", CH), "{{channel}} p50"),
          (p(0.99, "hefu_overhead_seconds", "channel", CH), "{{channel}} p99"), help="Without channel and provider."),
    panel("Until a commit is durable", "s", (p(0.5, "hefu_journal_commit_seconds", "job", 'job="hefu"'), "p50"),
          (p(0.99, "hefu_journal_commit_seconds", "job", 'job="hefu"'), "p99")),
    panel("Commits", "ops", (f'rate(hefu_journal_commit_seconds_count{{job="hefu"}}{RATE})', "{{instance}}")),
    panel("Not in the store's file yet", "bytes", ('hefu_store_log_bytes{job="hefu"}', "{{instance}}"), help="Some 16 MiB at most: else HefuStoreBehind."),
    panel("Outcomes that are owed", "short", (f"sum by (channel) (hefu_expectations_open{{{CH}}})", "{{channel}}")),
    panel("Not inspected", "reqps", (f'sum by (listener) (rate(hefu_uninspected_total{{job="hefu"}}{RATE}))', "{{listener}}")),
    panel("Refused before they were judged", "reqps",
          (f'sum by (status) (rate(hefu_framing_refusals_total{{job="hefu"}}{RATE}))', "{{status}}"),
          help="The core's fault: no single reading, too slow, too large, no route."),
    row("Notifications"),
    panel("By how they ended", "reqps",
          (f'sum by (ending) (rate(hefu_requests_total{{job="hefu", listener="notify"}}{RATE}))', "{{ending}}"), stack=True),
    panel("By what they came to", "reqps",
          (f"sum by (belief, result) (rate(hefu_notifications_total{{{CH}}}{RATE}))", "{{belief}} {{result}}"), width=16),
    row("Providers"),
    panel("Up", "short", (f"min by (provider) (hefu_provider_up{{{PR}}})", "{{provider}}"), kind="stat", height=6),
    panel("Breaker", "short", (f"max by (provider) (hefu_breaker_state{{{PR}}})", "{{provider}}"), kind="stat", height=6,
          help="0 closed, 1 half open, 2 open."),
    panel("Failed answers", "percentunit", ('hefu:verification_failed:ratio_rate5m{provider=~"$provider"}', "{{provider}}"), height=6),
    panel("Time to answer", "s", (p(0.5, "hefu_verification_seconds", "provider", PR), "{{provider}} p50"),
          (p(0.99, "hefu_verification_seconds", "provider", PR), "{{provider}} p99"), width=12),
    panel("Could answer and were not asked", "reqps",
          (f"sum by (provider, reason) (rate(hefu_inquiries_withheld_total{{{PR}}}{RATE}))", "{{provider}} {{reason}}"), width=12),
    row("The machine"),
    panel("Clock ahead", "s", ('hefu_clock_offset_seconds{job="hefu"}', "{{instance}}")),
    panel("Damaged rows", "short", ('hefu_store_damaged_rows_total{job="hefu"}', "{{instance}}"), help="Any at all: HefuStoreDamaged."),
    panel("Lines lost by the access log", "short", ('hefu_access_log_lines_lost_total{job="hefu"}', "{{instance}}")),
    panel("Spans", "ops", (f'sum by (result) (rate(hefu_spans_total{{job="hefu"}}{RATE}))', "{{result}}"),
          help="Of `[trace]`. `dropped`: the queue was full; `failed`: the collector did not take them."),
]

RISK = [
    row("Do the halves agree?"),
    panel("Matched, then refused by the channel", "percentunit",
          ('hefu:match_then_no_match:ratio1h{channel=~"$channel", provider=~"$provider"}', "{{channel}} × {{provider}}"), width=12,
          help="Of what the channel settled within the hour. HefuMismatchRatioHigh above 2 %."),
    panel("How they differ", "cpm", (f"sum by (kind) (rate(hefu_mismatches_total{{{CH}}}{RATE})) * 60", "{{kind}}"), width=12, stack=True),
    panel("On which elements", "cpm", (f"sum by (elements) (rate(hefu_mismatches_total{{{CH}}}{RATE})) * 60", "{{elements}}"), stack=True),
    panel("By who had verified", "cpm",
          (f"sum by (provider) (rate(hefu_mismatches_total{{{CH}, provider=~\"$provider|none\"}}{RATE})) * 60", "{{provider}}"), stack=True),
    panel("By channel", "cpm", (f"sum by (channel) (rate(hefu_mismatches_total{{{CH}}}{RATE})) * 60", "{{channel}}"), stack=True),
    row("Who is right?"),
    panel("A match that the channel bears out", "percentunit",
          (f'hefu_concordance_ratio{{{CH}, provider=~"$provider", said="match", bound="expected"}}', "{{channel}} × {{provider}}: {{elements}}"),
          help="The share that is expected, by the samples so far; docs/concordance.md."),
    panel("At least, by 95 %", "percentunit",
          (f'hefu_concordance_ratio{{{CH}, provider=~"$provider", said="match", bound="low"}}', "{{channel}} × {{provider}}: {{elements}}"),
          help="The lower bound: a provider of whom little is known stands low."),
    panel("Samples, as they weigh now", "short",
          (f'sum by (channel, provider, said) (hefu_concordance_samples{{{CH}, provider=~"$provider"}})', "{{channel}} × {{provider}}: {{said}}")),
    row("What is decided"),
    panel("Decisions", "reqps",
          (f"sum by (decision, mode) (rate(hefu_payments_total{{{CH}}}{RATE}))", "{{decision}} in {{mode}}"), width=12, stack=True),
    panel("Refused, by scenario", "reqps",
          (f'sum by (scenario) (rate(hefu_payments_total{{{CH}, decision="refuse"}}{RATE}))', "{{scenario}}"), width=12, stack=True),
    panel("Money refused", "percentunit", ('hefu:money_refused:ratio15m{channel=~"$channel"}', "{{channel}}"),
          help="In enforce, of debit, pay, withdraw and payout."),
    panel("Holds that stand", "short", (f"sum by (channel) (hefu_holds_open{{{CH}}})", "{{channel}}")),
    panel("Holds not made", "cpm", (f"sum by (channel, bank) (increase(hefu_holds_paused{{{CH}}}[1h]))", "{{channel}} {{bank}}"),
          help="An issuer's bad night: HefuHoldsPaused."),
    panel("Rule hits", "reqps", (f'sum by (rule, effect, mode) (rate(hefu_rule_hits_total{{job="hefu"}}{RATE}))',
                                 "{{rule}} {{effect}} {{mode}}"), width=12),
    panel("Attempts denied", "reqps", (f'sum by (reason) (rate(hefu_attempts_denied_total{{job="hefu"}}{RATE}))', "{{reason}}"), width=12),
    row("What is said"),
    panel("Answers", "reqps", (f"sum by (answer) (rate(hefu_verifications_total{{{PR}}}{RATE}))", "{{answer}}"), stack=True),
    panel("Answers that do not match", "percentunit",
          (f'sum by (provider) (rate(hefu_verifications_total{{{PR}, answer="no_match"}}{RATE}))'
           f" / sum by (provider) (rate(hefu_verifications_total{{{PR}}}{RATE}))", "{{provider}}")),
    panel("Evidence", "reqps", (f'sum by (result) (rate(hefu_evidence_total{{job="hefu"}}{RATE}))', "{{result}}"), stack=True),
    panel("Outcomes", "reqps",
          (f"sum by (outcome, arrival) (rate(hefu_outcomes_total{{{CH}}}{RATE}))", "{{outcome}} by {{arrival}}"), width=12, stack=True),
    panel("Channels that say no match", "percentunit",
          (f'sum by (channel) (rate(hefu_outcomes_total{{{CH}, outcome="no_match"}}{RATE}))'
           f" / sum by (channel) (rate(hefu_outcomes_total{{{CH}}}{RATE}))", "{{channel}}"), width=12),
    row("What is not understood"),
    panel("Codes that no map knows", "short", (f"sum by (channel) (hefu_unmapped_codes_total{{{CH}}})", "{{channel}}")),
    panel("Messages that no profile lists", "short", (f"sum by (channel) (hefu_unlisted_total{{{CH}}})", "{{channel}}")),
    panel("Answers that cannot be read", "short", (f"sum by (channel, reason) (hefu_answers_unread_total{{{CH}}})", "{{channel}} {{reason}}")),
]

FINANCE = [
    row("What verification costs"),
    panel("In the time shown", "short", (f"sum by (provider) (increase(hefu_charges_fen_total{{{PR}}}[$__range])) / 100", "{{provider}}"),
          kind="stat", width=12, help="Yuan, at the first rate of the price list; `hefu statement` knows the others."),
    panel("Of today's cap", "percentunit", (f"max by (provider) (hefu_spend_cap_ratio{{{PR}}})", "{{provider}}"), kind="stat", width=12),
    panel("Yuan an hour", "short", (f"sum by (provider) (rate(hefu_charges_fen_total{{{PR}}}{RATE})) * 36", "{{provider}}"), width=12, stack=True),
    panel("By whether it is billed", "short",
          (f"sum by (billable) (rate(hefu_charges_fen_total{{{PR}}}{RATE})) * 36", "{{billable}}"), width=12, stack=True,
          help="Yuan an hour. `uncertain`: a crash or a timeout; the provider may have got it."),
    panel("Fen an answer", "short", ('hefu:charged_fen_per_answer:ratio1h{provider=~"$provider"}', "{{provider}}")),
    panel("Inquiries", "reqps", (f"sum by (provider, elements) (rate(hefu_verifications_total{{{PR}}}{RATE}))", "{{provider}} {{elements}}"), stack=True),
    panel("Answered by what was known", "percentunit", ("hefu:evidence_hits:ratio1h", "reuse"), help="Each saves an inquiry."),
]


def target(number, query):
    expr, legend = query
    return dict(refId=chr(ord("A") + number), expr=expr, legendFormat=legend,
                datasource=dict(type="prometheus", uid="${datasource}"), editorMode="code", range=True)


def place(panels):
    """Left to right, and a new line where there is no room."""
    placed, x, y, tallest = [], 0, 0, 0
    for number, one in enumerate(panels, 1):
        if x + one["width"] > 24:
            x, y, tallest = 0, y + tallest, 0
        at = dict(x=x, y=y, w=one["width"], h=one["height"])
        x, tallest = x + one["width"], max(tallest, one["height"])
        if one["kind"] == "row":
            placed.append(dict(id=number, type="row", title=one["title"], gridPos=at, collapsed=False, panels=[]))
            continue
        custom = dict(fillOpacity=20 if one["stack"] else 0, showPoints="never",
                      stacking=dict(mode="normal" if one["stack"] else "none", group="A"))
        defaults = dict(unit=one["unit"], custom=custom) if one["kind"] == "timeseries" else dict(unit=one["unit"])
        placed.append(dict(
            id=number, type=one["kind"], title=one["title"], description=one["help"], gridPos=at,
            datasource=dict(type="prometheus", uid="${datasource}"),
            fieldConfig=dict(defaults=defaults, overrides=[]),
            targets=[target(n, query) for n, query in enumerate(one["queries"])]))
    return placed


def label(name, metric):
    return dict(name=name, type="query", datasource=dict(type="prometheus", uid="${datasource}"), multi=True, includeAll=True,
                allValue=".*", refresh=2, sort=1, query=f"label_values({metric}, {name})", current=dict(text="All", value="$__all"))


def dashboard(name, title, panels):
    return dict(
        uid=f"hefu-{name}", title=f"Hefu: {title}", tags=["hefu"], schemaVersion=39, version=1, editable=False,
        refresh="30s", timezone="browser", time={"from": "now-6h", "to": "now"},
        templating=dict(list=[
            dict(name="datasource", type="datasource", query="prometheus", label="Prometheus"),
            label("channel", "hefu_payments_total"), label("provider", "hefu_verifications_total")]),
        links=[dict(type="dashboards", title="Hefu", tags=["hefu"], asDropdown=False, keepTime=True)],
        panels=place(panels))


def main():
    where = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, title, panels in [("operations", "operations", OPERATIONS), ("risk", "risk", RISK), ("finance", "finance", FINANCE)]:
        text = json.dumps(dashboard(name, title, panels), indent=1, ensure_ascii=False)
        (where / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
