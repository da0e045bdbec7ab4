"""For all tests of networks."""

from tests.threads import one_thread  # noqa: F401
