"""Networks of tests are kept apart from those of the user."""

import pytest


@pytest.fixture
def trained_cache(tmp_path_factory, monkeypatch):
    """A folder of this process in which networks are kept, in place of the user's cache."""
    folder = tmp_path_factory.getbasetemp() / "trained_cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder
