"""Coverage-guided fuzzing of the codecs and the line behind them; run by ``make fuzz``."""
