"""Figures and spans of runs, for the systems that people watch their machines with."""
