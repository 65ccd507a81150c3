"""The deployment files say nothing that the product does not know."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from commerce_event.core.vault import new_key
from commerce_event.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_every_variable_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"COMMERCE_EVENT_[A-Z_]+", path.read_text()))
    examples = {
        "COMMERCE_EVENT_STORE": "postgresql://a@b/c",
        "COMMERCE_EVENT_SECRET_KEY": new_key(),
        "COMMERCE_EVENT_ADMIN_KEY": "sixteen-letters-or-more",
        "COMMERCE_EVENT_HOST": "0.0.0.0",
        "COMMERCE_EVENT_LOG_FORMAT": "json",
    }

    assert named
    assert named <= set(examples), "add an example here, so that it is read"
    Settings.from_environment({**examples, **{name: examples[name] for name in named}})


def test_compose_file_has_two_nodes_that_wait_for_the_database() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

    nodes = [service for name, service in services.items() if name != "postgres"]
    assert len(nodes) == 2
    for node in nodes:
        assert node["depends_on"]["postgres"]["condition"] == "service_healthy"
        assert (DEPLOY / node["build"]["context"] / node["build"]["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_dockerfile_copies_what_there_is() -> None:
    root = DEPLOY.parent
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    for name in " ".join(copied).split():
        assert (root / name).exists(), name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "commerce-event.service"
    text = (DEPLOY / "commerce-event.service").read_text()
    unit.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))

    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    faults = [line for line in found.stderr.splitlines() if "commerce-event.service" in line and "User" not in line]
    assert not faults
