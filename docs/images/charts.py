#!/usr/bin/env python3
"""Draws the README's charts from what a real Prometheus saw of a demo run: `docs/images/charts.py` after `make demo` and
`make test`, which build Hefu and get Prometheus. Another binary, duration or place: `--hefu`, `--seconds`, `--to`."""

import argparse
import json
import math
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Okabe and Ito's: told apart by everybody.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 300, 56, 250, 44, 36

# Each: file, title, unit, and queries with how their series are called. `%` is of 1.
CHARTS = [
    ("mismatches", "Verified “match”, then refused by the channel: payments found so far", "",
     [('sum by (channel) (hefu_mismatches_total{kind="match_then_no_match"})', "{channel}")]),
    ("concordance", "How often channels bear out a provider’s “match”", "%",
     [('avg by (provider) (hefu_concordance_ratio{said="match", bound="expected"} '
       "and on (provider, channel, elements, said) hefu_concordance_samples > 5)", "{provider}")]),
]


def found(process, stream, pattern):
    """The groups of the first line that matches."""
    for line in stream:
        if match := re.search(pattern, line):
            return match.groups()
    raise SystemExit(f"{process.args[0]} ended early")


def watched(options, place):
    """Runs demo and Prometheus; yields the series of every chart."""
    demo = subprocess.Popen([options.hefu, "demo", "--seed", str(options.seed), "--rate", str(options.rate)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"TMPDIR": str(place)})
    try:
        token, address = found(demo, demo.stdout, r"\$\(cat ([^)]+)\).* http://([^/]+)/metrics")
        (place / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "hefu", "authorization": {"credentials_file": token},
                                "static_configs": [{"targets": [address]}]}]}), encoding="utf-8")
        prometheus = subprocess.Popen(
            [options.prometheus, f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
             "--web.listen-address=127.0.0.1:0"], text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            (server,) = found(prometheus, prometheus.stderr, r'msg="Listening on" address=(\S+)')
            begun = time.time()
            # Neither may stop for want of a reader.
            for stream in (demo.stdout, prometheus.stderr):
                subprocess.Popen(["cat"], stdin=stream, stdout=subprocess.DEVNULL)
            time.sleep(options.seconds)
            return [series(server, begun, queries) for *_, queries in CHARTS]
        finally:
            prometheus.kill()
            prometheus.wait()
    finally:
        demo.kill()
        demo.wait()


def series(server, begun, queries):
    """Name and points (seconds, value) of everything that the queries yield."""
    all_of = []
    for query, name in queries:
        asked = urllib.parse.urlencode(dict(query=query, start=begun, end=time.time(), step="1s"))
        with urllib.request.urlopen(f"http://{server}/api/v1/query_range?{asked}") as answer:
            for one in json.load(answer)["data"]["result"]:
                points = [(at - begun, float(value)) for at, value in one["values"] if not math.isnan(float(value))]
                if points:
                    all_of.append((name.format(**one["metric"]), points))
    return all_of


def rounded(most):
    """A little more than `most`, and a step of which it is a few."""
    step = 10 ** math.floor(math.log10(most or 1))
    step = next(step * part for part in (0.2, 0.5, 1, 2) if most / (step * part) <= 5)
    return step * math.ceil(most / step or 1), step


def shown(value, unit):
    return f"{value * (100 if unit == '%' else 1):.3g}{unit}"


def drawn(title, unit, lines, how):
    """One chart as SVG."""
    last = max(points[-1][0] for _, points in lines)
    most = max(value for _, points in lines for _, value in points)
    least = min(value for _, points in lines for _, value in points) if unit == "%" else 0
    low = max(0, math.floor(least * 10 - 0.5) / 10)
    high, step = rounded(most - low)
    high = min(low + high, 1) if unit == "%" else low + high
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    x = lambda at: LEFT + across * max(at, 0) / last
    y = lambda value: TOP + down * (high - value) / (high - low)
    text = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">',
            f"<title>{escape(title)}</title>", f"<desc>{escape(how)}</desc>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>']
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        text.append(f'<path d="M{LEFT} {y(value):.1f}h{across}" stroke="#ddd"/>'
                    f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{shown(value, unit)}</text>')
    for at in range(0, int(last) + 1, max(1, round(last / 6 / 10) * 10)):
        text.append(f'<text x="{x(at):.1f}" y="{HEIGHT - 14}" text-anchor="middle">{at} s</text>')
    # Names stand at the ends of their lines, apart from each other.
    ends, below = sorted(enumerate(lines), key=lambda line: y(line[1][1][-1][1])), TOP - 20
    for number, (name, points) in ends:
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in points)
        below = max(below + 15, y(points[-1][1]))
        text.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
                    f'<text x="{WIDTH - RIGHT + 8}" y="{below + 4:.1f}" fill="{colour}">{escape(name)} {shown(points[-1][1], unit)}</text>')
    return "\n".join(text + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hefu", default=ROOT / "target/debug/hefu")
    parser.add_argument("--prometheus", default=ROOT / "target/deploy-tools/debian/usr/bin/prometheus")
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = parser.parse_args()
    how = (f"Drawn by docs/images/charts.py of what Prometheus saw of `hefu demo --seed {options.seed} --rate {options.rate}` "
           f"in {options.seconds} s, {time.strftime('%Y-%m-%d')}.")
    with tempfile.TemporaryDirectory() as place:
        for (name, title, unit, _), lines in zip(CHARTS, watched(options, pathlib.Path(place))):
            if not lines:
                raise SystemExit(f"{name}: nothing to draw")
            (options.to / f"{name}.svg").write_text(drawn(title, unit, lines, how), encoding="utf-8")


if __name__ == "__main__":
    main()
