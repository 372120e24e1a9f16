"""Every number of the run plan is explained: its meaning, its parameter, its function."""

import pandas as pd

from conftest import ROOT, make_inputs, small_parameters
from timellm_pipeline.durations import format_duration
from timellm_pipeline.pipelines.explain.explanations import EXPLANATIONS, outcome, plan_markdown, plan_table
from timellm_pipeline.series.plan import RunPlan


def test_every_function_that_a_number_names_exists() -> None:
    """A function that has moved sends the reader to the wrong place in the code."""
    base = (ROOT / "conf/base/parameters.yml").read_text(encoding="utf-8")
    for name, of in EXPLANATIONS.items():
        file, function = of.function.split()
        text = (ROOT / "src/timellm_pipeline" / file).read_text(encoding="utf-8")
        for part in function.split("."):
            assert f"def {part}(" in text or f"class {part}(" in text or f"class {part}:" in text, (name, of.function)
        for parameter in of.parameter.split(", "):
            assert parameter == "raw_csv" or f"  {parameter.split('.')[1]}:" in base, (name, parameter)


def test_every_number_of_the_plan_is_explained() -> None:
    """A number without a meaning is one more question."""
    assert set(EXPLANATIONS) == set(RunPlan.model_fields) - {"data_id"}


def test_the_page_explains_a_step_and_shows_the_duration_of_an_epoch(raw_series: pd.DataFrame) -> None:
    """These are the first questions people ask."""
    parameters = small_parameters()
    plan = make_inputs(raw_series, parameters).plan
    page = plan_markdown(plan, 1, 3600.0, parameters.window, parameters.model)
    assert "One step is one iteration: one batch of 8 windows" in page
    assert f"an epoch of {plan.steps_per_epoch} steps takes {format_duration(3600 * plan.steps_per_epoch)}" in page
    assert f"| steps_per_epoch | {plan.steps_per_epoch} | train_windows // batch_size;" in page
    assert len(plan_table(plan).splitlines()) == len(EXPLANATIONS)


def test_the_outcome_says_before_training_that_time_llm_may_get_no_weight(raw_series: pd.DataFrame) -> None:
    """Whoever trains for a day must know before that the linear part may forecast alone."""
    parameters = small_parameters()
    plan = make_inputs(raw_series, parameters).plan
    text = outcome(plan, parameters.window, parameters.model)
    assert "alpha is 0: the linear part forecasts alone" in text
    assert f"needs 32 validation origins and there are {plan.validation_windows // 7}" in text
    enough = plan.model_copy(update={"validation_windows": 7 * 32})
    assert "to be expected" not in outcome(enough, parameters.window, parameters.model)
    alone = parameters.model.model_copy(update={"linear": "none"})
    assert "alpha" not in outcome(plan, parameters.window, alone)
