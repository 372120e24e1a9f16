"""The Chinese pages say what the program does: their numbers, functions, parameters, commands, shapes and links."""

import ast
import contextlib
import io
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, plan_rows
from timellm_pipeline.parameters import SplitParams, TrainingParams, WindowParams, parse_parameters
from timellm_pipeline.series.borders import ROWS_A_MONTH
from timellm_pipeline.series.plan import RunPlan

README, ZH = ROOT / "README.md", ROOT / "docs" / "zh"
QUESTIONS = (ZH / "questions.md").read_text(encoding="utf-8")
SECTIONS = {
    int(number): text
    for number, text in re.findall(r"^## (\d+)\. (.+?)(?=^## |\Z)", QUESTIONS, re.DOTALL | re.MULTILINE)
}
CHANNELS = ["A", "B", "C", "D", "E", "F", "OT"]
ETTH1, OWN = (17_420, SplitParams(method="ett_hour")), (12_194, SplitParams(method="ratio"))
COLUMNS = [(ETTH1, "M"), (ETTH1, "S"), (OWN, "M"), (OWN, "S")]  # of the table in question 6
ROWS = "num_rows train_rows windows_per_channel train_windows steps_per_epoch patches_per_window patches_per_step"


def plan_of(rows: tuple[int, SplitParams], features: str = "M", **changed: int) -> RunPlan:
    """The plan of a series of seven channels with the settings that the page names, some of them changed."""
    num_rows, split = rows
    named: dict[str, Any] = {"seq_len": 256, "pred_len": 96, "patch_len": 16, "stride": 8, "batch_size": 2}
    named |= {"save_steps": 1_000, "max_epochs": 2, "features": features, **changed}
    groups = {
        group: {name: value for name, value in named.items() if name in kind.model_fields}
        for group, kind in (("window", WindowParams), ("training", TrainingParams))
    }
    return plan_rows(num_rows, CHANNELS, parse_parameters({"split": split.model_dump(), **groups}))


def blocks_of(text: str) -> list[str]:
    """Indented code blocks, without their indentation."""
    return [textwrap.dedent(block).strip() for block in re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE)]


def commands_of(page: Path) -> list[str]:
    """Lines of code without their comments; lines of the data's way are words, not code."""
    lines = re.findall(r"^    (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"\s{2,}#.*", "", line).rstrip() for line in lines if "→" not in line]


def definitions_of(path: Path) -> set[str]:
    """Functions of a file, methods as `Class.method`."""
    found = set()
    for part in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(part, ast.FunctionDef):
            found.add(part.name)
        elif isinstance(part, ast.ClassDef):
            found |= {f"{part.name}.{inner.name}" for inner in part.body if isinstance(inner, ast.FunctionDef)}
    return found


def test_the_table_of_windows_and_steps_is_what_the_plan_says() -> None:
    """The numbers that people compare with their own run are those of the run."""
    lines = [line.strip("|").split("|") for line in SECTIONS[6].splitlines() if line.startswith("|")]
    table = {"".join(re.findall(r"`(\w+)`", label)): [cell.strip() for cell in cells] for label, *cells in lines[2:]}
    plans = [plan_of(rows, features) for rows, features in COLUMNS]
    assert table == {name: [f"{getattr(plan, name):,}" for plan in plans] for name in ROWS.split()}
    heads = [cell.strip() for cell in lines[0][1:]]
    assert heads == ["ETTh1，`M`", "ETTh1，`S`", "12,194 行，`M`", "12,194 行，`S`"]


def test_the_other_numbers_are_what_the_plan_says() -> None:
    """A number in a sentence is as true as one in the table."""
    plan, single, own = plan_of(ETTH1), plan_of(ETTH1, "S"), plan_of(OWN)
    closer, thinner = plan_of(ETTH1, stride=4), plan_of(ETTH1, window_step=11)
    month = ROWS_A_MONTH["ett_hour"]
    promised = {
        2: [f"每轮 {plan.steps_per_epoch:,} 步，两轮 {plan.max_steps:,} 步", f"{plan.patches_per_step} 个 patch"],
        3: [f"{plan.steps_per_epoch:,} // {plan.save_steps:,} = {plan.checkpoints_per_epoch} 个检查点"],
        4: [f"{plan.train_windows:,} // {plan.batch_size} = {plan.steps_per_epoch:,} 步"],
        5: [f"从 {plan.patches_per_window} 变成 {closer.patches_per_window}，窗口仍是 {closer.train_windows:,} 个"],
        6: [f"{own.num_rows:,} 行", f"每个通道只剩 {plan_of(OWN, window_step=None).windows_per_channel} 个窗口"],
        7: [f"12 个月 × 每月 30 天 × 每天 24 小时 = {plan.train_rows:,} 行", f"每月 {month} 行", f"{20 * month:,} 行"],
        8: [f"{plan.windows_per_channel:,} × {plan.num_channels} = {plan.train_windows:,}"],
        9: [f"{plan.train_windows:,} 个窗口的一个新排列，每 {plan.batch_size} 个一批"],
    }
    llama = yaml.safe_load((ROOT / "conf/etth1_llama3/parameters.yml").read_text(encoding="utf-8"))["training"]
    base = yaml.safe_load((ROOT / "conf/base/parameters.yml").read_text(encoding="utf-8"))["training"]
    patience = llama.get("patience", base["patience"])
    every = llama["validate_steps"]
    promised[2] += [f"每 {every:,} 步", f"是 {patience}，所以 {patience * every:,} 步"]
    promised[10] = [f"每步 {plan.patches_per_step} 个 patch"]
    promised[2] += [f"每轮更新 {plan_of(ETTH1, accumulate=4).updates_per_epoch:,} 次"]
    promised[5] += [f"从 {plan.train_windows:,} 变成 {thinner.train_windows:,} 个，每轮 {thinner.steps_per_epoch:,} 步"]
    promised[7] += [f"最后 {plan.num_rows - 20 * month:,} 行", f"{own.num_rows:,} × 0.7 → {own.train_rows:,}"]
    promised[8] += [f"{single.train_windows:,} 个窗口、{single.steps_per_epoch:,} 步"]
    missing = [
        (number, words) for number, all_of in promised.items() for words in all_of if words not in SECTIONS[number]
    ]
    assert missing == []


def test_there_are_ten_questions_each_with_a_short_answer_and_its_place_in_the_code() -> None:
    """A reader finds the answer in the first line and the function that makes it so in the last."""
    assert list(SECTIONS) == list(range(1, 11))
    for number, text in SECTIONS.items():
        _, answer, *_, place = [line for line in text.splitlines() if line]
        assert re.fullmatch(r"\*\*.+\*\*", answer), number
        assert re.fullmatch(r"代码位置：`[\w/]+\.py [\w.]+`(、`[\w/]+\.py [\w.]+`)*", place), number


def test_every_function_that_the_questions_name_is_there() -> None:
    """A page that sends people to a function that was renamed sends them nowhere."""
    named = re.findall(r"`([\w/]+\.py) ([\w.]+)`", QUESTIONS)
    assert len(named) >= 10
    package = ROOT / "src" / "timellm_pipeline"
    there = {path: definitions_of(package / path) for path, _ in named if (package / path).is_file()}
    assert [(path, name) for path, name in named if name not in there.get(path, set())] == []


def test_every_parameter_that_the_questions_name_is_there() -> None:
    """A parameter that was renamed would be refused on the reader's own command line."""
    base = yaml.safe_load((ROOT / "conf" / "base" / "parameters.yml").read_text(encoding="utf-8"))
    there = {f"{group}.{name}" for group, values in base.items() if isinstance(values, dict) for name in values}
    quoted = re.findall(r"`([a-z_]+\.[a-z_]+)(?:: [^`]*|=[^`]*)?`", QUESTIONS)
    given = re.findall(r"(?<=[ ,`])([a-z_]+\.[a-z_]+)=", QUESTIONS)
    named = {name for name in quoted + given if not (name.endswith((".csv", ".md", ".yml", ".html", ".log", ".py")))}
    assert len(named) >= 10
    assert named <= there, named - there


def test_both_readmes_hold_the_same_commands() -> None:
    """A command that was changed in one language only would fail in the other."""
    assert len(commands_of(README)) >= 20
    assert commands_of(ZH / "README.md") == commands_of(README)


def test_the_shapes_are_what_the_model_gives() -> None:
    """The snippet of question 10 runs as it stands and prints the shapes that stand below it."""
    blocks = blocks_of(SECTIONS[10])
    at = next(number for number, block in enumerate(blocks) if block.startswith("import torch"))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(blocks[at], {})
    assert printed.getvalue().splitlines() == blocks[at + 1].splitlines()


@pytest.mark.parametrize("page", ["README.md", "questions.md", "hosted.md", "scale-out.md"])
def test_links_lead_somewhere(page: str) -> None:
    """A link that is right in the folder above is broken here."""
    links = re.findall(r"\]\(([^)#:]+)\)", (ZH / page).read_text(encoding="utf-8"))
    assert links and [link for link in links if not (ZH / link).exists()] == []
