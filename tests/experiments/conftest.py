"""Trained networks are made once for all tests of a session's worker."""

import pytest


@pytest.fixture(scope="session")
def _cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def trained_cache(_cache_folder, monkeypatch):
    """Networks are kept in a folder of this session, not in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_cache_folder))
    return _cache_folder
