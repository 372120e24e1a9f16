"""From windows to forecasts: patches, prompt, frozen backbone, reprogramming, Time-LLM. No Kedro here."""
