"""Codecs and profiles made wrong one place at a time, to see that the golden cases notice; run by ``make mutate``."""
