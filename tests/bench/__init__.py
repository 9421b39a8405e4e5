"""The benchmarks (``make bench``): every figure against what it is measured against, in the same run on this machine."""
