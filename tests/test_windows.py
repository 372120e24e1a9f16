"""What is different on Windows, and on a Chinese one: names, encodings, drive letters, files that are in use."""

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import Version

import timellm_pipeline
from conftest import ROOT
from synthetic import synthetic_series
from timellm_pipeline import cli, files
from timellm_pipeline.datasets import AtomicJSONDataset
from timellm_pipeline.errors import BackboneError, SeriesError, find_user_error
from timellm_pipeline.model.backbone import BackboneSource
from timellm_pipeline.parameters import BackboneParams, DataParams
from timellm_pipeline.series.reading import RawFile, read_table
from timellm_pipeline.training.identity import source_digest
from timellm_pipeline.training.loop import TrainingLoop
from timellm_pipeline.training.result import read_finished

PACKAGE = ROOT / "src/timellm_pipeline"
SMALL = (
    f"data.date_column={json.dumps('日期')},window.target={json.dumps('油温')},"  # in ASCII, for any command line
    "window.seq_len=48,window.pred_len=12,window.window_step=4,window.patch_len=8,window.stride=4,"
    "backbone.name=none,backbone.layers=null,model.num_prototypes=20,model.d_model=8,model.d_ff=8,model.num_heads=2,"
    "training.batch_size=8,training.max_steps=10,training.save_steps=4,training.validate_steps=5,"
    "evaluation.validation_step=6,evaluation.test_step=6"
)
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
LONGEST_ROOT, LONGEST_FOLDER, PID_DIGITS = 60, 247, 10  # a folder's path has to be 12 characters shorter than a file's


class Killed(BaseException):
    """Represents the end of the process."""


@dataclass
class Ran:
    """A training that was killed and resumed, and two forecasts: from a spreadsheet's CSV and from a plain one."""

    root: Path
    checkpoints: Path
    csv: Path
    forecasts: list[str] = field(default_factory=list)  # their versions
    moved: set[Path] = field(default_factory=set)  # where files lay before they were moved to their places

    def names(self) -> set[str]:
        """Every name that ever existed below the data root, with checkpoints in their usual folder."""
        tops = ((self.root, ""), (self.checkpoints, "06_models/checkpoints/"))
        there = {*self.root.rglob("*"), *self.checkpoints.rglob("*"), *self.moved}
        return {at + path.relative_to(top).as_posix() for path in there for top, at in tops if top in path.parents}


def run(pipeline: str, params: str) -> str:
    """Run a pipeline with what the command line makes of `--params`; returns the version of its results."""
    bootstrap_project(ROOT)
    parsed = cli.run.make_context("run", ["--params", params]).params["params"]
    with KedroSession.create(ROOT, runtime_params=parsed) as session:
        session.run(pipeline_names=[pipeline])
        return str(session.session_id)


def before_moving(patch: pytest.MonkeyPatch, do: Callable[[Path], None]) -> None:
    """Have `do` called with each file or folder that is about to be renamed."""

    def preceded(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        return lambda path, target: (do(path), move(path, target))[1]

    patch.setattr(Path, "rename", preceded(Path.rename))
    patch.setattr(Path, "replace", preceded(Path.replace))


def write_csvs(spreadsheet: Path, plain: Path) -> None:
    """The same series as a spreadsheet on a Chinese Windows writes it (encoding, line ends, dates), and plainly."""
    names = {"date": "日期", "HUFL": "负荷 (兆瓦)", "OT": "油温"}
    frame = synthetic_series(num_rows=400, seed=1)[list(names)].rename(columns=names)
    frame.to_csv(plain, index=False, encoding="utf-8", lineterminator="\n")
    stamps = pd.to_datetime(frame["日期"])
    frame["日期"] = [f"{at.year}/{at.month}/{at.day} {at.hour}:{at.minute:02d}" for at in stamps]
    frame.to_csv(spreadsheet, index=False, encoding="gb18030", lineterminator="\r\n")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("E 盘") / "我的 项目"
    folder.mkdir()
    made = Ran(folder / "数据 结果", folder / "检查 点", folder / "油温 (1月).csv")
    write_csvs(made.csv, folder / "plain.csv")
    places = f"data_root={made.root},checkpoint_root={made.checkpoints}"
    after_update = TrainingLoop._after_update

    def dying(loop: TrainingLoop, *others: Any) -> None:
        if loop.state.step >= 6:
            raise Killed
        after_update(loop, *others)

    with pytest.MonkeyPatch.context() as patch:
        before_moving(patch, lambda path: made.moved.update((path, *path.rglob("*"))))
        with pytest.MonkeyPatch.context() as death, pytest.raises(Killed):
            death.setattr(TrainingLoop, "_after_update", dying)
            run("train", f"{places},raw_csv={made.csv},{SMALL}")
        run("train", f"{places},raw_csv={made.csv},{SMALL}")
        made.forecasts = [run("forecast", f"{places},raw_csv={csv}") for csv in (made.csv, folder / "plain.csv")]
    return made


def test_folders_with_spaces_and_chinese_names_hold_a_run_that_was_killed_and_resumed(ran: Ran) -> None:
    """`D:\\我的 项目` is an ordinary folder; a path cut at its space or garbled would lose ten hours."""
    path = ran.root / "08_reporting/run_manifest.json"
    manifest = AtomicJSONDataset(filepath=path.as_posix(), version=Version(None, None)).load()
    assert (manifest["resumed_from"], manifest["steps_run"], manifest["raw_path"]) == ([4], 6, str(ran.csv))
    finished = read_finished(ran.checkpoints / manifest["training_id"])
    assert finished is not None and finished.best_step == manifest["best_step"]


def test_a_spreadsheets_csv_gives_the_forecast_of_a_plain_one_under_its_own_names(ran: Ran) -> None:
    """Names that come back garbled, or other dates, are noticed when the report is out."""
    places = [ran.root / "07_model_output/forecast.csv" / version / "forecast.csv" for version in ran.forecasts]
    of_spreadsheet, of_plain = (pd.read_csv(path, encoding="utf-8-sig") for path in places)
    assert set(of_spreadsheet["channel"]) == {"负荷 (兆瓦)", "油温"}
    pd.testing.assert_frame_equal(of_spreadsheet, of_plain, check_exact=True)
    assert places[0].read_bytes().startswith(b"\xef\xbb\xbf"), "without a mark a spreadsheet garbles the names"


@pytest.mark.parametrize("name", ["朱镕", "洺河", "臺灣", "面积㎡"])
def test_a_rare_character_does_not_garble_every_name(name: str) -> None:
    """GBK has 15,000 characters that GB2312 lacks: in names of rivers, stations and people, and in units."""
    content = f"日期,负荷,{name}\n2020/1/1 0:00,1,2\n2020/1/1 1:00,2,3\n".encode("gbk")
    assert read_table(RawFile("a.csv", content), DataParams()).columns.tolist() == ["日期", "负荷", name]


def test_every_name_that_is_written_is_allowed_on_windows(ran: Ran) -> None:
    """A colon, a `nul`, names that differ in case alone, 260 characters: nothing fails until somebody runs it there."""
    names = ran.names()
    assert len(names) > 100 and any("/.partial-000000004-" in name for name in names), "unfinished ones count too"
    assert all(map(FORBIDDEN.search, ("a:b", "a.", "a ", "NUL.txt", "a?"))), "the search itself works"
    assert not {part for name in names for part in name.split("/") if FORBIDDEN.search(part)}
    assert len({name.casefold() for name in names}) == len(names)
    longest = max(names, key=len)  # an unfinished checkpoint's, which ends with its process's number
    assert LONGEST_ROOT + 1 + len(longest) + PID_DIGITS - len(str(os.getpid())) <= LONGEST_FOLDER, longest


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[bytes]]:
    """A training where text is ASCII unless the package sets an encoding: its data root, and what it printed."""
    root = tmp_path_factory.mktemp("ascii")
    write_csvs(root / "series.csv", root / "plain.csv")
    arguments = "-X warn_default_encoding -W always::EncodingWarning -m kedro run --pipeline train --params".split()
    params = f"raw_csv={(root / 'series.csv').as_posix()},data_root={(root / 'out').as_posix()},{SMALL}"
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    done = subprocess.run(
        [sys.executable, *arguments, params],
        cwd=ROOT,
        env=surroundings | {"LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return root / "out", done


def test_text_files_are_utf_8_whatever_the_system_writes(elsewhere: tuple[Path, Any]) -> None:
    """A Chinese Windows writes GBK by default; no other machine could read its results."""
    texts = [path for path in elsewhere[0].rglob("*.*") if path.is_file() and path.suffix in (".json", ".csv", ".md")]
    named = {path.name for path in texts if "油温" in path.read_bytes().decode("utf-8")}
    assert {"config.json", "scaler.json", "test_metrics.json", "forecast_plot.json", "split_borders.json"} <= named


def test_no_text_of_the_package_is_read_or_written_in_the_systems_encoding(elsewhere: tuple[Path, Any]) -> None:
    """What works here by chance is another text, or an error, where the system's encoding is another one."""
    assert not re.findall(rb"timellm_pipeline[\\/]\S+: EncodingWarning", elsewhere[1].stderr)


def test_a_line_with_a_character_that_the_output_lacks_is_printed(elsewhere: tuple[Path, Any]) -> None:
    """Output sent to a file or a pipe has the system's encoding; an English Windows' one has no Chinese path."""
    assert b"Logging error" not in elsewhere[1].stderr and b"loss 0." in elsewhere[1].stdout


POSIX_ALONE = re.compile(
    r"(fcntl|resource|pwd|grp|termios|os\.(symlink|link|fork|killpg|uname|statvfs|get\w*uid|chown|mkfifo|nice|sched_\w+)"
    r"|.*\.(symlink_to|hardlink_to)|signal\.(SIGKILL|SIGHUP|SIGUSR\d|SIGALRM|alarm|pause)|time\.tzset"
    r"|'/(tmp|dev|proc|home)\b.*|'[^']*%-[dHIMSmy].*)$"
)

ABSENCE_IS_HANDLED = {"training/identity.py": {"'/proc/cpuinfo'"}}  # tests/training/test_identity.py


def posix_alone(tree: ast.AST) -> set[str]:
    """Modules (unless their absence is caught), functions, signals and places that Windows lacks."""
    found: set[str] = set()
    caught = (node for node in ast.walk(tree) if isinstance(node, ast.Try) and "ImportError" in ast.unparse(node))
    guarded = {inner for node in caught for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in guarded:
            found |= {node.module or ""} if isinstance(node, ast.ImportFrom) else {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute | ast.Constant):
            found.add(ast.unparse(node))
    return set(filter(POSIX_ALONE.match, found))


def in_the_systems_encoding(tree: ast.AST) -> set[str]:
    """Calls that read or write text without an encoding."""

    def guilty(call: ast.Call) -> bool:
        function, options = ast.unparse(call.func), {option.arg: option.value for option in call.keywords}
        if "encoding" in options or function == "os.open":
            return False
        if function == "open" or function.endswith(".open"):
            mode = (call.args[function == "open" :] or [options.get("mode", ast.Constant("r"))])[0]
            return isinstance(mode, ast.Constant) and "b" not in str(mode.value)
        if function.startswith("subprocess."):
            return "text" in options
        return function.endswith((".read_text", ".write_text", "io.write_json"))  # plotly's: UTF-8 in newer versions

    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and guilty(node)}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (posix_alone, "import fcntl; a.symlink_to(b); signal.SIGKILL; os.fork(); Path('/tmp/a')"),
        pytest.param(
            in_the_systems_encoding,
            "open(a, 'w'); a.open(); a.read_text(); a.write_text(b); subprocess.run(a, text=True)",
        ),
    ],
    ids=["posix", "encoding"],
)
def test_the_source_uses_nothing_that_differs_on_windows(search: Any, found: str) -> None:
    """Most of it would be found only on the day that somebody runs it there."""
    assert len(search(ast.parse(found))) == 5, "the search itself works"
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    guilty = {name: search(ast.parse(source)) for name, source in sources.items()}
    for name, allowed in ABSENCE_IS_HANDLED.items():
        guilty[name] -= allowed
    assert not {name: of for name, of in guilty.items() if of}


@pytest.mark.parametrize("path", [r"E:\项目 一\数据\series.csv", "E:/项目/series.csv", r"\\server\数据\series.csv"])
def test_a_csv_on_a_missing_drive_is_named_as_it_was_given(path: str, tmp_path: Path) -> None:
    """`E:` may be taken for a protocol, a backslash for an escape; then the message is about something else."""
    with pytest.raises(Exception, match="no such file") as caught:
        run("data", f"raw_csv={path},data_root={tmp_path / 'out'}")
    error = find_user_error(caught.value)
    assert isinstance(error, SeriesError) and PureWindowsPath(error.where) == PureWindowsPath(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [r"E:\models\llama", "E:/models/llama", "E:llama", r"models\llama", r"\\server\llama"])
def test_a_backbone_on_a_missing_drive_is_no_hub_id(name: str, tmp_path: Path) -> None:
    """As a hub id it would be requested from the network, and the advice would be about access."""
    params = BackboneParams(name=name, revisions={name: "a" * 40})
    for ask in (BackboneSource(tmp_path).identity, BackboneSource(tmp_path).shape):
        with pytest.raises(BackboneError) as caught:
            ask(params)
        assert (caught.value.what, caught.value.where) == (f"there is no folder {name}", "backbone.name")


def test_a_checkout_with_windows_line_ends_computes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git on Windows converts line ends; with another digest a training started elsewhere would not resume exactly."""
    shutil.copytree(PACKAGE, tmp_path / "a", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path / "a").rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    ours = source_digest()
    monkeypatch.setattr(timellm_pipeline, "__file__", str(tmp_path / "a" / "__init__.py"))
    assert source_digest() == ours
    (tmp_path / "a/training/order.py").write_bytes(b"# another")
    assert source_digest() != ours


def test_a_result_that_a_virus_scanner_has_open_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wait a training of ten hours ends with an error while its model is moved to its place."""
    monkeypatch.setattr(files, "WAITS", (0.0, 0.0))
    refusals = iter([PermissionError(errno.EACCES, "held")] * 2)

    def held(path: Path) -> None:
        for refusal in refusals:
            raise refusal

    before_moving(monkeypatch, held)
    AtomicJSONDataset(filepath=(tmp_path / "a.json").as_posix(), version=Version(None, "v1")).save({"step": 1})
    assert (tmp_path / "a.json/v1/a.json").is_file() and next(refusals, None) is None
