#!/usr/bin/env python3
"""Judges a demo report by the published driving cycle, with none of the engine's code.

    cycle_totals.py CYCLE.csv REPORT.json [--equal-to OTHER.json]

Reads the cycle's table (`time_s,speed_mps`, one row per second) and the JSON that `tidemill demo --json` printed for one
vehicle, and compares `distance_m`, `max_speed_kmh` and `idle_share`. With --equal-to, the same three figures must also be
the very ones of another report, such as that of a run without faults. REPORT may be `-` for standard input.

Prints one line per figure. Exit code 0: all agree; 1: one is off; 2: something cannot be read.
"""

import argparse
import csv
import json
import math
import sys

# How far a report may be from the table: 24 m is 0.2 % of UDDS, and more than any odometer in whole metres loses; the
# speeds of a payload have two decimals; 0.005 is seven samples of UDDS.
TOLERANCES = {"distance_m": 24.0, "max_speed_kmh": 0.2, "idle_share": 0.005}


def figures_of_cycle(path):
    """The three figures by the definition of each, from the rows alone."""
    with open(path, newline="", encoding="ascii") as table:
        rows = [(float(row["time_s"]), float(row["speed_mps"])) for row in csv.DictReader(table)]
    if len(rows) < 2:
        raise ValueError(f"{path} has fewer than two rows")
    distance = 0.0
    for (before, slow), (after, fast) in zip(rows, rows[1:]):
        if after <= before:
            raise ValueError(f"{path}: the times do not rise at {after:g} s")
        distance += (after - before) * (slow + fast) / 2.0
    speeds = [speed for _, speed in rows]
    return {
        "distance_m": distance,
        "max_speed_kmh": max(speeds) * 3.6,
        "idle_share": sum(speed == 0.0 for speed in speeds) / len(speeds),
    }


def figures_of_report(path):
    """The three figures of a demo's JSON: its last line that is an object, should other lines stand before it."""
    if path == "-":
        text = sys.stdin.read()
    else:
        with open(path, encoding="utf-8") as report:
            text = report.read()
    try:
        report = json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.lstrip().startswith("{")]
        if not lines:
            raise ValueError(f"{path} holds no JSON object") from None
        report = json.loads(lines[-1])
    figures = {}
    for name in TOLERANCES:
        value = report.get(name) if isinstance(report, dict) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{path}: {name} is {value!r}, which is no number")
        figures[name] = float(value)
    return figures


def judge(expected, reported, tolerances, what):
    """Prints a line per figure and says whether all of them agree."""
    well = True
    for name, tolerance in tolerances.items():
        off = abs(reported[name] - expected[name])
        agrees = off <= tolerance
        well = well and agrees
        verdict = "ok " if agrees else "OFF"
        print(f"{verdict} {name}: {reported[name]:.6g}, {what} {expected[name]:.6g}, off by {off:.4g} (may be {tolerance:g})")
    return well


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cycle", help="the cycle's table, such as src/demo/simulator/cycles/udds.csv")
    parser.add_argument("report", help="the demo's JSON, or - for standard input")
    parser.add_argument("--equal-to", metavar="OTHER", help="a report whose three figures must be the very same")
    arguments = parser.parse_args()
    try:
        reported = figures_of_report(arguments.report)
        well = judge(figures_of_cycle(arguments.cycle), reported, TOLERANCES, "by the table")
        if arguments.equal_to is not None:
            exactly = dict.fromkeys(TOLERANCES, 0.0)
            well = judge(figures_of_report(arguments.equal_to), reported, exactly, f"in {arguments.equal_to}") and well
    except (OSError, ValueError, KeyError, TypeError) as problem:
        print(f"cannot judge: {problem}", file=sys.stderr)
        return 2
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
