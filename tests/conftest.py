"""Fixtures of koubai's own tests: shorter names for those of the plug-in."""

import os

import pytest
from hypothesis import settings

# No test is timed, least of all on a machine that does other things as well.
settings.register_profile("koubai", deadline=None)
settings.load_profile("koubai")

# A second CPU device shows an array that was made in the wrong place. JAX reads this once.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")


@pytest.fixture
def device(koubai_device):
    return koubai_device


@pytest.fixture
def dtype(koubai_dtype):
    return koubai_dtype
