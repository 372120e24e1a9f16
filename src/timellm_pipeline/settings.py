"""Kedro settings of the project."""

import warnings

from timellm_pipeline import telemetry
from timellm_pipeline.hooks import (
    CheckParametersHook,
    ExitStatusHook,
    LogFileHook,
    MonotoneVersionHook,
    SingleProcessHook,
    SkippedNodesHook,
    UseChampionHook,
    UseTrainingFileHook,
)

# Kedro calls the hooks of one event last in, first out.
HOOKS = (
    LogFileHook(),
    SingleProcessHook(),
    CheckParametersHook(),
    MonotoneVersionHook(),
    UseTrainingFileHook(),
    UseChampionHook(),
    SkippedNodesHook(),
    ExitStatusHook(),
)

telemetry.switch_off()
DISABLE_HOOKS_FOR_PLUGINS = telemetry.PLUGINS

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # With Kedro's default, an environment or --params that sets one key of a group would drop its other keys.
    "merge_strategy": {"parameters": "soft", "catalog": "soft", "globals": "soft"},
}

warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated", category=UserWarning)
warnings.filterwarnings("ignore", message=r"Accessing the 'model_fields' attribute on the instance")
