"""The linear part of a forecast: linear maps of windows, fitted in closed form."""
