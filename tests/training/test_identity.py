"""The content id changes with everything that computes, and with nothing else."""

import shutil
from pathlib import Path

import pytest
import torch

import timellm_pipeline
from conftest import ROOT
from timellm_pipeline.linear.part import LinearPart
from timellm_pipeline.model.compute import Compute
from timellm_pipeline.parameters import BackboneParams
from timellm_pipeline.series.identity import digest_of
from timellm_pipeline.training import identity
from timellm_pipeline.training.identity import content_facts, differences, processor_model, source_digest

PART = LinearPart.mean_of_window(4, 2)
PACKAGE = ROOT / "src/timellm_pipeline"
FIRST = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Processor @ 2.10GHz
stepping\t: 8
microcode\t: 0x1
cpu MHz\t\t: 2100.0
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, whose source is what computes."""
    copied = Path(shutil.copytree(PACKAGE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(timellm_pipeline, "__file__", str(copied / "__init__.py"))
    return copied


def changes_content_id(changed: Path) -> bool:
    """Whether one more line in a file changes the content id."""
    before = digest_of(content_facts("an id", PART, BackboneParams(name="none"), Compute()))
    changed.write_text(changed.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    return digest_of(content_facts("an id", PART, BackboneParams(name="none"), Compute())) != before


@pytest.mark.parametrize(
    "path",
    [
        "plots/explain.py",
        "plots/training.py",
        "pipelines/explain/explanations.py",
        "evaluation/report.py",
        "series/clock.py",
        "model/future.py",
        "training/watching.py",
        "training/progress.py",
        "retraining/gates.py",
        "datasets/files.py",
        "cli.py",
    ],
)
def test_a_file_that_draws_reports_or_only_checks_does_not_change_the_content_id(package: Path, path: str) -> None:
    """A new colour in a plot must not end an exact resume."""
    assert not changes_content_id(package / path)


@pytest.mark.parametrize(
    "path",
    [
        "parameters/training.py",
        "series/panel.py",
        "series/plan.py",
        "series/scaling.py",
        "series/gaps.py",
        "model/network.py",
        "model/timellm.py",
        "model/prompt.py",
        "model/intervals.py",
        "evaluation/errors.py",
        "evaluation/correction.py",
        "training/loop.py",
        "training/fit.py",
        "training/order.py",
    ],
)
def test_a_file_that_computes_changes_the_content_id(package: Path, path: str) -> None:
    """Two models of one content id are byte-equal: an edit of the loss must not keep it."""
    assert changes_content_id(package / path)


def test_every_file_that_is_left_out_exists() -> None:
    """After a rename the list would leave out nothing, or a file of another meaning."""
    assert not [name for name in identity.NOT_COMPUTING if not (PACKAGE / name).is_file()]


def test_training_imports_no_evaluation_file_that_is_left_out() -> None:
    """A function that a training step calls decides numbers, even if the list names its file."""
    left_out = [name.removesuffix(".py").replace("/", ".") for name in identity.NOT_COMPUTING if "evaluation/" in name]
    for path in (PACKAGE / "training").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not [name for name in left_out if f"timellm_pipeline.{name} import" in source], path


def test_line_ends_do_not_change_the_source_but_a_renamed_file_does(package: Path) -> None:
    """Git on Windows converts line ends; a file of another name is another program."""
    before = source_digest()
    order = package / "training/order.py"
    order.write_bytes(order.read_bytes().replace(b"\n", b"\r\n"))
    assert source_digest() == before
    order.rename(order.with_name("ordering.py"))
    assert source_digest() != before


def test_the_processor_is_named_by_vendor_family_model_and_stepping(tmp_path: Path) -> None:
    """Virtual machines call different processors by one marketing name; their libraries choose other kernels."""
    cpuinfo = tmp_path / "cpuinfo"
    second = FIRST.replace("processor\t: 0", "processor\t: 1").replace("stepping\t: 8", "stepping\t: 9")
    cpuinfo.write_text(f"{FIRST}\n{second}", encoding="utf-8")
    named = processor_model(cpuinfo)
    assert named == "GenuineIntel Intel(R) Xeon(R) Processor @ 2.10GHz cpu family 6 model 143 stepping 8"
    cpuinfo.write_text(FIRST.replace("2100.0", "3600.0").replace("0x1", "0x2"), encoding="utf-8")
    assert processor_model(cpuinfo) == named, "the clock of the moment is no property of the processor"
    cpuinfo.write_text(FIRST.replace("model\t\t: 143", "model\t\t: 207"), encoding="utf-8")
    assert processor_model(cpuinfo) != named
    cpuinfo.write_bytes(b"CPU part\t: 0xd40\n\xff\xfe\n")
    assert processor_model(cpuinfo) == processor_model(tmp_path / "none") != "", "what the platform knows"


def test_the_content_id_names_the_processor_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same instruction set on another processor may round differently."""
    backbone, compute = BackboneParams(name="none"), Compute()
    ours = content_facts("an id", PART, backbone, compute)
    assert ours["device"].startswith(f"cpu {processor_model()}, {torch.backends.cpu.get_cpu_capability()}, ")
    monkeypatch.setattr(identity, "processor_model", lambda: "another processor")
    theirs = content_facts("an id", PART, backbone, compute)
    (difference,) = differences(ours, theirs)
    assert difference.startswith("device: cpu another proc")
