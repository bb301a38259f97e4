"""Trained networks are made once for all tests of a session, whichever worker comes first."""

import pytest


@pytest.fixture(scope="session")
def _cache_folder(tmp_path_factory, worker_id):
    own = tmp_path_factory.getbasetemp()
    return (own if worker_id == "master" else own.parent) / "trained_cache"


@pytest.fixture
def trained_cache(_cache_folder, monkeypatch):
    """Networks are kept in a folder of this session, not in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_cache_folder))
    return _cache_folder
