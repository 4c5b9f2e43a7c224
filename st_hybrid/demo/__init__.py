"""The demo: a small parallel question-answer corpus and the encoders trained on it."""
