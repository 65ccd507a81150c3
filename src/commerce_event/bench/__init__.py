"""The benchmark: real processes on this machine, ratios to ceilings measured in the same run."""
