"""The Time-LLM model: patches, prompt, frozen backbone, reprogramming, inference, saving. Does not import Kedro."""
