"""YAML files of configuration: the types of JSON, and the line of every fault."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.cli import yaml_file
from commerce_event.cli.errors import UsageError
from commerce_event.cli.yaml_file import YamlFile, read_yaml, write_yaml


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def read(file: Path, text: str | bytes) -> YamlFile:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(str(file))


def test_read_yaml_has_the_types_of_json(file: Path) -> None:
    text = "a: [NO, yes, True, 2020-01-01, 012, 0x1f, 1:30, '1']\nb: [true, null, ~, 5, -1.5, 1e5]\nc:\n"

    assert read(file, text).content == {
        "a": ["NO", "yes", "True", "2020-01-01", "012", "0x1f", "1:30", "1"],
        "b": [True, None, None, 5, -1.5, 100_000.0],
        "c": None,
    }


def test_read_yaml_takes_json(file: Path) -> None:
    assert read(file, '{"a": [1, {"b": "x"}]}').content == {"a": [1, {"b": "x"}]}


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: 1\nb: [1", "line 2, column 6", "expected ',' or ']'"),
        ("a: 1\na: 2", "line 2, column 1", "'a' is given twice"),
        ("a:\n  1: x", "line 2, column 3", "write it in quotes"),
        ("a: !!binary aGk=", "line 1, column 4", "is not allowed"),
        ("a: !!python/object:os.system x", "line 1, column 4", "is not allowed"),
        ("a: &a [*a]", "line 1, column 4", "at most 30 deep"),
        ("\tb", "line 1, column 1", "is not YAML"),
        (b"a: \xff", "", "is not UTF-8"),
        ("a: !!int x", "", "is not YAML"),
    ],
)
def test_read_yaml_with_a_fault_names_its_place(file: Path, text: str | bytes, place: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(file, text)

    assert str(caught.value).startswith(f"{file}{', ' if place else ' '}{place}")
    assert reason in str(caught.value)


def test_read_yaml_with_references_that_multiply_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "_VALUES_MAX", 1_000)
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 25)]

    with pytest.raises(UsageError, match="at most 1,000 values"):
        read(file, "\n".join(lines))


def test_read_yaml_too_large_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "_FILE_MAX_BYTES", 10)

    with pytest.raises(UsageError, match="is larger than"):
        read(file, "a: 12345678901")


def test_fault_names_the_nearest_place_that_the_file_has(file: Path) -> None:
    found = read(file, "list:\n- name: a\n  inner:\n    x: 1\n")

    def place(pointer: str) -> str:
        return str(found.fault(pointer, "wrong")).removeprefix(f"{file}, ")

    assert place("/list/0/inner/x") == "line 4, column 5: /list/0/inner/x: wrong"
    assert place("/list/0/inner/y/z") == "line 3, column 3: /list/0/inner/y/z: wrong"
    assert place("/list/0/missing") == "line 2, column 3: /list/0/missing: wrong"
    assert place("") == "line 1, column 1: the file: wrong"


def test_section_that_is_absent_or_of_another_type_is_refused(file: Path) -> None:
    found = read(file, "a: 1\nb: []\n")

    assert found.section("b", list) == []
    for name, reason in (("a", "line 1, column 1: /a: must be a list"), ("c", "has no c; write a list")):
        with pytest.raises(UsageError, match=reason):
            found.section(name, list)
    with pytest.raises(UsageError, match="has no a"):
        read(file, "").section("a", dict)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(
    ["NO", "1e5", "~", "0x1f", "1:30", "="]
)
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)


@given(st.dictionaries(texts, values, max_size=3))
def test_write_yaml_is_read_as_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.yaml"

    assert read(file, write_yaml(content)).content == content
