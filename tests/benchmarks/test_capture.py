"""The benchmark of capture runs to its end on a real server; its figures say nothing here."""

from pathlib import Path

from followed_database import logical_server

from benchmarks import capture


def test_capture_benchmark_measures_every_figure(tmp_path: Path) -> None:
    size = capture.Size(changes=1_000, seconds=0.2, rate=200.0)

    figures = list(capture.measure(tmp_path, str(logical_server().get_uri()), size))

    assert [figure.name for figure in figures] == [
        "changes posted without a capture",
        "captured changes",
        "of posted without a capture",
        "capture CPU",
        "server CPU",
        "capture peak memory",
        "from commit to stored, at 200 changes/s",
        "p99",
    ]
    assert all(figure.value >= 0 for figure in figures)
