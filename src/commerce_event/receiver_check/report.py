"""The report of a check: text for people, JSON for programs, JUnit XML for CI."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from xml.etree import ElementTree as ET

import msgspec

from commerce_event.receiver_check.model import Answer, Result, State

_MARKS: Final[dict[State, str]] = {"passed": "✓", "warned": "!", "failed": "✗", "skipped": "-"}
_STATES: Final[tuple[State, ...]] = ("passed", "failed", "warned", "skipped")
_NAME_WIDTH: Final = 20
_ANSWERS_SHOWN: Final = 100
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNTING_RULES: Final = frozenset({"repeat", "concurrent-repeat", "restart"})


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, and how each rule ended."""

    url: str
    types: Sequence[str]
    counts_effects: bool
    results: Sequence[Result]

    @property
    def has_failed(self) -> bool:
        return any(result.verdict.state == "failed" for result in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """How many rules ended in each state."""
        found = Counter(result.verdict.state for result in self.results)
        return {state: found[state] for state in _STATES}

    def notes(self) -> list[str]:
        """Return what the reader must know about what was not seen."""
        rules = [result.rule.name for result in self.results if result.verdict.state in {"passed", "warned"}]
        unseen = [name for name in rules if name in _COUNTING_RULES]
        if self.counts_effects or not unseen:
            return []
        return [
            f"{', '.join(unseen)}: only the answers were checked; whether the work is done twice cannot be seen from "
            "outside. Give --effects-url or --effects-command to count it."
        ]


def shown_url(url: str) -> str:
    """Return a URL without the values of its query, which may be secret."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="…")) if parts.query else url


def text_of(result: Result) -> Iterator[str]:
    """Yield the lines about one rule."""
    verdict, rule = result.verdict, result.rule
    line = f"{_MARKS[verdict.state]} {rule.name:<{_NAME_WIDTH}}"
    yield f"{line}{verdict.state}" if not verdict.reason else f"{line}{verdict.state}: {verdict.reason}"
    if verdict.state in {"failed", "warned"}:
        indent = " " * (_NAME_WIDTH + 2)
        yield f"{indent}Sent: {rule.sends}."
        yield f"{indent}Must: {rule.requires}."
        yield f"{indent}Fix:  {rule.fix}"


def summary(report: Report) -> str:
    """Return the last line of the text report, such as ``18 passed, 1 failed``."""
    return ", ".join(f"{count} {state}" for state, count in report.counts.items() if count) or "no rule was checked"


def as_data(report: Report) -> dict[str, Any]:
    """Return the report as JSON data. It has no secret and no value of a static header."""
    return {
        "url": shown_url(report.url),
        "types": list(report.types),
        "passed": not report.has_failed,
        "counts": report.counts,
        "effects_counted": report.counts_effects,
        "notes": report.notes(),
        "rules": [_rule_data(result) for result in report.results],
    }


def _rule_data(result: Result) -> dict[str, Any]:
    rule, verdict = result.rule, result.verdict
    return {
        "name": rule.name,
        "state": verdict.state,
        "reason": verdict.reason or None,
        "sends": rule.sends,
        "requires": rule.requires,
        "fix": rule.fix,
        "duration_ms": round(result.duration_s * 1000),
        "answers": [_answer_data(answer) for answer in result.answers[:_ANSWERS_SHOWN]],
    }


def _answer_data(answer: Answer) -> dict[str, Any]:
    return {
        "status": answer.status,
        "duration_ms": round(answer.duration_s * 1000),
        "reason": answer.reason or None,
        "error": answer.error or None,
    }


def as_junit(report: Report) -> bytes:
    """Return the report as JUnit XML: each rule is a test case. A warning passes, with its reason as output."""
    counts = report.counts
    numbers = {
        "tests": str(len(report.results)),
        "failures": str(counts["failed"]),
        "errors": "0",
        "skipped": str(counts["skipped"]),
        "time": f"{sum(result.duration_s for result in report.results):.3f}",
    }
    root = ET.Element("testsuites", numbers)
    suite = ET.SubElement(root, "testsuite", {"name": "commerce-event check", **numbers})
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", {"name": "url", "value": _xml(shown_url(report.url))})
    for result in report.results:
        _add_case(suite, result)
    if notes := report.notes():
        ET.SubElement(suite, "system-out").text = _xml("\n".join(notes))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_case(suite: ET.Element, result: Result) -> None:
    rule, verdict = result.rule, result.verdict
    attributes = {"classname": "commerce-event.check", "name": rule.name, "time": f"{result.duration_s:.3f}"}
    case = ET.SubElement(suite, "testcase", attributes)
    if verdict.state == "failed":
        failure = ET.SubElement(case, "failure", {"message": _xml(verdict.reason), "type": rule.name})
        failure.text = _xml(f"Sent: {rule.sends}.\nMust: {rule.requires}.\nFix: {rule.fix}")
    elif verdict.state == "skipped":
        ET.SubElement(case, "skipped", {"message": _xml(verdict.reason)})
    elif verdict.reason:
        ET.SubElement(case, "system-out").text = _xml(f"{verdict.state}: {verdict.reason}\nFix: {rule.fix}")


def _xml(text: str) -> str:
    """Return text without the characters that XML 1.0 cannot have."""
    return _NOT_XML.sub("�", text)
