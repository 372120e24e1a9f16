"""Kedro's settings of the project."""

import warnings

from timellm_pipeline.hooks import (
    ExitStatusHook,
    LogFile,
    MonotoneVersionHook,
    OneProcess,
    ParametersFirst,
    UseChampionHook,
)

# Kedro calls the hooks of one event last in, first out.
HOOKS = (LogFile(), OneProcess(), ParametersFirst(), MonotoneVersionHook(), UseChampionHook(), ExitStatusHook())

# Nothing is sent anywhere; the file .telemetry says the same to the command line's own hook.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Kedro's default would drop a group's other keys as soon as one of them is set by an environment or --params.
    "merge_strategy": {"parameters": "soft", "catalog": "soft", "globals": "soft"},
}

warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated", category=UserWarning)
warnings.filterwarnings("ignore", message=r"Accessing the 'model_fields' attribute on the instance")
