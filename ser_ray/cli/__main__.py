"""`python -m ser_ray.cli`."""

from ser_ray.cli import main

main()
