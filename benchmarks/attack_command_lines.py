"""Wrong command lines: options, values and configuration files that people mistype."""

# ruff: noqa: PLR0912, PLR0915 - a function that lists cases is as long as the list

import json
import shutil
from collections.abc import Iterator
from typing import Any

import yaml

from attack_builders import GOOD, put
from attack_files import need
from attack_harness import SMALL, Case, Place
from attack_parameters import GOOD_CONFIG, config_case, judge, raw_params, valued, words_case

ALIASES = b"""
a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c]
run: {pipelines: data, params: {x: *d}}
"""


def command_lines() -> Iterator[Case]:
    """Options and values that people mistype."""
    p = "raw_csv=<csv>,data_root=<root>,<small>"
    yield raw_params("good --params", p, right="works")
    yield config_case("good --config", GOOD_CONFIG, right="works")
    for name in ("raw_csv", "data_root", "checkpoint_root"):
        pipeline = "train" if name == "checkpoint_root" else "data"
        rest = ",".join(one for one in p.split(",") if not one.startswith(name))
        yield raw_params(f"`{name}=`", f"{name}=,{rest}", name, pipeline=pipeline)
        yield valued(f"{name} is an empty text", {name: ""}, name, pipeline=pipeline)
        yield valued(f"{name} is spaces", {name: "  "}, pipeline=pipeline)
    yield raw_params("`checkpoint=`", p + ",checkpoint=", "checkpoint", pipeline="publish")
    for value in ("no", "auto", "bf16"):
        yield raw_params(
            f"training.precision={value}", f"{p},training.precision={value}", right="works", pipeline="train"
        )
        config = yaml.safe_load(GOOD_CONFIG)
        text = yaml.safe_dump(config).replace("training:", f"training:\n      precision: {value}").encode()
        yield config_case(f"precision: {value} in YAML", text, right="works")
    yield raw_params("training.precision=yes", p + ",training.precision=yes", "precision", pipeline="train")
    yield words_case("--env nosuch", ["--env", "nosuch"], "nosuch")
    yield words_case("--env ../..", ["--env", "../.."])
    yield words_case("--env of a file", ["--env", "logging.yml"])
    yield words_case("--nodes nope", ["--nodes", "nope"], "nope", right="usage")
    yield words_case("--from-nodes nope", ["--from-nodes", "nope"], "nope", right="usage")
    yield words_case("--to-nodes nope", ["--to-nodes", "nope"], "nope", right="usage")
    yield words_case("--from-inputs nope", ["--from-inputs", "nope"], "nope", right="usage")
    yield words_case("--to-outputs nope", ["--to-outputs", "nope"], "nope", right="usage")
    yield words_case("--tags nope", ["--tags", "nope"], right="usage")
    yield words_case("--namespaces nope", ["--namespaces", "nope"], right="usage")
    yield words_case("--runner nope", ["--runner", "nope"], right="usage")
    yield words_case("--runner nope.Nope", ["--runner", "nope.Nope"], right="usage")
    yield words_case("--runner ThreadRunner", ["--runner", "ThreadRunner"], right="either")
    yield words_case("--unknown", ["--unknown"], "unknown", right="usage")
    yield words_case("a word too many", ["more"], right="usage")
    yield words_case("--conf-source missing", ["--conf-source", "<folder>/nope"], "nope", right="usage")
    yield words_case("--conf-source of a file", ["--conf-source", "<folder>/series.csv"], right="usage")
    yield words_case("--load-versions without a colon", ["--load-versions", "series"], right="usage")
    yield words_case("--load-versions of an unknown data set", ["--load-versions", "nope:2020-01-01T00.00.00.000Z"])
    for version in ("WRONG", "2020-01-01T00.00.00.000Z", "../../../victims", "", "☃", "."):
        for pipeline in ("forecast", "evaluate"):
            words = ["--load-versions", f"timellm_model:{version}"]
            yield words_case(f"{pipeline} --load-versions timellm_model:{version}", words, pipeline=pipeline,
                             state="trained", right="usage")  # fmt: skip
    for pipeline in ("nope", "", "data,nope", "../data", "☃", "Data"):

        def check_pipeline(place: Place, pipeline: str = pipeline) -> None:
            put(place, GOOD)
            small = ",".join(f"{key}={value}" for key, value in SMALL.items())
            words = ["--params", f"raw_csv={place.csv},data_root={place.root},{small}"]
            outcome = place.start(["kedro", "run", "--pipeline", pipeline, *words], "train").wait()
            judge(place, outcome, "either" if pipeline == "" else "usage")

        yield Case("input", "command lines", f"--pipeline {pipeline or 'of nothing'}", check_pipeline)
    for name, text in {
        "no equals sign": "raw_csv",
        "equals sign alone": "=",
        "a key twice": p + ",training.seed=1,training.seed=2",
        "a trailing comma": p + ",",
        "two equals signs": p + ",window.target=a=b",
        "a key and a key below it": p + ",data.csv=1,data.csv.sep=2",
        "a dot at the end": p + ",window.=1",
        "dots alone": p + ",...=1",
        "a colon": p + ",window.seq_len:48",
        "spaces": "  " + p.replace(",", " , "),
    }.items():
        yield raw_params(
            f"--params with {name}",
            text,
            right="any" if name in ("a key twice", "a trailing comma", "spaces", "a colon") else "usage",
        )
    yield raw_params("window.target=@x", p + ",window.target=@x", "@x")
    yield raw_params("data.csv.date_format=%d/%m/%Y", p + ",data.csv.date_format=%d/%m/%Y")
    yield raw_params("data.csv.sep=5", p + ",data.csv.sep=5", "sep")
    yield raw_params("data.csv.encoding=5", p + ",data.csv.encoding=5", "encoding")
    yield raw_params("data.csv.encoding=nosuch", p + ",data.csv.encoding=nosuch", "nosuch")
    yield raw_params("data.csv.engine=python", p + ",data.csv.engine=python", right="works")
    yield raw_params("training.seed=10^20", p + ",training.seed=100000000000000000000", "seed", pipeline="train")
    yield raw_params("training.learning_rate=1e38", p + ",training.learning_rate=1e38", pipeline="train")
    yield raw_params(
        "training.learning_rate=1e-300", p + ",training.learning_rate=1e-300", right="either", pipeline="train"
    )
    yield raw_params("stride above patch_len", p + ",window.stride=20,window.patch_len=8", "stride|skip", right="works")
    for value in ("${oc.env:NOPE}", "${nope}", "${", "${oc.env:HOME}", "${globals:nope}", "${runtime_params:nope}",
                  "${oc.decode:x}", "${oc.select:a}", "???",
                  "!!python/object:os.system", "*a", "&a", "{{x}}", "%s", "'", '"'):  # fmt: skip
        right = "either" if not value.startswith("${") else "refused"
        right = "either" if value in ("${oc.env:HOME}", "${oc.decode:x}", "${oc.select:a}") else right
        yield raw_params(f"window.target={value}", f"{p},window.target={value}", right=right)
        yield valued(f"data.date_column is {value}", {"data.date_column": value}, right=right)
    for value in ("NaT", "-5D", "0D", "x", "", "5", "1e400D", "P5D", "nan", "5 parsecs", "99999999999D"):
        yield valued(f"gates.max_age={value}", {"gates.max_age": value}, pipeline="retrain",
                     right="either" if value in ("5", "P5D", "0D") else "refused")  # fmt: skip
    for value in ("NaT", "-5D", "0D", "", "x", 0, -3, "1h", 10**9, "9999999D", 2.5):
        yield valued(f"split.test_rows={value}", {"split.test_rows": value, "split.method": "recent"})
    yield valued("batch of windows that are not there", {"training.batch_size": 99_999}, "batch")
    yield valued("patch longer than the window", {"window.patch_len": 64}, "patch")
    yield valued("horizon longer than the test", {"window.pred_len": 300})
    yield valued(
        "model of 10^7 hidden units",
        {"model.d_ff": 10**7, "model.d_model": 10**4},
        "memory|d_ff|large|free",
        pipeline="train",
    )
    yield valued("10^10 prototypes", {"model.num_prototypes": 10**10}, pipeline="train")
    yield valued("10^9 heads", {"model.num_heads": 10**9}, pipeline="train")
    yield valued("accumulate above max_steps", {"training.accumulate": 99}, "accumulate")
    yield valued("fp16 on a CPU", {"training.precision": "fp16"}, "fp16", pipeline="train")
    yield valued("vocabulary without one", {"model.prototypes": "vocabulary"}, "vocabulary", pipeline="train")
    yield valued("backbone of a missing folder", {"backbone.name": "./no/such"}, "no/such", pipeline="train")
    yield valued("backbone of a folder that is none", {"backbone.name": "data"}, pipeline="train")
    yield valued("backbone of a file", {"backbone.name": "pyproject.toml"}, pipeline="train")
    yield valued("backbone of a hub id without a commit", {"backbone.name": "openai-community/gpt2"}, pipeline="train")
    yield valued("backbone of a web address", {"backbone.name": "https://example.invalid/x"}, pipeline="train")
    yield valued("backbone with escapes", {"backbone.name": "\x1b[31mx"}, pipeline="train")
    yield valued("nf4 without a GPU", {"backbone.quantization": "nf4"}, pipeline="train", right="either")
    yield valued("level 33", {"forecast.levels": [33]}, "33", pipeline="forecast", state="trained")
    yield valued("no levels", {"forecast.levels": []}, pipeline="forecast", state="trained", right="either")
    yield valued("1,000 origins", {"forecast.origins": 1000}, pipeline="forecast", state="trained")
    yield valued(
        "forecast with another seq_len", {"window.seq_len": 60}, "seq_len", pipeline="forecast", state="trained"
    )
    yield valued(
        "evaluate with another pred_len", {"window.pred_len": 6}, "pred_len", pipeline="evaluate", state="trained"
    )
    yield valued("forecast without a model", {}, "train", pipeline="forecast")
    yield valued("evaluate without a model", {}, "train", pipeline="evaluate")
    for pipeline in ("forecast", "evaluate"):
        yield valued(f"{pipeline} without raw_csv", {"raw_csv": ...}, pipeline=pipeline, state="trained", right="works")

        def moved(place: Place, pipeline: str = pipeline) -> None:
            put(place, GOOD)
            place.work(place.run("train"))
            place.csv.unlink()
            place.refuse(place.run(pipeline, {"raw_csv": ...}), "raw_csv")

        yield Case("input", "command lines", f"{pipeline} without raw_csv, the training file is gone", moved)
    yield valued("prototypes without a language model", {}, pipeline="prototypes", state="trained")
    yield valued("publish without a checkpoint", {}, "checkpoint", pipeline="publish")
    yield valued("rollback without a champion", {}, "champion", pipeline="rollback")
    yield valued("rollback with one champion", {}, "champion", pipeline="rollback", state="one")
    yield valued(
        "import_upstream without a file",
        {"checkpoint": "nope.pth", "model.prototypes": "vocabulary"},
        pipeline="import_upstream",
    )
    for name in ("newest", "best"):
        yield valued(f"publish {name}", {"checkpoint": name}, pipeline="publish", state="trained", right="works")
    for name in ("nope", "/etc", "../..", ".", "step-x", "\x1b[31m", "/dev/zero"):
        yield valued(f"publish checkpoint {name}", {"checkpoint": name}, pipeline="publish", state="trained")
    for name, content, right in [
        ("missing", None, "usage"),
        ("broken", b"run: [1, {", "usage"),
        ("with a key twice", b"run:\n  pipelines: data\n  pipelines: train\nrun:\n  env: base\n", "usage"),
        ("binary", bytes(range(256)), "usage"),
        ("empty", b"", "usage"),
        ("a list", b"- 1\n- 2\n", "usage"),
        ("a number", b"5\n", "usage"),
        ("other keys", b"walk:\n  pipelines: data\n", "usage"),
        ("run is a list", b"run: [1]\n", "usage"),
        ("params is a list", b"run:\n  pipelines: data\n  params: [1]\n", "usage"),
        ("unknown option", b"run:\n  nope: 1\n", "usage"),
        ("a Python tag", b"run: !!python/object/apply:os.system ['touch victims/precious.txt']\n", "usage"),
        ("a link to itself", b"run: &a\n  params: *a\n", "usage"),
        ("aliases of aliases", ALIASES, "usage"),
        ("deep nesting", b"run: " + b"[" * 3000, "usage"),
        ("tabs", b"run:\n\tpipelines: data\n", "usage"),
        ("UTF-16", GOOD_CONFIG.decode().encode("utf-16"), "either"),
        ("JSON", json.dumps({"run": {"pipelines": "nope"}}).encode(), "usage"),
    ]:  # fmt: skip
        yield config_case(f"--config {name}", content, right=right)
    for value in (0, -1, "x", None, 1.5, [1], True, 1):

        def conf(place: Place, value: Any = value) -> None:
            put(place, GOOD)
            source = place.outputs / "conf"
            shutil.copytree(place.project / "conf", source)
            path = source / "base/globals.yml"
            lines = [one for one in path.read_text(encoding="utf-8").split("\n") if not one.startswith("keep_versions")]
            path.write_text("\n".join([*lines, f"keep_versions: {json.dumps(value)}"]), encoding="utf-8")
            outcome = place.run("data", words=["--conf-source", str(source)])
            if value in (None, 1) and value is not True:
                place.work(outcome)
                need(bool(place.versions("05_model_input/run_plan.json")), "it deleted its own result")
            else:
                place.refuse(outcome, "keep_versions")

        yield Case("input", "command lines", f"keep_versions: {json.dumps(value)}", conf)
    for name, text in {
        "a doubled key": "window:\n  seq_len: 48\n  seq_len: 60\n",
        "broken YAML": "window: [1, {\n",
        "a list": "- 1\n",
        "a resolver": "window:\n  seq_len: ${oc.env:NOPE}\n",
        "a Python tag": "window: !!python/object/apply:os.getcwd []\n",
        "binary": "\x00\x01\x02",
        "a group that is null": "window:\n",
        "a group that is a number": "window: 5\n",
    }.items():

        def environment(place: Place, text: str = text) -> None:
            put(place, GOOD)
            source = place.outputs / "conf"
            shutil.copytree(place.project / "conf", source)
            (source / "mine").mkdir()
            (source / "mine/parameters.yml").write_text(text, encoding="utf-8")
            place.either(place.run("data", words=["--conf-source", str(source), "--env", "mine"]))

        yield Case("input", "command lines", f"an environment's parameters.yml with {name}", environment)
    for name, words in {
        "--root missing": ["--root", "<folder>/nope"],
        "--root of a file": ["--root", "<folder>/series.csv"],
        "--training nope": ["--training", "nope"],
        "--training ../..": ["--training", "../.."],
        "--training [": ["--training", "["],
        "--training **": ["--training", "**"],
        "--page of a folder": ["--page", "<folder>/victims"],
        "--page below a file": ["--page", "<folder>/series.csv/x.html"],
        "--every x": ["--every", "x"],
        "--every -1": ["--every", "-1"],
        "--every 0": ["--every", "0"],
        "--unknown": ["--unknown"],
    }.items():

        def watching(place: Place, name: str = name, words: list[str] = words) -> None:
            place.take("trained")
            outcome = place.watch(*[word.replace("<folder>", str(place.folder)) for word in words])
            judge(place, outcome, "either" if name in ("--every 0", "--every -1") and outcome.status != 2 else "usage")

        yield Case("input", "command lines", f"watch {name}", watching)


def cases() -> list[Case]:
    """Every case of this file."""
    return [*command_lines()]
