"""Every built-in backend passes the kit that proves a stranger's."""

from koubai.testing.conformance import *  # noqa: F403
