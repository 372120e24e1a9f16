"""The lock pins every package, with hashes, at the versions that are tested."""

import re

from conftest import ROOT

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
LEFT_OUT = re.compile(r"torch|triton|nvidia-.*|cuda-.*|setuptools|pip|wheel")


def versions(text: str) -> dict[str, str]:
    """Version of each package, names normalised."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\\n]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-").replace(".", "-"): version.split("+")[0] for name, version in found}


def test_the_lock_has_the_tested_versions_each_with_hashes() -> None:
    """A lock that drifts from what is tested protects nobody."""
    locked, pinned = versions(LOCK), versions(PINS)
    for name, version in pinned.items():
        assert locked.get(name) == version or LEFT_OUT.fullmatch(name), (name, version, locked.get(name))
    for block in re.split(r"\n(?=[A-Za-z0-9])", LOCK.split("\n", 2)[2].strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_what_the_lock_excludes_is_documented() -> None:
    """A gap that nobody names is taken for cover."""
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    assert not {name for name in versions(LOCK) if re.fullmatch(r"torch|triton|nvidia-.*|cuda-.*", name)}
    for name in ("torch", "triton", "nvidia-*", "cuda-*"):
        assert f"`{name}`" in page
