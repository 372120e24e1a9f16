"""From rows to windows, with numpy and pandas alone."""
