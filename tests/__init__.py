import pytest

# helpers assert as tests do, and are to say as much when they fail
pytest.register_assert_rewrite("tests.helpers")
