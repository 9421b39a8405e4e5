"""The benchmarks (``make bench``): every figure beside what it is measured against, on this machine, in one run."""
