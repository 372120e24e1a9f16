"""Parameter groups: one frozen model per group, parsed once before any node runs."""

from timellm_pipeline.parameters.backbone import BackboneParams
from timellm_pipeline.parameters.compare import CompareParams
from timellm_pipeline.parameters.data import DataParams
from timellm_pipeline.parameters.evaluation import EvaluationParams
from timellm_pipeline.parameters.explain import ExplainParams
from timellm_pipeline.parameters.forecast import ForecastParams
from timellm_pipeline.parameters.group import Group
from timellm_pipeline.parameters.model import ModelParams
from timellm_pipeline.parameters.prompt import PromptParams
from timellm_pipeline.parameters.retrain import GatesParams, RetrainParams
from timellm_pipeline.parameters.root import GROUP_MODELS, Parameters, parse_parameters
from timellm_pipeline.parameters.split import SplitParams
from timellm_pipeline.parameters.training import TrainingParams
from timellm_pipeline.parameters.window import WindowParams
from timellm_pipeline.parameters.workers import WorkersParams

__all__ = [
    "GROUP_MODELS",
    "BackboneParams",
    "CompareParams",
    "DataParams",
    "EvaluationParams",
    "ExplainParams",
    "ForecastParams",
    "GatesParams",
    "Group",
    "ModelParams",
    "Parameters",
    "PromptParams",
    "RetrainParams",
    "SplitParams",
    "TrainingParams",
    "WindowParams",
    "WorkersParams",
    "parse_parameters",
]
