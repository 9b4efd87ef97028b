"""A slow, plain reference implementation of orders and positions in parts, written from orders.md and the model."""

import pytest

pytest.register_assert_rewrite("tests.oracle.orders.comparison")
