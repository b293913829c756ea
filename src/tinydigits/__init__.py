"""Train, verify and ship tiny image classifiers whose claims hold."""
