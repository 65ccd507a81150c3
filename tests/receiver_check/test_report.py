"""Reports: text, JSON and JUnit XML."""

import json
from xml.etree import ElementTree as ET

from commerce_event.receiver_check.model import PASSED, Answer, Result, Verdict, failed, skipped, warned
from commerce_event.receiver_check.report import Report, as_data, as_junit, shown_url, summary, text_of
from commerce_event.receiver_check.rules import RULES

ANSWER = Answer(status=409, duration_s=0.0123, reason="seen before")


def result(name: str, verdict: Verdict) -> Result:
    rule = next(each for each in RULES if each.name == name)
    return Result(rule=rule, verdict=verdict, duration_s=1.5, answers=[ANSWER])


def report(*results: Result, counts_effects: bool = True) -> Report:
    return Report(
        url="http://127.0.0.1:3000/hook?token=t0ps3cret",
        types=["OrderConfirmedEvent"],
        counts_effects=counts_effects,
        results=results,
    )


ALL = report(
    result("accepts-event", PASSED),
    result("repeat", failed("the repeat was answered 409")),
    result("huge-event", warned("answered 413")),
    result("restart", skipped("no restart")),
)


def test_text_of_a_failed_rule_has_reason_and_fix() -> None:
    first, *others = text_of(ALL.results[1])

    assert first == "✗ repeat              failed: the repeat was answered 409"
    assert [line.strip()[:5] for line in others] == ["Sent:", "Must:", "Fix: "]


def test_text_of_a_passed_rule_is_one_line() -> None:
    assert list(text_of(ALL.results[0])) == ["✓ accepts-event       passed"]


def test_summary_counts_states() -> None:
    assert summary(ALL) == "1 passed, 1 failed, 1 warned, 1 skipped"
    assert summary(report()) == "no rule was checked"


def test_json_has_every_rule_and_no_secret_of_the_url() -> None:
    data = as_data(ALL)

    assert [each["state"] for each in data["rules"]] == ["passed", "failed", "warned", "skipped"]
    assert data["passed"] is False
    assert data["counts"] == {"passed": 1, "failed": 1, "warned": 1, "skipped": 1}
    assert data["rules"][1]["answers"] == [{"status": 409, "duration_ms": 12, "reason": "seen before", "error": None}]
    assert "t0ps3cret" not in json.dumps(data)


def test_warning_alone_does_not_fail_the_report() -> None:
    assert not report(result("huge-event", warned("answered 413"))).has_failed


def test_url_without_query_is_shown_as_it_is() -> None:
    assert shown_url("http://127.0.0.1:3000/hook") == "http://127.0.0.1:3000/hook"


def test_notes_say_that_effects_were_not_counted() -> None:
    unseen = report(result("repeat", PASSED), result("restart", skipped("no restart")), counts_effects=False)

    assert unseen.notes() == [
        "repeat: only the answers were checked; whether the work is done twice cannot be seen from outside. Give "
        "--effects-url or --effects-command to count it."
    ]
    assert report(result("repeat", PASSED)).notes() == []
    assert report(result("at-once", PASSED), counts_effects=False).notes() == []


def test_junit_counts_agree_with_its_cases() -> None:
    root = ET.fromstring(as_junit(ALL))
    [suite] = root.findall("testsuite")
    cases = suite.findall("testcase")

    assert (root.get("tests"), root.get("failures"), root.get("skipped"), root.get("errors")) == ("4", "1", "1", "0")
    assert [case.get("name") for case in cases] == ["accepts-event", "repeat", "huge-event", "restart"]
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["system-out"], ["skipped"]]
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "the repeat was answered 409"
    assert "Fix: " in (failure.text or "")


def test_junit_is_xml_for_any_answer_of_a_receiver() -> None:
    nasty = "\x00\x1b[2J]]> <&\"' \ufffe \ud800 ✓"

    root = ET.fromstring(as_junit(report(result("repeat", failed(nasty)), result("huge-event", warned(nasty)))))

    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "��[2J]]> <&\"' � � ✓"


def test_rules_have_names_and_sentences() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) == 21
    for rule in RULES:
        assert rule.fix.endswith(".")
        assert not rule.sends.endswith(".")
        assert not rule.requires.endswith(".")
