"""Sums up the JUnit files that ctest wrote: failed tests, skipped tests with their reasons, and the counts.

usage: test_summary.py NAME=FILE.xml...      prints 'N passed, N failed, N skipped' last; exit status 1 if any failed
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

# GoogleTest prints "file:line: Skipped", then the message, then the line that starts with this.
GTEST_SKIP = re.compile(r"^.*: Skipped\n(.*?)^\[ +SKIPPED +\]", re.MULTILINE | re.DOTALL)
# unittest -v prints "name (...) ... skipped 'the reason'"; without -v only the count.
UNITTEST_SKIP = re.compile(r"\.\.\. skipped (['\"])(.*)\1$", re.MULTILINE)
UNITTEST_COUNT = re.compile(r"^OK \(.*skipped=(\d+)", re.MULTILINE)


def outcome(case):
    """passed, failed or skipped; a test that ctest could not start counts as failed."""
    status, skipped = case.get("status"), case.find("skipped")
    if status == "run":
        return "passed"
    if status == "disabled" or (skipped is not None and skipped.get("message", "").startswith("SKIP_")):
        return "skipped"
    return "failed"


def skip_reason(case):
    """Why a test was skipped, in its own words where its output has them."""
    output = case.findtext("system-out") or ""
    if match := GTEST_SKIP.search(output):
        return " ".join(match.group(1).split()) or "no reason given"
    if reasons := parts_skipped(case):
        return "; ".join(reasons)
    return (output.strip().splitlines() or ["no reason given"])[-1]


def parts_skipped(case):
    """Reasons, each once, of the Python test cases that were skipped inside one ctest test."""
    output = case.findtext("system-out") or ""
    reasons = sorted({match.group(2) for match in UNITTEST_SKIP.finditer(output)})
    if not reasons and (match := UNITTEST_COUNT.search(output)):
        reasons = [f"{match.group(1)} cases; no reason printed"]
    return reasons


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for argument in sys.argv[1:]:
        suite, _, file = argument.partition("=")
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            kind, name = outcome(case), f"{suite}: {case.get('name')}"
            counts[kind] += 1
            if kind == "failed":
                print(f"failed   {name}")
            elif kind == "skipped":
                print(f"skipped  {name}: {skip_reason(case)}")
            for reason in parts_skipped(case) if kind == "passed" else ():
                print(f"skipped  a part of {name}: {reason}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
